"""What all segmentation requests and their results have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from napari_sam.files import MEGABYTE
from napari_sam.masks.painting import paint_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.stack import Stack
    from napari_sam.masks.cleanup import CleanUp
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.answers import Windows
    from napari_sam.requests.view import ImageView
    from napari_sam.volume.results import VolumeResult


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long computation.

    Parameters
    ----------
    what : str
        The current step in words, for the status line.
    done, total : int
        Number of steps; total is 0 when it is not known.
    may_end_early : bool
        Whether `total` is the most that it can be.
    """

    what: str
    done: int
    total: int
    may_end_early: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """Quality of one object on one plane, as the model estimates it.

    Parameters
    ----------
    index : int or None
        The slice; None when a single plane was segmented.
    score : float
        IoU that the model predicts, 0 to 1; for automatic segmentation the quality.
    status : str
        Origin of the mask: see `SliceResult.status` and `Prediction.method`.
        "provisional" when the propagation was cancelled before the mask was final,
        "everything" for automatic segmentation, "bridged" for a plane between two
        linked planes.
    """

    index: int | None
    score: float
    status: str


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationResult:
    """Result of a segmentation request.

    Parameters
    ----------
    pieces : tuple of ObjectPlaneMask
        Masks of the objects on planes of the image; they do not overlap.
    scores : dict
        {object id: its scores}, of every object that was computed.
    model : PredictorLike
        The model that computed the masks.
    contrast_limits : tuple or None
        Contrast limits of the image that the model received.
    predictions : tuple of Prediction
        Predictions of a plane from prompts, in the order of the objects; otherwise
        empty.
    volume : VolumeResult, optional
        Result of a propagation.
    candidates : tuple of Candidates
        Candidate masks of an automatic segmentation, for each plane.
    unlikely : tuple of ObjectPlaneMask
        Masks of an automatic segmentation that the thresholds left out, to be picked.
    windows : mapping
        {object id: windows of the plane that were asked}, of a plane from prompts.
    warnings : tuple of str
        Sentences about objects that are too small for the model.
    """

    pieces: tuple[ObjectPlaneMask, ...]
    scores: dict[int, tuple[Score, ...]]
    model: PredictorLike
    contrast_limits: ContrastLimits | None
    predictions: tuple[Prediction, ...] = ()
    volume: VolumeResult | None = None
    candidates: tuple[Candidates, ...] = ()
    unlikely: tuple[ObjectPlaneMask, ...] = ()
    windows: Mapping[int, Windows] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def paint(self, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Paint the objects into an empty label image; object i becomes label i."""
        return paint_pieces(self.pieces, shape)

    @property
    def lowest_score(self) -> float:
        """The lowest score of all objects; 0 without objects."""
        scores = (s.score for group in self.scores.values() for s in group)
        return min(scores, default=0.0)


class SegmentationRequest(Protocol):
    """One segmentation job as plain data: no viewer, any thread."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def view(self) -> ImageView:
        """The image and its contrast mapping."""

    @property
    def prompts(self) -> Any:
        """Prompts by object, and by slice in a stack; empty when automatic."""

    @property
    def cleanup(self) -> CleanUp:
        """Post-processing of the masks."""

    @property
    def stack(self) -> Stack | None:
        """The stack to segment; None for a single plane."""

    @property
    def plane_index(self) -> PlaneIndex:
        """Index of the plane; for a stack of its first plane."""

    @property
    def is_automatic(self) -> bool:
        """Whether objects are searched without prompts."""

    @property
    def can_change_size(self) -> bool:
        """Whether `size` selects one of several alternative masks."""

    @property
    def size(self) -> Size | None:
        """Which of the model's alternative masks to use; the best one when None."""

    def run(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool] = ...,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Segment; when `stopped` returns True, end with what is done so far."""

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Apply the settings of this request to an earlier result, without a model."""

    def to_json(self, object_id: int, result: SegmentationResult) -> dict[str, Any]:
        """Describe how one object was made, for a record; `view` is not included."""


def download_progress(done: int, total: int | None) -> Progress:
    """Return the progress of a download, in whole megabytes."""
    megabytes = int(done / MEGABYTE)
    if not total:
        return Progress(f"Downloading weights, {megabytes} MB", 0, 0)
    total_megabytes = int(total / MEGABYTE)
    what = f"Downloading weights, {megabytes} of {total_megabytes} MB"
    return Progress(what, megabytes, total_megabytes)
