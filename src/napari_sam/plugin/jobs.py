"""A question to the model as plain arrays, and its answer: runs on any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.api import paint
from napari_sam.masks import mask_to_window
from napari_sam.plugin.labels_writer import Piece
from napari_sam.volume import assemble, propagate

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari_sam.cache import EmbeddingCache
    from napari_sam.plugin.layers import DisplayedPlane
    from napari_sam.predictor import Prediction, Predictor
    from napari_sam.prompts import Prompt
    from napari_sam.stack import Stack
    from napari_sam.volume import (
        ObjectPrompts,
        PropagationOptions,
        SliceResult,
        VolumeResult,
    )


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


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Objects that wait to be accepted.

    Parameters
    ----------
    pieces : tuple of Piece
        Their masks, on one plane or many.
    scores : tuple of float
        The lowest score of each object.
    predictions : tuple of Prediction
        Of a slice; empty for a stack.
    volume : VolumeResult, optional
        Of a stack.
    """

    pieces: tuple[Piece, ...]
    scores: tuple[float, ...]
    predictions: tuple[Prediction, ...] = ()
    volume: VolumeResult | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SliceRequest:
    """Segment objects on one plane.

    Parameters
    ----------
    data : array-like
        The image's array; only the plane is read.
    plane : DisplayedPlane
        Where it lies in the data.
    contrast_limits : tuple of float or None
        What the model sees as black and white.
    prompts : tuple of Prompt
        One object each.
    """

    data: Any
    plane: DisplayedPlane
    contrast_limits: tuple[float, float] | None
    prompts: tuple[Prompt, ...]

    def run(
        self, predictor: Predictor, cache: EmbeddingCache
    ) -> Generator[Progress, None, Result]:
        """Encode (where needed) and decode."""
        yield Progress("Encoding the slice", 0, 0)
        pixels = np.asarray(self.data[self.plane.at()])
        embedding = cache.embed(predictor, pixels, self.contrast_limits)
        yield Progress("Segmenting", 0, 0)
        answers = predictor.predict_batch(embedding, self.prompts)
        labels = paint(predictor, embedding, answers)
        pieces = [
            _piece(number, self.plane.at(), labels == number)
            for number in range(1, len(answers) + 1)
        ]
        return Result(
            tuple(piece for piece in pieces if piece is not None),
            tuple(answer.score for answer in answers),
            predictions=tuple(answers),
        )


@dataclass(frozen=True, slots=True, eq=False)
class StackRequest:
    """Follow objects through a stack.

    Parameters
    ----------
    stack : Stack
        The image's array and the axis.
    contrast_limits : tuple of float or None
        What the model sees as black and white.
    prompts : dict
        {object: {slice: Prompt}}.
    options : PropagationOptions
        When an object ends.
    """

    stack: Stack
    contrast_limits: tuple[float, float] | None
    prompts: ObjectPrompts
    options: PropagationOptions

    def results(
        self, predictor: Predictor, cache: EmbeddingCache
    ) -> Generator[SliceResult, None, None]:
        """Slice results as they are computed."""
        yield from propagate(
            self.stack,
            self.prompts,
            predictor,
            contrast_limits=self.contrast_limits,
            options=self.options,
            cache=cache,
        )

    def run(
        self, predictor: Predictor, cache: EmbeddingCache
    ) -> Generator[Progress, None, Result]:
        """Propagate, telling which slice was done."""
        total = len(self.stack) * len(self.prompts)
        results = []
        yield Progress("Encoding the first slice", 0, 0)
        for result in self.results(predictor, cache):
            results.append(result)
            yield Progress(f"Slice {result.index}", len(results), total)
        return self.finish(results)

    def finish(self, results: Iterable[SliceResult]) -> Result:
        """Settle overlaps and cut the objects out."""
        volume = assemble(self.stack, results)
        pieces = []
        for entry in volume.slices:
            if entry.mask.any():
                at = self.stack.at(entry.index)
                won = volume.labels[at][entry.region] == entry.object_id
                pieces.append(Piece(entry.object_id, at, entry.origin, won))
        # Of the objects that were reached before the work was stopped.
        lowest: dict[int, float] = {}
        for entry in volume.slices:
            if entry.status != "stopped":
                so_far = lowest.get(entry.object_id, entry.score)
                lowest[entry.object_id] = min(so_far, entry.score)
        return Result(tuple(pieces), tuple(lowest.values()), volume=volume)


def _piece(
    number: int, index: tuple[slice | int, ...], mask: np.ndarray[Any, Any]
) -> Piece | None:
    """Cut a mask of the plane down to its box."""
    window = mask_to_window(mask)
    if window is None:
        return None
    rows, cols = window
    return Piece(number, index, (rows.start, cols.start), mask[window])


def run_to_end(steps: Generator[Progress, None, Result]) -> Result:
    """Run a request without watching its progress."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result
