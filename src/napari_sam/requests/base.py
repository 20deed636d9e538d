"""A question to a model as plain arrays, and its answer: runs on any thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_sam.masks.cleanup import CleanUp, prompt_seeds, prompted_pixels
from napari_sam.masks.cleanup_objects import clean_pieces
from napari_sam.masks.painting import Piece
from napari_sam.masks.patch import mask_to_window, won_masks
from napari_sam.prediction.click_sequence import answer
from napari_sam.volume.propagation import Propagation
from napari_sam.volume.stack_prompts import anchors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.images.planes import ContrastLimits, PlaneIndex, PlaneReader
    from napari_sam.images.stack import Stack
    from napari_sam.masks.patch import Patch
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.predictor import Embedding, Prediction, Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.automatic_plane import EverythingRequest
    from napari_sam.requests.automatic_stack import EverythingStackRequest
    from napari_sam.volume.results import PropagationOptions, VolumeResult
    from napari_sam.volume.stack_prompts import ObjectMasks, ObjectPrompts

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
class Result:
    """Objects that wait to be accepted.

    Parameters
    ----------
    pieces : tuple of Piece
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

    pieces: tuple[Piece, ...]
    scores: dict[int, tuple[Score, ...]]
    model: Predictor
    limits: ContrastLimits | None
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


@dataclass(frozen=True, slots=True)
class View:
    """What of an image the model sees.

    Parameters
    ----------
    reader : PlaneReader
        Its planes.
    intensity : IntensityMapping
        Which values become black and white.
    displayed : tuple or None
        What the viewer shows as black and white; None for RGB.
    """

    reader: PlaneReader
    intensity: IntensityMapping
    displayed: ContrastLimits | None = None

    def limits(self, at: PlaneIndex) -> ContrastLimits | None:
        """Contrast limits of the planes parallel to one; may read some of them."""
        return self.intensity.limits(self.reader, at, self.displayed)

    def embed(
        self, predictor: Predictor, cache: EmbeddingCache, at: PlaneIndex
    ) -> Embedding:
        """Read and encode a plane, unless the cache knows it."""
        pixels = self.reader.read_uint8(at, predictor.input_size, self.limits(at))
        return cache.embed(predictor, pixels, plane_shape=self.reader.plane_shape(at))


@dataclass(frozen=True, slots=True, eq=False)
class SliceRequest:
    """Segment objects on one plane.

    Parameters
    ----------
    view : View
        The image; only the plane is read, and those that decide its brightness.
    at : tuple
        Index of the plane.
    prompts : dict
        {object number: Prompt}.
    size : {"small", "medium", "large"}, optional
        Which of several candidates is meant; the best scored when None.
    cleanup : CleanUp, optional
        What is done with the objects once they are found.
    """

    view: View
    at: PlaneIndex
    prompts: dict[int, Prompt]
    size: Size | None = None
    cleanup: CleanUp = _NO_CLEANUP

    def run(
        self, predictor: Predictor, cache: EmbeddingCache
    ) -> Generator[Progress, None, Result]:
        """Encode (where needed) and decode."""
        yield Progress("Encoding the slice", 0, 0)
        embedding = self.view.embed(predictor, cache, self.at)
        yield Progress("Segmenting", 0, 0)
        prompts = list(self.prompts.values())
        found = answer(predictor, embedding, prompts, self.size, cache.answers)
        return self.finish(predictor, self.view.limits(self.at), found)

    def again(self, result: Result) -> Result:
        """Finish an earlier result as this request would; no model is asked."""
        return self.finish(result.model, result.limits, result.predictions)

    def finish(
        self,
        predictor: Predictor,
        limits: ContrastLimits | None,
        predictions: Sequence[Prediction],
    ) -> Result:
        """Settle overlaps, cut the objects out and clean them up."""
        numbers = list(self.prompts)
        scores: dict[int, tuple[Score, ...]] = {
            number: (Score(None, prediction.score, prediction.method),)
            for number, prediction in zip(numbers, predictions, strict=True)
        }
        pieces = cut_out(numbers, self.at, [p.patch for p in predictions])
        if self.cleanup:
            seeds = {
                number: np.insert(prompted_pixels(prompt, found.patch), 0, 0, axis=1)
                for (number, prompt), found in zip(
                    self.prompts.items(), predictions, strict=True
                )
            }
            pieces = clean_pieces(pieces, self.cleanup, seeds)
        return Result(
            tuple(pieces), scores, predictor, limits, predictions=tuple(predictions)
        )


