"""Segmentation session on a viewer: layers, model, prompts and objects. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.plugin.labels.cleanup import LabelCleanupJob
from napari_sam.plugin.labels.edits import LabelEdits
from napari_sam.plugin.labels.measurement import LabelMeasurementJob
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.objects.current_object import CurrentObject
from napari_sam.plugin.state.commit_history import CommitHistory
from napari_sam.plugin.state.pending_result import Job, PendingResult
from napari_sam.plugin.state.provenance import record_of
from napari_sam.plugin.state.request_builder import RequestBuilder
from napari_sam.plugin.state.settings import SessionSettings, Setting
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes
    from psygnal import SignalInstance

    from napari_sam.automatic.candidates import Thresholds
    from napari_sam.automatic.linking import Linking
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.checkpoints.families import Family
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.masks.cleanup import CleanUp
    from napari_sam.masks.measurements import ObjectMeasurement
    from napari_sam.plugin.layers.image_source import ChannelChoice
    from napari_sam.plugin.layers.prompt_tool import Tool
    from napari_sam.plugin.state.labels_target import LabelsTarget
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.plugin.state.model_choice import ByteProgress, ModelChoice
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.predictor import Prediction, Predictor
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.records.record import Record
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.requests.stack import StackRequest
    from napari_sam.training.request import TrainingRequest
    from napari_sam.volume.results import PropagationOptions, SliceResult, VolumeResult


class SamSession:
    """A segmentation session on a viewer, for scripts and for the widget.

    Prompts are ordinary Points and Shapes layers; results go to a Labels layer.
    `preview` or `propagate` compute the pending result, `commit` writes it. Methods
    raise ValueError, with a sentence that says what to do, when layers, prompts or
    labels cannot be used.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        No display is needed.
    model : str, Path or Predictor
        See `napari_sam.load_model`; loaded when it is first needed.

    Attributes
    ----------
    settings : SessionSettings
        Layers, model and options, which are attributes of the session as well.
    cache : EmbeddingCache
        Encoded planes.
    history : CommitHistory
        Committed objects, and the ones that are corrected.
    current : CurrentObject
        The object that is segmented now, and those that wait to be written.
    labels : LabelEdits
        Corrections: `labels.merge`, `split`, `delete`, `rename` and `relabel`.
    """

    image_layer: Setting[Image | None] = Setting()
    points_layer: Setting[Points | None] = Setting()
    shapes_layer: Setting[Shapes | None] = Setting()
    labels_layer: Setting[Labels | None] = Setting()
    model: Setting[Any] = Setting()
    model_choice: Setting[ModelChoice] = Setting()
    target: Setting[LabelsTarget] = Setting()
    intensity: Setting[IntensityMapping] = Setting()
    channels: Setting[Sequence[ChannelChoice]] = Setting()
    each_prompt_an_object: Setting[bool] = Setting()
    propagation: Setting[PropagationOptions] = Setting()
    propagation_axes: Setting[list[int]] = Setting()
    axis: Setting[int | None] = Setting()
    zoom: Setting[Zoom] = Setting()
    size: Setting[Size | None] = Setting()
    cleanup: Setting[CleanUp] = Setting()
    thresholds: Setting[Thresholds] = Setting()
    search: Setting[SearchOptions] = Setting()
    everything_in_stack: Setting[bool] = Setting()
    linking: Setting[Linking] = Setting()
    set_polarity: Setting[Callable[[bool], None]] = Setting()
    toggle_polarity: Setting[Callable[[], None]] = Setting()
    tool: Setting[Tool | None] = Setting()
    changed: Setting[SignalInstance] = Setting()
    model_changed: Setting[SignalInstance] = Setting()
    zoom_changed: Setting[SignalInstance] = Setting()

    def __init__(
        self, viewer: ViewerModel, model: str | Path | Predictor = DEFAULT_MODEL
    ) -> None:
        self.viewer = viewer
        self.settings = SessionSettings(viewer, model)
        self.cache = EmbeddingCache()
        self.history = CommitHistory(viewer)
        self._builder = RequestBuilder(self.settings, self.history)
        self.current = CurrentObject(self.settings, self.history, self._builder)
        self.labels = LabelEdits(self.settings, self.current)
        self.settings.image_chosen.connect(self.current.drop)

    # -- settings --------------------------------------------------------------

    def use_model(
        self, model: str | Path | Predictor, family: Family | None = None
    ) -> None:
        """Choose a model, and the family of an unregistered file."""
        self.settings.use_model(model, family)

    def load(self, progress: ByteProgress | None = None) -> Predictor:
        """Load the model unless it is loaded; download its weights if needed."""
        return self.model_choice.load(progress)

    def new_prompt_layers(self) -> tuple[Points, Shapes]:
        """Add a Points and a Shapes layer over the image, and choose them."""
        return self.settings.new_prompt_layers()

    # -- requests: read layers on the main thread ------------------------------

    def build_plane_request(self) -> LayerRequest:
        """Build the request for the displayed plane."""
        return self._builder.plane_with_prompts(self.pending)

    def build_stack_request(self) -> LayerRequest:
        """Build the request for the displayed stack.

        It resumes the pending result if that is of the same stack.
        """
        return self._builder.stack(self.pending)

    def build_automatic_request(self) -> LayerRequest:
        """Build the request for all objects of the displayed plane or stack.

        Shapes on the plane limit the search to what they enclose.
        """
        return self._builder.automatic()

    def live_request(self) -> LayerRequest | None:
        """Build the request for the displayed plane; None when nothing is new.

        A pending result of this plane is dropped when its prompts are gone or cannot
        be used any more. Results of stacks and of automatic segmentation stay until
        they are accepted or discarded.
        """
        return self.current.live_request()

    def build_training_request(
        self,
        labels: Labels | None = None,
        image: Image | None = None,
        minutes: float = 10.0,
        all_labelled: bool = False,
    ) -> TrainingRequest:
        """Build the request to train the model on labels as they are now.

        Its `run` yields progress and returns a `TrainingResult`; pass the path of that
        to `use_model`.

        Parameters
        ----------
        labels, image : Labels, Image, optional
            Layers of the same shape; those of the session when None.
        minutes : float
            Training time; encoding the images comes before.
        all_labelled : bool
            Whether all objects have labels, see `TrainingOptions`.
        """
        from napari_sam.plugin.state.training_request import training_request

        labels = self.labels_layer if labels is None else labels
        image = self.image_layer if image is None else image
        return training_request(image, labels, minutes, all_labelled)

    # -- the pending result ----------------------------------------------------

    @property
    def pending(self) -> PendingResult | None:
        """The objects to accept or discard, while their image is as it was."""
        return self.current.pending

    @property
    def result(self) -> SegmentationResult | None:
        """The result of `pending`."""
        pending = self.pending
        return None if pending is None else pending.result

    def accept_result(self, request: LayerRequest, result: SegmentationResult) -> None:
        """Take a result, if image and model are the same; write what was accepted."""
        self.current.take_result(request, result)

    def preview(self) -> Prediction | None:
        """Segment the displayed plane; return the first object, if it has prompts."""
        request = self._builder.plane(self._builder.snapshot(), self.pending)
        if request is None:
            self.current.forget()
            return None
        return self._run(request).predictions[0]

    def segment_everything(self) -> SegmentationResult:
        """Segment all objects of the displayed plane or stack.

        Its options are `search`, `thresholds`, `linking` and `everything_in_stack`.
        """
        return self._run(self.build_automatic_request())

    def propagate(self) -> VolumeResult:
        """Propagate the objects along `axis`, from all prompts."""
        for _ in self.iter_propagate():
            pass
        result = self.result
        if result is None or result.volume is None:  # removed while it ran
            raise ValueError("The stack has no result: segment it again.")
        return result.volume

    def iter_propagate(self) -> Iterator[SliceResult]:
        """Propagate the objects along `axis`; yield the results of slices.

        Stop iterating to cancel: what was yielded until then is the pending result.
        """
        layer_request, predictor = self.build_stack_request(), self.load()
        request = cast("StackRequest", layer_request.request)
        slices = request.iter_slices(predictor, self.cache)
        try:
            yield from slices
        finally:
            volume = slices.result()
            if volume.slices:
                self.accept_result(layer_request, request.finish(predictor, volume))

    def next_alternative(self) -> None:
        """Take the model's next larger mask, or the smallest after the largest.

        Later prompts use the same `size`, unless the masks are of several scales.
        Without a result for the prompts, it counts for the one to come.
        """
        self.current.next_alternative()

    def refinish_pending(self) -> None:
        """Apply the current `cleanup`, `thresholds` and `linking` to the result."""
        job = self.build_pending_cleanup()
        if job is not None:
            job.run()

    def build_pending_cleanup(self) -> Job[SegmentationResult] | None:
        """Return the work of `refinish_pending`; None when nothing would change."""
        pending = self.pending
        if pending is None:
            return None
        names = "cleanup", "thresholds", "linking"
        changed = pending.with_options({name: getattr(self, name) for name in names})
        if changed is None:
            return None

        def apply(result: SegmentationResult) -> None:
            self.current.replace_result(pending, PendingResult(changed, result))

        return Job(lambda: changed.request.refinish(pending.result), apply)

    def toggle_object(self, position: Sequence[float]) -> None:
        """Drop the automatic object at a position in pixels of the image, or add it."""
        if self.pending is not None:
            self.thresholds = self.pending.toggle(self.thresholds, position)
            self.refinish_pending()

    def go_to_slice(self, index: int) -> None:
        """Display a slice of the pending stack."""
        if self.pending is not None:
            self.pending.go_to(self.viewer.dims, index)

    def next_doubtful(self) -> int:
        """Display the next doubtful slice of the pending stack; return its index."""
        pending, dims = self.pending, self.viewer.dims
        index = None if pending is None else pending.next_doubtful(dims)
        if index is None:
            raise ValueError("No slice of a stack is doubtful.")
        self.go_to_slice(index)
        return index

    def commit(self) -> int:
        """Write the pending result into the labels layer, as one undo step.

        Prompts of layers made by `new_prompt_layers` are removed. Those of other
        layers stay and are not used again; `previous_object` brings them back.
        Returns the label of the last object.
        """
        self.finish_waiting()
        return self.current.commit()

    def accept(self, running: LayerRequest | None = None) -> int | None:
        """Accept the object of the prompts drawn so far.

        It is written now if its result is there; then its label is returned. Otherwise
        it waits, in order, for `finish_waiting` or the widget, and prompts drawn
        later belong to the next object.

        Parameters
        ----------
        running : LayerRequest, optional
            A request that is computed now.
        """
        return self.current.accept(running)

    def finish_waiting(self) -> None:
        """Segment and write the accepted objects that wait."""
        while (request := self.current.next_waiting()) is not None:
            self._run(request)

    def discard(self) -> None:
        """Drop the pending result and the prompts of the current object.

        All layers stay.
        """
        self.current.discard()

    def undo(self) -> None:
        """Take back the last prompt, accept, discard or correction of labels.

        An accepted object is removed from the labels, and its prompts come back.
        Prompts are removed from layers made by `new_prompt_layers` only.
        """
        self.current.undo()

    # -- committed objects -----------------------------------------------------

    def previous_object(self) -> None:
        """Bring back the prompts of the last committed object, to correct it.

        Committing again replaces the object, unless the commit was undone.
        """
        if self.pending is not None:
            raise ValueError("A result is pending: accept or discard it first.")
        last = self.history.go_back()
        self.each_prompt_an_object = last.request.snapshot.each_prompt_an_object
        self.size = last.request.request.size
        self.changed.emit()

    def refine(self, label: int | None = None, layer: Labels | None = None) -> None:
        """Use a label, or the selected one, as prompt on the displayed plane."""
        labels = self.settings.present(layer) or self.target.present_layer
        if labels is None:
            raise ValueError("There are no labels to refine: choose a labels layer.")
        image = self.settings.require_image()
        plane = displayed_plane(image, self.viewer.dims)
        label = int(labels.selected_label) if label is None else label
        self.history.pick(labels, label, image, plane)
        self.current.forget()

    def build_label_cleanup(self, label: int | None = None) -> LabelCleanupJob:
        """Return the work of `clean_label`."""
        return LabelCleanupJob.from_settings(self.settings, label)

    def clean_label(self, label: int | None = None) -> int:
        """Apply `cleanup` to a label in one undo step; return the changed pixels."""
        job = self.build_label_cleanup(label)
        return job.apply(job.compute())

    def build_measurement(self) -> LabelMeasurementJob:
        """Return the work of `measure`."""
        return LabelMeasurementJob.from_settings(self.settings)

    def measure(self) -> list[ObjectMeasurement]:
        """Measure every object of the labels layer, in its units; see `write_csv`."""
        return self.build_measurement().compute()

    def record(self) -> Record:
        """Return how the objects of the labels layer were made; see `replay`."""
        return record_of(self.target.require_layer())

    def _run(self, request: LayerRequest) -> SegmentationResult:
        result = run_to_end(request.request.run(self.load(), self.cache))
        self.accept_result(request, result)
        return result
