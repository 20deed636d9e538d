"""What the user is doing now: model, image, prompts, current object. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam.cache import EmbeddingCache
from napari_sam.models import DEFAULT_MODEL
from napari_sam.plugin.asking import (
    Asked,
    going_on,
    slice_question,
    stack_question,
)
from napari_sam.plugin.candidates import has_choice, with_next_size
from napari_sam.plugin.corrections import Corrections
from napari_sam.plugin.doubts import (
    DOUBTFUL,
    go_to_slice,
    next_doubtful,
    slice_states,
)
from napari_sam.plugin.image_view import (
    ChannelChoice,
    ImageView,
    displayed_stack,
    walkable_axes,
)
from napari_sam.plugin.layer_prompts import collect_prompts
from napari_sam.plugin.layers import Sliders, displayed_plane
from napari_sam.plugin.model_choice import ModelChoice
from napari_sam.plugin.prompt_layers import (
    add_prompt_layers,
    next_is_positive,
    set_polarity,
)
from napari_sam.plugin.provenance import record_of
from napari_sam.plugin.questions import Committed, Question, UsedPrompts
from napari_sam.plugin.target import Target
from napari_sam.requests import SliceRequest, StackRequest, run_to_end
from napari_sam.volume import PropagationOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

    from napari_sam.intensity import IntensityMapping
    from napari_sam.planes import PlaneIndex
    from napari_sam.plugin.model_choice import Report
    from napari_sam.plugin.questions import Revision
    from napari_sam.predictor import Prediction, Predictor
    from napari_sam.record import Record
    from napari_sam.refinement import Size
    from napari_sam.requests import Result, View
    from napari_sam.stack import Stack
    from napari_sam.volume import SliceResult, Status, VolumeResult


class SamSession:
    """A segmentation session on a viewer, for scripts and under the widget.

    Prompts are ordinary Points and Shapes layers, results go to a Labels layer.
    `preview` or `propagate` compute the current object, `commit` writes it.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        No display is needed.
    model : str, Path or Predictor
        See `napari_sam.load_model`; loaded when it is first needed.

    Attributes
    ----------
    points_layer, shapes_layer : Points, Shapes or None
        Where prompts are read; any layers of the viewer.
    model_choice : ModelChoice
        The model and, for files that are not registered, its `family`.
    target : Target
        Where results go: `target.policy` says what happens to pixels of other
        objects, `target.use_selected_label` which id objects get.
    each_prompt_an_object : bool
        Every box and positive point is an object of its own, instead of all
        prompts together describing one.
    propagation : PropagationOptions
        When an object ends on its way through a stack.
    size : {"small", "medium", "large"} or None
        Which of several candidates a prompt means; the best scored when None.
    """

    changed = Signal()

    def __init__(
        self, viewer: ViewerModel, model: str | Path | Predictor = DEFAULT_MODEL
    ) -> None:
        self.viewer = viewer
        self.cache = EmbeddingCache()
        self.points_layer: Points | None = None
        self.shapes_layer: Shapes | None = None
        self.target = Target(viewer)
        self.each_prompt_an_object = False
        self.propagation = PropagationOptions()
        self.size: Size | None = None
        self._view = ImageView(viewer)
        self.model_choice = ModelChoice(model)
        self._result: Result | None = None
        self._question: Question | None = None
        self._used = UsedPrompts(viewer)
        self._corrections = Corrections(viewer, self._used)

    # -- model and layers ------------------------------------------------------

    @property
    def model(self) -> Any:
        """Name, path or predictor that answers."""
        return self.model_choice.chosen

    @model.setter
    def model(self, model: str | Path | Predictor) -> None:
        self.model_choice.choose(model)

    def load(self, progress: Report | None = None) -> Predictor:
        """Load the model unless it is loaded; brings its weights where needed."""
        return self.model_choice.load(progress)

    @property
    def image_layer(self) -> Image | None:
        """The image that is segmented.

        The chosen, the active, the one under the new prompt layers or the topmost.
        """
        return self._view.image

    @image_layer.setter
    def image_layer(self, layer: Image | None) -> None:
        if layer is not self._view.chosen:
            self._forget()
            self._view.channels = ()
        self._view.chosen = layer
        self.changed.emit()

    @property
    def labels_layer(self) -> Labels | None:
        """Where results go; made at the first commit when None."""
        return self.target.layer

    @labels_layer.setter
    def labels_layer(self, layer: Labels | None) -> None:
        self.target.layer = layer
        self.changed.emit()

    @property
    def intensity(self) -> IntensityMapping:
        """Which values the model sees as black and white; as displayed by default."""
        return self._view.intensity

    @intensity.setter
    def intensity(self, mapping: IntensityMapping) -> None:
        self._view.intensity = mapping

    @property
    def channels(self) -> tuple[ChannelChoice, ...]:
        """One to three channels that the model sees; none for what is displayed."""
        return self._view.channels

    @channels.setter
    def channels(self, channels: Sequence[ChannelChoice]) -> None:
        self._view.channels = tuple(channels)

    def new_prompt_layers(self) -> tuple[Points, Shapes]:
        """Add a Points and a Shapes layer that lie over the image, and use them.

        Raises
        ------
        ValueError
            When the viewer has no image.
        """
        self._view.prompted = self._require_image()
        layers = add_prompt_layers(self.viewer, self._view.prompted)
        self.points_layer, self.shapes_layer = layers
        self.changed.emit()
        return layers

    def set_polarity(self, positive: bool) -> None:
        """Make the next and the selected points lie on the object, or off it.

        Raises
        ------
        ValueError
            When no points layer is chosen.
        """
        layer = self._present(self.points_layer)
        if layer is None:
            raise ValueError(
                "There is no points layer: press 'New prompt layers' or choose one."
            )
        set_polarity(layer, positive)

    def toggle_polarity(self) -> None:
        """Make the next points mean the opposite of what they would."""
        layer = self._present(self.points_layer)
        self.set_polarity(layer is not None and not next_is_positive(layer))

    # -- questions: read layers on the main thread -----------------------------

    def ask_slice(self) -> Question:
        """Gather what is needed to segment the displayed plane.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        asked, question = self._on_slice()
        if question is None:
            raise ValueError(asked.why_none("slice", self._prompt_layers()))
        return question

    def peek_slice(self) -> Question | None:
        """As `ask_slice`; None when the plane has no prompts or they are answered.

        An object that waits on this plane is forgotten when its prompts are gone
        or cannot be used any more. One that was followed through a stack waits
        until it is accepted or discarded, whatever is drawn meanwhile.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        waiting = None if self.result is None else self._question
        if waiting is not None and isinstance(waiting.request, StackRequest):
            return None
        try:
            asked, question = self._on_slice()
        except ValueError:
            self._withdraw_slice(None)
            raise
        if question is None:
            self._withdraw_slice(asked.plane.at())
        elif waiting is None or not waiting.asks_as(question):
            return question
        return None

    def _withdraw_slice(self, at: PlaneIndex | None) -> None:
        """Forget an object that waits on a plane, or on any; its prompts stay."""
        waiting = self._question
        if waiting is None or not isinstance(waiting.request, SliceRequest):
            return  # following an object through a stack took long: it stays
        if at is None or waiting.at == at:
            self._forget()
            self.changed.emit()

    def ask_stack(self) -> Question:
        """Gather what is needed to follow the objects through the stack.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        asked = self._gather()
        question = stack_question(asked, self.propagation)
        if question is None:
            raise ValueError(asked.why_none("stack", self._prompt_layers()))
        question = going_on(question, self._question, self.result)
        self.target.check(question)
        return question

    def planes_ahead(self, step: int) -> tuple[View, list[PlaneIndex]]:
        """The displayed plane, and the next one along the slider of the stack.

        Raises
        ------
        ValueError
            When no plane of an image is displayed.
        """
        image = self._require_image()
        plane = displayed_plane(image, self.viewer.dims)
        view = self._view.of(image)
        planes = [plane.at()]
        if walkable_axes(view, plane):
            stack = displayed_stack(view, image.name, plane)
            following = plane.index[stack.axis] + step
            if 0 <= following < len(stack):
                planes.append(stack.at(following))
        return view, planes

    def _on_slice(self) -> tuple[Asked, Question | None]:
        """What is asked about the displayed plane, fit for the target."""
        asked = self._gather()
        question = slice_question(asked)
        if question is not None:
            self.target.check(question)
        return asked, question

    def _gather(self) -> Asked:
        image = self._require_image()
        plane = displayed_plane(image, self.viewer.dims)
        prompts = collect_prompts(self._prompt_layers(), image, plane, self.viewer.dims)
        return Asked(
            image,
            self._view.of(image),
            plane,
            Sliders.of(self.viewer.dims),
            [p for p in prompts if p not in self._used],
            self.each_prompt_an_object,
            self.model,
            self.size,
            self._corrections.picked,
            self._corrections.revision,
        )

    def _prompt_layers(self) -> list[Points | Shapes]:
        layers = self._present(self.points_layer), self._present(self.shapes_layer)
        return [layer for layer in layers if layer is not None]

    # -- answers ---------------------------------------------------------------

    @property
    def result(self) -> Result | None:
        """Objects that wait to be accepted, as long as their image is as it was."""
        question = self._question
        if question is None or not question.is_current(self.viewer):
            return None
        return self._result

    @property
    def result_image(self) -> Image | None:
        """The image that the waiting objects belong to."""
        return None if self._question is None else self._question.image

    def adopt(self, question: Question, result: Result) -> None:
        """Take the answer to a question as the current object.

        Raises
        ------
        ValueError
            When image or model have changed meanwhile; the answer is dropped.
        """
        if question.image not in self.viewer.layers:
            raise ValueError("The image was removed: its result was dropped.")
        if not question.is_current(self.viewer):
            raise ValueError("The image was replaced: its result was dropped.")
        if question.model != self.model:
            raise ValueError("The model was changed: its result was dropped.")
        self._question, self._result = question, result
        self.changed.emit()

    def preview(self) -> Prediction | None:
        """Segment the displayed plane from the prompts that lie on it.

        Returns
        -------
        Prediction or None
            Of the current object (the first one when each prompt is an object);
            None when the plane has no prompts. Nothing is written.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used.
        """
        _, question = self._on_slice()
        if question is None:
            self._forget()
            self.changed.emit()
            return None
        self.adopt(question, run_to_end(question.request.run(self.load(), self.cache)))
        assert self._result is not None
        return self._result.predictions[0]

    @property
    def has_candidates(self) -> bool:
        """Whether `next_candidate` has something to show."""
        return self.result is not None and has_choice(self.result)

    def next_candidate(self) -> None:
        """Take the next larger of the candidates, or the smallest after the largest.

        The size is what later prompts mean as well, see `size`.

        Raises
        ------
        ValueError
            When no object waits that has several candidates.
        """
        question, result = self._question, self.result
        if question is None or result is None or not has_choice(result):
            raise ValueError("There are no other candidates for this object.")
        self._question, self._result = with_next_size(question, result)
        request = self._question.request
        self.size = request.size if isinstance(request, SliceRequest) else None
        self.changed.emit()

    @property
    def slice_states(self) -> dict[int, Status]:
        """{slice: its state} of the waiting stack, the most doubtful object's."""
        result = self.result
        if result is None or result.volume is None:
            return {}
        return slice_states(result.volume)

    @property
    def doubtful(self) -> list[int]:
        """The slices of the waiting stack that are to be looked at."""
        states = self.slice_states
        return sorted(i for i, state in states.items() if state in DOUBTFUL)

    def next_doubtful(self) -> int:
        """Go to the next doubtful slice of the waiting stack, which is returned.

        Raises
        ------
        ValueError
            When no stack waits, or none of its slices is doubtful.
        """
        current = self.displayed_slice
        found = next_doubtful(self.slice_states, -1 if current is None else current)
        if found is None:
            raise ValueError("No slice of a stack is doubtful.")
        self.go_to_slice(found)
        return found

    @property
    def displayed_slice(self) -> int | None:
        """Which slice of the waiting stack is displayed."""
        stack, image = self._waiting_stack, self.result_image
        if stack is None or image is None:
            return None
        try:
            return displayed_plane(image, self.viewer.dims).index.get(stack.axis)
        except ValueError:  # a 3D view, or a slider outside the image
            return None

    def go_to_slice(self, index: int) -> None:
        """Display a slice of the waiting stack."""
        stack, image = self._waiting_stack, self.result_image
        if stack is not None and image is not None:
            go_to_slice(self.viewer, image, stack.axis, index)

    @property
    def _waiting_stack(self) -> Stack | None:
        result = self.result
        return None if result is None or result.volume is None else result.volume.stack

    def iter_propagate(self) -> Iterator[SliceResult]:
        """Follow the objects through the stack; yields slice results.

        Stop iterating to cancel: what was yielded until then can be committed.
        """
        question = self.ask_stack()
        request = question.request
        assert isinstance(request, StackRequest)
        predictor = self.load()
        work, results = request.propagation(), []
        try:
            for result in work.run(predictor, self.cache, request.limits):
                results.append(result)
                yield result
        finally:
            if results:
                volume = work.finish(results)
                self.adopt(question, request.finish(predictor, volume))

    def propagate(self) -> VolumeResult:
        """Follow the objects through the axis of the slider, from all prompts."""
        for _ in self.iter_propagate():
            pass
        assert self._result is not None
        assert self._result.volume is not None
        return self._result.volume

    def commit(self) -> int:
        """Write the current object into the labels layer, as one undo step.

        Prompts of layers made by `new_prompt_layers` are removed, those of other
        layers stay and are not used again; `previous_object` brings them back.

        Returns
        -------
        int
            Its label id; of several objects the last one's.

        Raises
        ------
        ValueError
            When there is nothing to write, or the labels layer cannot take it.
        """
        result, question = self.result, self._question
        if result is None or question is None:
            raise ValueError("There is nothing to accept: segment an object first.")
        if not result.pieces:
            raise ValueError("The mask is empty: change the prompts and try again.")
        labels, written = self.target.write(question, result)
        self._corrections.remember(Committed(question, labels, written.label_ids))
        self._used.release(question.prompts)
        self._forget()
        self.changed.emit()
        return written.label_ids[-1]

    def discard(self) -> None:
        """Forget the current object and its prompts; all layers stay."""
        if self._question is not None:
            self._used.release(self._question.prompts)
        self._corrections.give_up()
        self._forget()
        self.changed.emit()

    # -- objects that are there already ----------------------------------------

    def refine(self, label: int | None = None, layer: Labels | None = None) -> None:
        """Take an object of a labels layer as the prompt on the displayed plane.

        Points and a box drawn on it take part; committing replaces the object.

        Parameters
        ----------
        label : int, optional
            Its id; the selected label of the layer when None.
        layer : Labels, optional
            Where it is; the labels layer of the session when None.

        Raises
        ------
        ValueError
            When there is no such object on the displayed plane.
        """
        labels = self._present(layer) or self.target.present_layer
        if labels is None:
            raise ValueError("There are no labels to refine: choose a labels layer.")
        image = self._require_image()
        plane = displayed_plane(image, self.viewer.dims)
        label = int(labels.selected_label) if label is None else label
        self._corrections.pick(labels, label, image, plane)
        self._forget()
        self.changed.emit()

    @property
    def revision(self) -> Revision | None:
        """The objects that the next result replaces."""
        return self._corrections.revision

    @property
    def can_go_back(self) -> bool:
        """Whether there is an object that `previous_object` brings back."""
        return self._corrections.can_go_back

    def previous_object(self) -> None:
        """Bring back the prompts of the last committed object, to correct it.

        Committing again replaces the object, where it has not been undone.

        Raises
        ------
        ValueError
            When there is none, or a result waits to be accepted.
        """
        if self.result is not None:
            raise ValueError("A result waits: accept or discard it first.")
        last = self._corrections.go_back()
        self.each_prompt_an_object = last.question.each
        self.changed.emit()

    def record(self) -> Record:
        """How the objects of the labels layer were made, in plain JSON types.

        What was undone is left out. `napari_sam.replay` makes the labels again.

        Raises
        ------
        ValueError
            When there is no labels layer.
        """
        labels = self.target.present_layer
        if labels is None:
            raise ValueError("There are no labels yet: accept an object first.")
        return record_of(labels)

    def _forget(self) -> None:
        self._question = self._result = None

    def _require_image(self) -> Image:
        image = self.image_layer
        if image is None:
            raise ValueError("There is no image: open one, or choose its layer.")
        return image

    def _present(self, layer: Any) -> Any:
        """The layer, as long as it is in the viewer."""
        return layer if layer is not None and layer in self.viewer.layers else None
