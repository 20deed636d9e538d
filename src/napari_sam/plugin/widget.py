"""The dock widget: builds controls and connects them to the session."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    Label,
    ProgressBar,
    PushButton,
)
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.notifications import show_error, show_info

from napari_sam.models import get_model_spec, list_models
from napari_sam.plugin.controls import (
    LayerChoice,
    button_row,
    describe_model,
    kept_sentence,
    state_sentence,
    weights_step,
)
from napari_sam.plugin.options import Options
from napari_sam.plugin.preview import Preview
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.worker import Worker
from napari_sam.requests import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

    from napari_sam.plugin.questions import Question
    from napari_sam.plugin.worker import Report
    from napari_sam.predictor import Predictor
    from napari_sam.requests import Result

    _Answer = tuple[Any, Predictor, Question, Result]

_OWN_FILE = "own file ..."


class SamWidget(Container):  # type: ignore[type-arg] # not subscriptable
    """Segment Anything on the displayed slice or through the stack.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Injected by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(labels=True)
        self.session = SamSession(napari_viewer)
        self._viewer = napari_viewer
        self._worker = Worker(self.native)
        self._preview = Preview(napari_viewer)
        self._started = 0.0
        self._build()
        self._connect()
        self._refresh()

    # -- building --------------------------------------------------------------

    def _build(self) -> None:
        viewer = self._viewer
        self.image = LayerChoice(viewer, Image, "Image", self._automatic_image)
        names = [spec.name for spec in list_models()]
        self.model = ComboBox(label="Model", choices=[*names, _OWN_FILE])
        self.model_file = FileEdit(label="File", filter="*.pth *.pt *.safetensors")
        self.family = ComboBox(
            label="Trained as", choices=["sam", "medsam", "lite_medsam"]
        )
        self.model_note = Label(value="")
        self.points = LayerChoice(viewer, Points, "Points", lambda: "(none)")
        self.shapes = LayerChoice(viewer, Shapes, "Boxes", lambda: "(none)")
        self.new_prompts = PushButton(
            text="New prompt layers",
            tooltip="Add a points and a boxes layer that lie over the image",
        )
        self.positive = PushButton(
            text="Point: object", tooltip="The next and selected points lie on it"
        )
        self.negative = PushButton(
            text="Point: background", tooltip="The next and selected points lie off it"
        )
        self.each = CheckBox(
            text="Each box or point is an object of its own",
            tooltip="Otherwise all prompts together describe one object",
        )
        self.labels_layer = LayerChoice(viewer, Labels, "Labels", lambda: "(new layer)")
        self.refine = PushButton(
            text="Refine label",
            tooltip="Correct the selected label of the labels layer on this slice; "
            "pick one with the labels layer's colour picker",
        )
        self.previous = PushButton(
            text="Previous object",
            tooltip="Bring back the prompts of the last object, to correct it",
        )
        self.more = CheckBox(text="More options")
        self.more_options = Options(self.session, _told)
        self.more_options.visible = False
        self.segment_slice = PushButton(text="Segment slice")
        self.segment_stack = PushButton(text="Segment stack")
        self.accept = PushButton(text="Accept", tooltip="Write it into the labels")
        self.discard = PushButton(text="Discard", tooltip="Forget it and its prompts")
        self.progress = ProgressBar(label="", min=0, max=1, value=0)
        self.cancel = PushButton(text="Cancel", tooltip="Stop; nothing is written")
        self.status = Label(value="")
        self.model_note.native.setWordWrap(True)
        self.status.native.setWordWrap(True)
        self.extend(
            [
                self.image.combo,
                self.model,
                self.model_file,
                self.family,
                self.model_note,
                self.new_prompts,
                self.points.combo,
                self.shapes.combo,
                button_row(self.positive, self.negative),
                self.each,
                self.labels_layer.combo,
                self.more,
                self.more_options,
                button_row(self.segment_slice, self.segment_stack),
                button_row(self.accept, self.discard),
                button_row(self.refine, self.previous),
                button_row(self.progress, self.cancel),
                self.status,
            ]
        )
        self.native.layout().addStretch()

    def _connect(self) -> None:
        session = self.session
        self.image.changed.connect(lambda layer: setattr(session, "image_layer", layer))
        self.points.changed.connect(self._choose_points)
        self.shapes.changed.connect(lambda la: setattr(session, "shapes_layer", la))
        self.labels_layer.changed.connect(
            lambda layer: setattr(session, "labels_layer", layer)
        )
        self.each.changed.connect(
            lambda on: setattr(session, "each_prompt_an_object", on)
        )
        self.more.changed.connect(lambda on: setattr(self.more_options, "visible", on))
        for control in (self.model, self.model_file, self.family):
            control.changed.connect(self._choose_model)
        for button, action in (
            (self.new_prompts, self._make_prompt_layers),
            (self.positive, lambda: session.set_polarity(True)),
            (self.negative, lambda: session.set_polarity(False)),
            (self.segment_slice, lambda: self._run(session.ask_slice())),
            (self.segment_stack, lambda: self._run(session.ask_stack())),
            (self.accept, self._accept),
            (self.discard, session.discard),
            (self.refine, self._refine),
            (self.previous, self._go_back),
            (self.cancel, self._worker.cancel),
        ):
            button.changed.connect(_told(action))
        session.changed.connect(self._refresh)
        session.changed.connect(self._show_preview)
        self._viewer.dims.events.current_step.connect(self._show_preview)
        self._viewer.dims.events.order.connect(self._show_preview)
        self._viewer.dims.events.ndisplay.connect(self._show_preview)
        self._viewer.layers.events.inserted.connect(self._refresh)
        self._viewer.layers.events.removed.connect(self._layer_removed)
        self.native.destroyed.connect(self.disconnect_viewer)
        self._viewer.layers.selection.events.active.connect(self._refresh)

    def disconnect_viewer(self, _: Any = None) -> None:
        """Stop work and let go of the viewer; all layers but the preview stay."""
        self._worker.close()
        layers = self._viewer.layers
        events = self._viewer.dims.events, layers.events, layers.selection.events
        for callback in (self._show_preview, self._refresh, self._layer_removed):
            for group in events:
                group.disconnect(callback)
        for choice in (self.image, self.points, self.shapes, self.labels_layer):
            choice.disconnect_viewer()
        self._preview.clear()

    # -- choices ---------------------------------------------------------------

    def _choose_model(self, _: Any = None) -> None:
        own = self.model.value == _OWN_FILE
        self.session.model = str(self.model_file.value) if own else self.model.value
        self.session.model_choice.family = self.family.value if own else None
        self._refresh()

    def _choose_points(self, layer: Points | None) -> None:
        self.session.points_layer = layer
        self._enable()

    def _make_prompt_layers(self) -> None:
        points, shapes = self.session.new_prompt_layers()
        self.points.select(points)
        self.shapes.select(shapes)
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        points.mode = "add"

    # -- work ------------------------------------------------------------------

    def _run(self, question: Question) -> None:
        session = self.session
        choice = session.model_choice
        model, loaded, load = choice.chosen, choice.loaded, choice.loader()
        cache = session.cache

        def job(report: Report) -> Generator[Progress, None, _Answer]:
            predictor = loaded
            if predictor is None:
                yield Progress("Loading the model", 0, 0)
                predictor = load(lambda done, total: report(weights_step(done, total)))
            result = yield from question.request.run(predictor, cache)
            return model, predictor, question, result

        self._started = perf_counter()
        self._worker.submit(
            job,
            on_progress=self._show_progress,
            on_result=self._take_result,
            on_error=lambda error: show_error(str(error)),
            on_end=self._refresh,
        )
        self._show_progress(Progress("Waiting", 0, 0))

    def _show_progress(self, progress: Progress) -> None:
        self.progress.visible = True
        self.progress.max = progress.total
        self.progress.value = min(progress.done, progress.total)
        seconds = perf_counter() - self._started
        left = ""
        if progress.done and progress.total:
            remaining = seconds / progress.done * (progress.total - progress.done)
            left = f", at most {remaining:.0f} s left"
        self.status.value = f"{progress.what}{left} ..."
        self._enable()

    def _take_result(self, answer: _Answer) -> None:
        model, predictor, question, result = answer
        self.session.model_choice.keep(predictor, model)
        try:
            self.session.adopt(question, result)
        except ValueError as error:
            show_info(str(error))

    def _accept(self) -> None:
        self.session.commit()
        self.labels_layer.select(self.session.labels_layer)
        written = self.session.target.last_written
        sentence = "" if written is None else kept_sentence(written)
        if sentence:
            show_info(sentence)

    def _refine(self) -> None:
        self.session.refine()
        revision = self.session.revision
        if revision is not None and self.session.labels_layer is None:
            self.labels_layer.select(revision.labels)

    def _go_back(self) -> None:
        self.session.previous_object()
        self.each.value = self.session.each_prompt_an_object

    # -- showing ---------------------------------------------------------------

    def _automatic_image(self) -> str:
        image = self.session.image_layer
        return "(no image)" if image is None else f"(automatic: {image.name})"

    def _refresh(self, _: Any = None) -> None:
        self.image.update()
        own = self.model.value == _OWN_FILE
        self.model_file.visible = self.family.visible = own
        self.model_note.value = (
            "Your own weights: say how they were trained, images are prepared for it."
            if own
            else describe_model(get_model_spec(self.model.value))
        )
        self.more_options.refresh()
        if not self._worker.busy:
            self.progress.visible = False
            self.status.value = state_sentence(self.session)
        self._enable()

    def _enable(self) -> None:
        busy, waiting = self._worker.busy, self.session.result is not None
        has_image = self.session.image_layer is not None
        for button in (self.segment_slice, self.segment_stack, self.new_prompts):
            button.enabled = has_image and not busy
        self.refine.enabled = self.session.labels_layer is not None and not busy
        self.previous.enabled = self.session.can_go_back and not (busy or waiting)
        self.accept.enabled = waiting and not busy
        correcting = self.session.revision is not None
        self.discard.enabled = (waiting or correcting) and not busy
        self.cancel.enabled = busy
        has_points = self.session.points_layer is not None
        self.positive.enabled = self.negative.enabled = has_points

    def _layer_removed(self, _: Any = None) -> None:
        # A preview that the user removed stays away until there is news.
        if self.session.result is None:
            self._preview.clear()
        self._refresh()

    def _show_preview(self, _: Any = None) -> None:
        from napari_sam.plugin.layers import displayed_plane

        result, image = self.session.result, self.session.result_image
        if result is None or image is None or image not in self._viewer.layers:
            self._preview.clear()
            return
        try:
            plane = displayed_plane(image, self._viewer.dims)
        except ValueError:  # a 3D view, or a slider outside the image
            self._preview.clear()
            return
        self._preview.show(image, result.pieces, plane.at())


def _told(action: Callable[[], Any]) -> Callable[[], None]:
    """Show the sentence of a refused action as a notification."""

    def run() -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            show_error(str(error))

    return run