@dataclass(frozen=True, slots=True, eq=False)
class StackRequest:
    """Follow objects through a stack.

    Parameters
    ----------
    view : View
        The image.
    stack : Stack
        Its planes, and the axis to walk along.
    prompts : dict
        {object number: {slice: Prompt}}.
    options : PropagationOptions
        How objects are followed.
    masks : dict, optional
        {object number: {slice: Patch}} painted by hand.
    previous : VolumeResult, optional
        An earlier result of which what is unchanged is kept.
    cleanup : CleanUp, optional
        What is done with the objects once they are found; smoothing is in slices.
    """

    view: View
    stack: Stack
    prompts: ObjectPrompts
    options: PropagationOptions
    masks: ObjectMasks = field(default_factory=dict)
    previous: VolumeResult | None = None
    cleanup: CleanUp = _NO_CLEANUP

    def propagation(self) -> Propagation:
        """The work, to be run once."""
        anchors = anchors_of(self.prompts, self.masks)
        return Propagation(self.stack, anchors, self.options, self.previous)

    @property
    def limits(self) -> ContrastLimits | None:
        """Contrast limits of all planes; may read some of them."""
        return self.view.limits(self.stack.at(0))

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, Result]:
        """Propagate, telling which slice was done; `halted` ends it with what is."""
        work = self.propagation()
        total = work.expected_slices
        results = []
        yield Progress("Encoding the first slice", 0, 0)
        for result in work.run(predictor, cache, self.limits):
            results.append(result)
            yield Progress(f"Slice {result.index}", min(len(results), total), total)
            if halted():
                break
        return self.finish(predictor, work.finish(results))

    def again(self, result: Result) -> Result:
        """Finish an earlier result as this request would; no model is asked."""
        assert result.volume is not None
        return self.finish(result.model, result.volume)

    def finish(self, predictor: Predictor, volume: VolumeResult) -> Result:
        """Settle overlaps, cut the objects out and clean them up."""
        pieces: list[Piece] = []
        scores: dict[int, tuple[Score, ...]] = {}
        for index, members in volume.by_slice().items():
            numbers = [member.object_id for member in members]
            patches = [member.patch for member in members]
            pieces += cut_out(numbers, self.stack.at(index), patches)
        if self.cleanup:
            seeds = prompt_seeds(self.prompts, volume.slices)
            sizes = self.stack.voxel
            pieces = clean_pieces(pieces, self.cleanup, seeds, self.stack.axis, sizes)
        for entry in volume.slices:
            if entry.status != "stopped":
                status = "provisional" if entry.provisional else entry.status
                score = Score(entry.index, entry.score, status)
                scores[entry.object_id] = (*scores.get(entry.object_id, ()), score)
        return Result(tuple(pieces), scores, predictor, self.limits, volume=volume)


Request: TypeAlias = (
    "SliceRequest | StackRequest | EverythingRequest | EverythingStackRequest"
)


def cut_out(
    numbers: Sequence[int], at: PlaneIndex, patches: Sequence[Patch]
) -> list[Piece]:
    """Settle overlaps on one plane; each object's part, cut to its box."""
    pieces = []
    for number, patch, won in zip(numbers, patches, won_masks(patches), strict=True):
        window = mask_to_window(won)
        if window is not None:
            rows, cols = window
            first = patch.origin[0] + rows.start, patch.origin[1] + cols.start
            pieces.append(Piece(number, at, first, won[window]))
    return pieces


def run_to_end(steps: Generator[Progress, None, Result]) -> Result:
    """Run a request without watching its progress."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result
