"""The dock widget: connects its controls to the session, without logic of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info

from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.plugin.background.layer_watcher import LayerWatcher
from napari_sam.plugin.background.prefetch import Prefetcher
from napari_sam.plugin.background.request_runner import RequestRunner
from napari_sam.plugin.layers.preview_layer import PreviewLayer
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.notifications import notify_errors, setter
from napari_sam.plugin.panels.button_states import disabled_reason
from napari_sam.plugin.panels.key_bindings import (
    ACCEPT,
    DISCARD,
    DOUBT,
    NEXT,
    POLARITY,
    PREVIOUS,
    KeyBindings,
)
from napari_sam.plugin.panels.main_panel import (
    AS_IT_SAYS,
    NEW_PROMPTS,
    OWN_FILE,
    START,
    MainPanel,
)
from napari_sam.plugin.panels.measurement_table import show_table
from napari_sam.plugin.panels.status_text import (
    committed_text,
    download_text,
    model_text,
    status_text,
)
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.training.dock import TrainingDock

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari


class SamWidget(MainPanel):
    """Segment Anything on the displayed slice or through the stack.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Injected by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self.session = SamSession(napari_viewer)
        super().__init__(napari_viewer, self.session, notify_errors)
        self._viewer = napari_viewer
        self._preview = PreviewLayer(napari_viewer)
        self._hint = ""
        self._accept_next = self._cleaning = False
        self._runner = RequestRunner(
            self.session,
            self.native,
            on_progress=self._show_progress,
            on_refused=show_info,
            on_error=self._show_failure,
            on_end=self._end,
        )
        self._training = TrainingDock(
            napari_viewer, self.session, self.native, self.choose_file
        )
        self._changes = LayerWatcher(napari_viewer, self.native)
        self._ahead = Prefetcher(self.session, self._runner, self.native)
        self._keys = KeyBindings(
            napari_viewer,
            {
                ACCEPT: self._pressed(self.accept),
                DISCARD: self._pressed(self.discard),
                NEXT: self._pressed(self.next_candidate),
                PREVIOUS: self._pressed(self.previous),
                DOUBT: self._pressed(self.doubtful),
                POLARITY: notify_errors(self.session.toggle_polarity),
            },
        )
        self._connect()
        for layer in napari_viewer.layers:
            for choice in (self.points, self.shapes):
                choice.adopt_own(layer)
        self._refresh()

    # -- connections -----------------------------------------------------------

    def _connect(self) -> None:
        session, run = self.session, self._runner.run
        for choice, name in (
            (self.image, "image_layer"),
            (self.points, "points_layer"),
            (self.shapes, "shapes_layer"),
            (self.labels_layer, "labels_layer"),
        ):
            choice.changed.connect(setter(session, name))
            choice.changed.connect(self._refresh)
            choice.changed.connect(self._changes.notice)
        self.each.changed.connect(setter(session, "each_prompt_an_object"))
        self.afterwards.chosen.connect(self._clean_waiting)
        self.everything.chosen.connect(self._clean_waiting)
        for control in (self.model, self.model_file, self.family):
            control.changed.connect(self._choose_model)
        for button, action in (
            (self.download, lambda: self._runner.load(self._changes.notice)),
            (self.new_prompts, self._make_prompt_layers),
            (self.positive, lambda: session.set_polarity(True)),
            (self.negative, lambda: session.set_polarity(False)),
            (self.segment_slice, lambda: run(session.build_plane_request())),
            (self.segment_stack, lambda: run(session.build_stack_request())),
            (self.segment_everything, lambda: run(session.build_automatic_request())),
            (self.accept, self._accept),
            (self.discard, session.discard),
            (self.next_candidate, session.next_candidate),
            (self.refine, self._refine),
            (self.previous, self._go_back),
            (self.doubtful, session.waiting.next_doubtful),
            (self.clean_label, self._clean_label),
            (self.measure, self._measure),
            (self.train, self._training.open),
            (self.cancel, self._runner.cancel),
        ):
            button.changed.connect(notify_errors(action))
        for changed in (self.live.changed, self.each.changed, self.model.changed):
            changed.connect(self._changes.notice)
        self.more_options.changed.connect(self._changes.notice)
        self._changes.happened.connect(self._ask_live)
        session.changed.connect(self._clean_waiting)
        session.changed.connect(self._refresh)
        session.changed.connect(self._show_preview)
        dims = self._viewer.dims.events
        for event in (dims.current_step, dims.order, dims.ndisplay):
            event.connect(self._show_preview)
        dims.order.connect(self._refresh)
        self._viewer.layers.events.inserted.connect(self._layer_added)
        self._viewer.layers.events.removed.connect(self._layer_removed)
        self._viewer.layers.selection.events.active.connect(self._refresh)
        self.native.destroyed.connect(self.disconnect_viewer)

    def disconnect_viewer(self, _: Any = None) -> None:
        """Stop work and let go of the viewer; all layers but the preview stay."""
        self._runner.close()
        self._changes.close()
        self._ahead.close()
        self._keys.close()
        layers = self._viewer.layers
        events = self._viewer.dims.events, layers.events, layers.selection.events
        for callback in (
            self._show_preview,
            self._refresh,
            self._layer_added,
            self._layer_removed,
        ):
            for group in events:
                group.disconnect(callback)
        for choice in (self.image, self.points, self.shapes, self.labels_layer):
            choice.disconnect_viewer()
        self._preview.remove()

    # -- choices ---------------------------------------------------------------

    def _choose_model(self, _: Any = None) -> None:
        own = self.model.value == OWN_FILE
        self.session.model = str(self.model_file.value) if own else self.model.value
        known = own and self.family.value != AS_IT_SAYS
        self.session.model_choice.family = self.family.value if known else None
        self._refresh()

    def _make_prompt_layers(self) -> None:
        points, shapes = self.session.new_prompt_layers()
        self.points.select(points)
        self.shapes.select(shapes)
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        points.mode = "add"

    def _refine(self) -> None:
        self.session.refine()
        revision = self.session.corrections.revision
        if revision is not None and self.session.labels_layer is None:
            self.labels_layer.select(revision.labels)

    def _go_back(self) -> None:
        self.session.previous_object()
        self.each.value = self.session.each_prompt_an_object

    # -- work ------------------------------------------------------------------

    def _ask_live(self) -> None:
        """Segment the slice again, because something about it changed."""
        self._hint = ""
        if not self.live.value or self._runner.busy_with_asked:
            return
        try:
            question = self.session.live_request()
        except ValueError as error:
            # While drawing this is no mistake yet: said quietly.
            self._hint = str(error)
            question = None
        if question is not None and self.session.model_choice.is_at_hand:
            self._runner.run(question, live=True)
            self._enable()
        else:
            self._refresh()

    def _accept(self) -> None:
        if self._runner.busy:
            self._accept_next = True  # as soon as the mask is there
            return
        self.session.commit()
        self._preview.to_top()
        self.labels_layer.select(self.session.labels_layer)
        written = self.session.target.last_written
        sentence = "" if written is None else committed_text(written)
        if sentence:
            show_info(sentence)

    def _clean_waiting(self, _: Any = None) -> None:
        """Bring what waits to the chosen clean-up; later, while other work is done."""
        todo = self.session.build_pending_cleanup()
        if todo is not None and (self._cleaning or not self._runner.busy):
            finish, take = todo
            self._runner.compute("Choosing and cleaning up", finish, take)
            self._cleaning = True
        self._enable()

    def _clean_label(self) -> None:
        tidying = self.session.build_label_cleanup()
        self._runner.compute("Cleaning up", tidying.compute, tidying.write)

    def _measure(self) -> None:
        asked = self.session.build_measurement()
        show = partial(show_table, asked, self._viewer.dims, notify_errors, self.native)
        self._runner.compute("LabelMeasurementJob", asked.compute, show)

    def _end(self) -> None:
        accept, self._accept_next = self._accept_next, False
        if accept and self.session.result is not None and not self._runner.busy:
            notify_errors(self._accept)()
        self._cleaning = False
        self._refresh()

    def _show_failure(self, error: Exception) -> None:
        self._accept_next = False
        show_error(str(error))

    # -- showing ---------------------------------------------------------------

    def _show_progress(self, sentence: str, done: int, total: int) -> None:
        self.progress.visible = True
        # Without a known end it stays empty: a bar that moves by itself would redraw
        # the window all the time, canvas included, and slow the network down.
        self.progress.max = max(total, 1)
        self.progress.value = min(done, total)
        self.status.value = sentence
        self._enable()

    def _refresh(self, _: Any = None) -> None:
        self.image.update()
        session = self.session
        prompts = [session.points_layer, session.shapes_layer]
        self._changes.follow(prompts, session.image_layer)
        own = self.model.value == OWN_FILE
        self.model_file.visible = self.family.visible = own
        spec = None if own else get_model_spec(self.model.value)
        note, seen = model_text(spec, session.model_choice.loaded)
        self.model_note.value, self.model_note.tooltip = note, seen
        self.download.visible = not (own or session.model_choice.is_at_hand)
        if spec is not None:
            self.download.text = download_text(spec)
        started = session.points_layer is not None or session.shapes_layer is not None
        self.new_prompts.text = NEW_PROMPTS if started else START
        self.more_options.refresh()
        self.everything.explain(session.model_choice.prompts)
        self.through.refresh()
        if not self._runner.busy:
            self.progress.visible = False
            self.status.value = self._hint or status_text(session)
        self._enable()

    def _enable(self) -> None:
        """Turn buttons on or off; those that are off say why when pointed at."""
        runner = self._runner
        for name, why in disabled_reason(
            self.session, runner.busy, runner.busy_with_asked
        ).items():
            button = getattr(self, name)
            button.enabled = not why
            button.tooltip = why or self.tooltips[name]

    def _layer_added(self, event: Any = None) -> None:
        # Prompts that came with a sample are there to be tried.
        for choice in (self.points, self.shapes):
            choice.adopt_own(event.value)
        self._refresh()

    def _layer_removed(self, _: Any = None) -> None:
        # A preview that the user removed stays away until there is news.
        if self.session.result is None:
            self._preview.hide()
        self._refresh()

    def _show_preview(self, _: Any = None) -> None:
        self._show_strip()
        result, image = self.session.result, self.session.waiting.image
        if result is None or image is None or image not in self._viewer.layers:
            self._preview.hide()
            return
        try:
            plane = displayed_plane(image, self._viewer.dims)
        except ValueError:  # a 3D view, or a slider outside the image
            self._preview.hide()
            return
        self._preview.show(image, result.pieces, plane.plane_index())

    def _show_strip(self) -> None:
        """Which slices of a waiting stack are good, and which to look at."""
        waiting = self.session.waiting
        count = 0 if waiting.stack is None else len(waiting.stack)
        self.strip.show_states(waiting.states, count, waiting.displayed_slice)

    def _pressed(self, button: Any) -> Callable[[], None]:
        """What a key does: the same as its button, when that is on."""

        def press() -> None:
            if button.enabled:
                button.changed.emit(True)

        return press
