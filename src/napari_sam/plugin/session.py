"""What the user is doing now: model, image, prompts, current object. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.plugin.layers.displayed_stack import planes_ahead
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.state.commit_history import CommitHistory
from napari_sam.plugin.state.label_cleanup import LabelCleanupJob
from napari_sam.plugin.state.label_measurement import LabelMeasurementJob
from napari_sam.plugin.state.layer_request import CommittedObjects, ConsumedPrompts
from napari_sam.plugin.state.pending_result import PendingResult
from napari_sam.plugin.state.provenance import record_of
from napari_sam.plugin.state.request_builder import RequestBuilder
from napari_sam.plugin.state.settings import SessionSettings
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.requests.base import run_to_end
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.measurements import ObjectMeasurement
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.prediction.predictor import Prediction, Predictor
    from napari_sam.records.record import Record
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.requests.view import ImageView
    from napari_sam.volume.results import SliceResult, VolumeResult


class SamSession(SessionSettings):
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
    waiting : PendingResult
        The current object, or several; of a stack also which slices to doubt.
    corrections : CommitHistory
        The objects that the next result replaces, and those one can go back to.
    cache : EmbeddingCache
        Planes that are encoded.

    Further ones are those of `SessionSettings`: layers, model and options.
    """

    def __init__(
        self, viewer: ViewerModel, model: str | Path | Predictor = DEFAULT_MODEL
    ) -> None:
        super().__init__(viewer, model)
        self.cache = EmbeddingCache()
        self.waiting = PendingResult(viewer)
        self._used = ConsumedPrompts(viewer)
        self.corrections = CommitHistory(viewer, self._used)
        self._asker = RequestBuilder(self, self._used, self.corrections)
        self.image_chosen.connect(self.waiting.forget)

    # -- questions: read layers on the main thread -----------------------------

    def build_plane_request(self) -> LayerRequest:
        """Gather what is needed to segment the displayed plane.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        return self._asker.slice()

    def build_stack_request(self) -> LayerRequest:
        """Gather what is needed to follow the objects through the stack.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        return self._asker.stack(self.waiting)

    def build_automatic_request(self) -> LayerRequest:
        """Gather what is needed to segment everything in the displayed plane.

        Shapes that lie on the plane limit where objects are searched.

        Raises
        ------
        ValueError
            When image, shapes or target cannot be used; the sentence says why.
        """
        return self._asker.everything()

    def live_request(self) -> LayerRequest | None:
        """Build the request of the displayed plane; None when nothing is new.

        An object that waits on this plane is forgotten when its prompts are gone
        or cannot be used any more. One that was followed through a stack waits
        until it is accepted or discarded, whatever is drawn meanwhile.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used; the sentence says why.
        """
        if self.waiting.is_stack or self.waiting.is_everything:
            return None
        try:
            asked = self._asker.read()
            question = self._asker.on_slice(asked)
        except ValueError:
            self._withdraw_slice(None)
            raise
        waiting = None if self.result is None else self.waiting.question
        if question is None:
            self._withdraw_slice(asked.plane.plane_index())
        elif waiting is None or not waiting.same_request(question):
            return question
        return None

    def _withdraw_slice(self, plane_index: PlaneIndex | None) -> None:
        """Forget an object that waits on a plane, or on any; its prompts stay."""
        waiting = self.waiting.question
        if waiting is None or not isinstance(waiting.request, PlaneRequest):
            return  # following an object through a stack took long: it stays
        if plane_index is None or waiting.plane_index == plane_index:
            self._forget()

    def planes_ahead(self, step: int) -> tuple[ImageView, list[PlaneIndex]]:
        """The displayed plane, and the next one along the slider of the stack.

        Raises
        ------
        ValueError
            When no plane of an image is displayed.
        """
        image = self.require_image()
        plane = displayed_plane(image, self.viewer.dims)
        view = self.view.of(image)
        return view, planes_ahead(view, image.name, plane, step, self.axis)

    # -- answers ---------------------------------------------------------------

    @property
    def result(self) -> SegmentationResult | None:
        """Objects that wait to be accepted, as long as their image is as it was."""
        return self.waiting.result

    def accept_result(self, question: LayerRequest, result: SegmentationResult) -> None:
        """Take the answer to a question as the current object.

        Raises
        ------
        ValueError
            When image or model have changed meanwhile; the answer is dropped.
        """
        self.waiting.take(question, result, self.model)
        self.changed.emit()

    def next_candidate(self) -> None:
        """Take the next larger of the candidates, or the smallest after the largest.

        The size is what later prompts mean as well, see `size`.

        Raises
        ------
        ValueError
            When no object waits that has several candidates.
        """
        self.waiting.take_next_size()
        question = self.waiting.question
        assert question is not None
        assert isinstance(question.request, PlaneRequest)
        self.size = question.request.size
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
        question = self._asker.on_slice(self._asker.read())
        if question is None:
            self._forget()
            return None
        result = run_to_end(question.request.run(self.load(), self.cache))
        self.accept_result(question, result)
        return result.predictions[0]

    def segment_everything(self) -> SegmentationResult:
        """Segment everything in the displayed plane; waits like any other result.

        `thresholds`, `search` and `linking` say how. After other thresholds or another
        linking `refinish_pending` chooses again, without asking the model.

        Raises
        ------
        ValueError
            When image, shapes or target cannot be used.
        """
        question = self.build_automatic_request()
        result = run_to_end(question.request.run(self.load(), self.cache))
        self.accept_result(question, result)
        return result

    def iter_propagate(self) -> Iterator[SliceResult]:
        """Follow the objects through the stack; yields slice results.

        Stop iterating to cancel: what was yielded until then can be committed.
        """
        question = self.build_stack_request()
        request = question.request
        assert isinstance(request, StackRequest)
        predictor = self.load()
        slices = request.iter_slices(predictor, self.cache)
        try:
            yield from slices
        finally:
            volume = slices.result()
            if volume.slices:
                self.accept_result(question, request.finish(predictor, volume))

    def propagate(self) -> VolumeResult:
        """Follow the objects along `axis`, from all prompts."""
        for _ in self.iter_propagate():
            pass
        assert self.result is not None
        assert self.result.volume is not None
        return self.result.volume

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
        result, question = self.result, self.waiting.question
        if result is None or question is None:
            raise ValueError("There is nothing to accept: segment an object first.")
        if not result.pieces:
            raise ValueError("The mask is empty: change the prompts and try again.")
        labels, written = self.target.write(question, result)
        if not result.candidates:  # hundreds are not corrected together
            self.corrections.remember(
                CommittedObjects(question, labels, written.label_ids)
            )
        self._used.release(question.prompts)
        self._forget()
        return written.label_ids[-1]

    def discard(self) -> None:
        """Forget the current object and its prompts; all layers stay."""
        if self.waiting.question is not None:
            self._used.release(self.waiting.question.prompts)
        self.corrections.give_up()
        self._forget()

    def refinish_pending(self) -> None:
        """Bring what waits to `cleanup`, `thresholds` and `linking` of this moment."""
        todo = self.build_pending_cleanup()
        if todo is not None:
            finish, take = todo
            take(finish())

    def build_pending_cleanup(
        self,
    ) -> (
        tuple[Callable[[], SegmentationResult], Callable[[SegmentationResult], None]]
        | None
    ):
        """What `refinish_pending` computes, on any thread, and what takes it."""
        names = "cleanup", "thresholds", "linking"
        todo = self.waiting.chosen({name: getattr(self, name) for name in names})
        if todo is None:
            return None
        finish, take = todo

        def taken(result: SegmentationResult) -> None:
            take(result)
            self.changed.emit()

        return finish, taken

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
        labels = self.present(layer) or self.target.present_layer
        if labels is None:
            raise ValueError("There are no labels to refine: choose a labels layer.")
        image = self.require_image()
        plane = displayed_plane(image, self.viewer.dims)
        label = int(labels.selected_label) if label is None else label
        self.corrections.pick(labels, label, image, plane)
        self._forget()

    def build_label_cleanup(self, label: int | None = None) -> LabelCleanupJob:
        """Gather what is needed to give an object of the labels layer the clean-up.

        Parameters
        ----------
        label : int, optional
            Its id; the selected label of the layer when None.

        Raises
        ------
        ValueError
            When nothing is to be done, or the layer cannot be written to.
        """
        labels = self.target.require_layer()
        label = int(labels.selected_label) if label is None else label
        axis = self.axis_of(labels)
        return LabelCleanupJob.ask(labels, label, self.cleanup, self.viewer.dims, axis)

    def clean_label(self, label: int | None = None) -> int:
        """Clean up an object of the labels layer in one undo step, see `cleanup`.

        Returns
        -------
        int
            Pixels that changed; those of other labels never do.
        """
        tidying = self.build_label_cleanup(label)
        return tidying.write(tidying.compute())

    def build_measurement(self) -> LabelMeasurementJob:
        """Gather what is needed to measure the objects of the labels layer.

        Raises
        ------
        ValueError
            When there is no labels layer, or no plane of it is displayed.
        """
        labels = self.target.require_layer()
        return LabelMeasurementJob.ask(labels, self.viewer.dims, self.axis_of(labels))

    def measure(self) -> list[ObjectMeasurement]:
        """Size, slices and lowest score of every object of the labels layer.

        In the layer's units. `napari_sam.masks.measurements.write_csv` saves them.
        """
        return self.build_measurement().compute()

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
        last = self.corrections.go_back()
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
        return record_of(self.target.require_layer())

    def _forget(self) -> None:
        self.waiting.forget()
        self.changed.emit()
