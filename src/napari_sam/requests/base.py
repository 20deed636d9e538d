"""A question to a model as plain arrays, and its answer: runs on any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from napari_sam.files import MEGABYTE
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.masks.patch import mask_to_window, resolve_overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.stack import Stack
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.predictor import Prediction, Predictor
    from napari_sam.requests.view import ImageView
    from napari_sam.volume.results import VolumeResult


_NO_CLEANUP = CleanUp()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come.

    Parameters
    ----------
    what : str
        In words, for the status line.
    done, total : int
        Steps; total 0 when it is not known.
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Score:
    """What the model says of one object on one plane.

    Parameters
    ----------
    index : int or None
        The slice; None when there was one plane only.
    score : float
        The model's own estimate of the mask's quality.
    status : str
        Where the mask came from: see `SliceResult.status` and `Prediction.method`;
        "provisional" when the work was broken off before a slice was settled.
    """

    index: int | None
    score: float
    status: str


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationResult:
    """Objects that wait to be accepted.

    Parameters
    ----------
    pieces : tuple of ObjectPlaneMask
        Their masks on planes of the image, which do not overlap.
    scores : dict
        {object number: its scores}, of every object that was reached.
    model : Predictor
        That answered.
    limits : tuple or None
        Contrast limits that the model saw.
    predictions : tuple of Prediction
        Of a slice; empty for a stack.
    volume : VolumeResult, optional
        Of a stack.
    everything : tuple of Candidates
        All masks that a search for everything met, of each plane.
    """

    pieces: tuple[ObjectPlaneMask, ...]
    scores: dict[int, tuple[Score, ...]]
    model: Predictor
    contrast_limits: ContrastLimits | None
    predictions: tuple[Prediction, ...] = ()
    volume: VolumeResult | None = None
    everything: tuple[Candidates, ...] = ()

    def paint(self, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Labels of an image of this shape; object i is label i."""
        labels = np.zeros(shape, np.int32)
        for piece in self.pieces:
            labels[piece.index][piece.region][piece.mask] = piece.number
        return labels

    @property
    def lowest_score(self) -> float:
        """The lowest score of any object; 0 without objects."""
        scores = (s.score for group in self.scores.values() for s in group)
        return min(scores, default=0.0)


class Request(Protocol):
    """One segmentation job: what a plane or stack request has in common."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def view(self) -> ImageView:
        """What of an image the model sees."""

    @property
    def prompts(self) -> Any:
        """Prompts by object, and by slice in a stack; empty for automatic requests."""

    @property
    def cleanup(self) -> CleanUp:
        """Post-processing of the objects."""

    @property
    def stack(self) -> Stack | None:
        """The stack that is segmented; None for one plane."""

    @property
    def plane_index(self) -> PlaneIndex:
        """Index of the plane; of the first plane of a stack."""

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        halted: Callable[[], bool] = ...,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Segment; `halted` ends the work early with what is done."""

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Finish an earlier result as this request would; no model is asked."""


def pieces_from_patches(
    numbers: Sequence[int], plane_index: PlaneIndex, patches: Sequence[MaskPatch]
) -> list[ObjectPlaneMask]:
    """Settle overlaps on one plane; each object's part, cut to its box."""
    pieces = []
    for number, patch, won in zip(
        numbers, patches, resolve_overlaps(patches), strict=True
    ):
        window = mask_to_window(won)
        if window is not None:
            rows, cols = window
            first = patch.origin[0] + rows.start, patch.origin[1] + cols.start
            pieces.append(ObjectPlaneMask(number, plane_index, first, won[window]))
    return pieces


def run_to_end(
    steps: Generator[Progress, None, SegmentationResult],
) -> SegmentationResult:
    """Run a request without watching its progress."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: SegmentationResult = stop.value
            return result


def download_progress(done: int, total: int | None) -> Progress:
    """Progress of a download, in whole megabytes."""
    megabytes = int(done / MEGABYTE)
    if not total:
        return Progress(f"Downloading weights, {megabytes} MB", 0, 0)
    whole = int(total / MEGABYTE)
    what = f"Downloading weights, {megabytes} of {whole} MB"
    return Progress(what, megabytes, whole)
