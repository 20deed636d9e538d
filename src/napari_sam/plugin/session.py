"""What the user is doing now: model, image, prompts, current object. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam.cache import EmbeddingCache
from napari_sam.models import DEFAULT_MODEL
from napari_sam.plugin.grouping import objects_in_stack, objects_on_plane
from napari_sam.plugin.jobs import Result, SliceRequest, StackRequest, run_to_end
from napari_sam.plugin.labels_writer import Written, check_target, write_objects
from napari_sam.plugin.layers import (
    DisplayedPlane,
    LayerPrompt,
    collect_prompts,
    display_limits,
    displayed_plane,
    displayed_stack,
    full_data,
    placement,
    spatial_shape,
)
from napari_sam.plugin.prompt_layers import add_prompt_layers, set_polarity
from napari_sam.plugin.questions import Question, UsedPrompts
from napari_sam.volume import PropagationOptions, check_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

    from napari_sam.models import Family
    from napari_sam.predictor import Prediction, Predictor
    from napari_sam.volume import SliceResult, VolumeResult

    Loader = Callable[[Callable[[int, int | None], None] | None], Predictor]


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
    family : str or None
        How a model file was trained; needed for files that are not registered.
    labels_layer : Labels or None
        Where results go; made at the first commit when None.
    each_prompt_an_object : bool
        Every box and positive point is an object of its own, instead of all
        prompts together describing one.
    propagation : PropagationOptions
        When an object ends on its way through a stack.
    """

    changed = Signal()

    def __init__(
        self, viewer: ViewerModel, model: str | Path | Predictor = DEFAULT_MODEL
    ) -> None:
        self.viewer = viewer
        self.cache = EmbeddingCache()
        self.points_layer: Points | None = None
        self.shapes_layer: Shapes | None = None
        self.labels_layer: Labels | None = None
        self.each_prompt_an_object = False
        self.propagation = PropagationOptions()
        self.last_written: Written | None = None
        self.family: Family | None = None
        self._image_layer: Image | None = None
        self._prompted: Image | None = None
        self._predictor: Predictor | None = None
        self._model: Any = model
        self._result: Result | None = None
        self._question: Question | None = None
        self._used = UsedPrompts(viewer)
        self.model = model

    # -- model and layers ------------------------------------------------------

    @property
    def model(self) -> Any:
        """Name, path or predictor that answers."""
        return self._model

    @model.setter
    def model(self, model: str | Path | Predictor) -> None:
        from napari_sam.predictor import Predictor

        self._model = model
        self._predictor = model if isinstance(model, Predictor) else None

    @property
    def loaded(self) -> Predictor | None:
        """The predictor, when it is loaded."""
        return self._predictor

    def load(
        self, progress: Callable[[int, int | None], None] | None = None
    ) -> Predictor:
        """Load the model unless it is loaded; brings its weights where needed."""
        if self._predictor is None:
            self._predictor = self.loader()(progress)
        return self._predictor

    def loader(self) -> Loader:
        """A function that loads the chosen model, for any thread."""
        model, family = self._model, self.family

        def load(
            progress: Callable[[int, int | None], None] | None = None,
        ) -> Predictor:
            from napari_sam.loading import load_model

            return load_model(model, family=family, progress=progress)

        return load

    def keep(self, predictor: Predictor, model: Any) -> None:
        """Keep the predictor loaded from `model`, if that is still the chosen one."""
        if model is self._model:
            self._predictor = predictor

    @property
    def image_layer(self) -> Image | None:
        """The image that is segmented.

        The chosen, the active, the one under the new prompt layers or the topmost.
        """
        from napari.layers import Image

        if self._present(self._image_layer) is not None:
            return self._image_layer
        active = self.viewer.layers.selection.active
        if isinstance(active, Image):
            return active
        if self._present(self._prompted) is not None:
            return self._prompted
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        return images[-1] if images else None

    @image_layer.setter
    def image_layer(self, layer: Image | None) -> None:
        if layer is not self._image_layer:
            self._forget()
        self._image_layer = layer
        self.changed.emit()

    def new_prompt_layers(self) -> tuple[Points, Shapes]:
        """Add a Points and a Shapes layer that lie over the image, and use them.

        Raises
        ------
        ValueError
            When the viewer has no image.
        """
        self._prompted = self._require_image()
        layers = add_prompt_layers(self.viewer, self._prompted)
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

    # -- questions: read layers on the main thread -----------------------------

    def ask_slice(self) -> Question:
        """Gather what is needed to segment the displayed plane.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        image, plane, prompts = self._gather()
        question = self._slice_question(image, plane, prompts)
        if question is None:
            raise ValueError(
                f"All {len(prompts)} prompts lie on other slices: go to one of those."
                if prompts
                else "There are no new prompts: click a point or draw a box on an "
                "object."
            )
        return question

    def _slice_question(
        self, image: Image, plane: DisplayedPlane, prompts: list[LayerPrompt]
    ) -> Question | None:
        """The question that the prompts on the plane ask, if there are any."""
        here = [p for p in prompts if p.slices == plane.index]
        if not here:
            return None
        asked = objects_on_plane(here, self.each_prompt_an_object)
        objects = tuple(prompt.within(plane.shape) for prompt in asked)
        request = SliceRequest(full_data(image), plane, display_limits(image), objects)
        return Question(request, image, tuple(here))

    def ask_stack(self) -> Question:
        """Gather what is needed to follow the objects through the stack.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        image, plane, prompts = self._gather()
        stack = displayed_stack(image, plane)
        here = [
            p
            for p in prompts
            if all(p.slices[axis] == at for axis, at in stack.fixed.items())
        ]
        if not here:
            raise ValueError(
                "There are no new prompts on this stack: draw a box on one of its "
                "slices."
            )
        plan = objects_in_stack(here, stack.axis, self.each_prompt_an_object)
        request = StackRequest(
            stack, display_limits(image), check_prompts(plan, stack), self.propagation
        )
        return Question(request, image, tuple(here))

    def _gather(self) -> tuple[Image, DisplayedPlane, list[LayerPrompt]]:
        image = self._require_image()
        plane = displayed_plane(image, self.viewer.dims)
        target = self._present(self.labels_layer)
        if target is not None:
            check_target(target, image)
        layers = (self._present(self.points_layer), self._present(self.shapes_layer))
        prompts = collect_prompts(layers, image, plane, self.viewer.dims)
        return image, plane, [p for p in prompts if p not in self._used]

    # -- answers ---------------------------------------------------------------

    @property
    def result(self) -> Result | None:
        """Objects that wait to be accepted, as long as their image is there."""
        return None if self._present(self.result_image) is None else self._result

    @property
    def result_image(self) -> Image | None:
        """The image that the waiting objects belong to."""
        return None if self._question is None else self._question.image

    def adopt(self, question: Question, result: Result) -> None:
        """Take the answer to a question as the current object.

        Raises
        ------
        ValueError
            When its image has been removed meanwhile; the answer is dropped.
        """
        if self._present(question.image) is None:
            raise ValueError("The image was removed: its result was dropped.")
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
        question = self._slice_question(*self._gather())
        if question is None:
            self._forget()
            self.changed.emit()
            return None
        self.adopt(question, run_to_end(question.request.run(self.load(), self.cache)))
        assert self._result is not None
        return self._result.predictions[0]

    def iter_propagate(self) -> Iterator[SliceResult]:
        """Follow the objects through the stack; yields slice results.

        Stop iterating to cancel: what was yielded until then can be committed.
        """
        question = self.ask_stack()
        request = question.request
        assert isinstance(request, StackRequest)
        results = []
        try:
            for result in request.results(self.load(), self.cache):
                results.append(result)
                yield result
        finally:
            if results:
                self.adopt(question, request.finish(results))

    def propagate(self) -> VolumeResult:
        """Follow the objects through the axis of the slider, from all prompts."""
        for _ in self.iter_propagate():
            pass
        assert self._result is not None
        assert self._result.volume is not None
        return self._result.volume

    def commit(self) -> int:
        """Write the current object into the labels layer, as one undo step.

        Pixels of other objects are kept. Prompts of layers made by
        `new_prompt_layers` are removed, those of other layers stay and are not
        used again.

        Returns
        -------
        int
            Its label id; of several objects the last one's.

        Raises
        ------
        ValueError
            When there is nothing to write, or the labels layer cannot take it.
        """
        image = self._present(self.result_image)
        if self._result is None or image is None:
            raise ValueError("There is nothing to accept: segment an object first.")
        if not self._result.pieces:
            raise ValueError("The mask is empty: change the prompts and try again.")
        labels = self._present(self.labels_layer)
        if labels is None:
            labels = self._new_labels(image)
        check_target(labels, image)
        self.last_written = write_objects(labels, self._result.pieces)
        self._release_prompts()
        self._forget()
        self.changed.emit()
        return self.last_written.label_ids[-1]

    def discard(self) -> None:
        """Forget the current object and its prompts; all layers stay."""
        self._release_prompts()
        self._forget()
        self.changed.emit()

    def _new_labels(self, image: Image) -> Labels:
        active = self.viewer.layers.selection.active
        self.labels_layer = self.viewer.add_labels(
            np.zeros(spatial_shape(image), np.int32),
            name="SAM labels",
            **placement(image),
        )
        # The user goes on drawing prompts where they were.
        if active is not None:
            self.viewer.layers.selection.active = active
        return self.labels_layer

    def _release_prompts(self) -> None:
        """Do not ask the prompts of the last question again."""
        if self._question is not None:
            self._used.release(self._question.prompts)

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
