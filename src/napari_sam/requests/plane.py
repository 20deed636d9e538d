"""Objects on one plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.cleanup import CleanUp, prompted_pixels
from napari_sam.masks.cleanup_objects import clean_pieces
from napari_sam.prediction.click_sequence import predict_iteratively
from napari_sam.requests.base import (
    _NO_CLEANUP,
    Progress,
    Score,
    SegmentationResult,
    pieces_from_patches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.predictor import Prediction, Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class PlaneRequest:
    """Segment objects on one plane.

    Parameters
    ----------
    view : ImageView
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

    view: ImageView
    plane_index: PlaneIndex
    prompts: dict[int, Prompt]
    size: Size | None = None
    cleanup: CleanUp = _NO_CLEANUP

    @property
    def stack(self) -> None:
        """None: the request is for one plane."""

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Encode (where needed) and decode."""
        yield Progress("Encoding the slice", 0, 0)
        embedding = self.view.embed(predictor, cache, self.plane_index)
        yield Progress("Segmenting", 0, 0)
        prompts = list(self.prompts.values())
        found = predict_iteratively(
            predictor, embedding, prompts, self.size, cache.click_cache
        )
        return self.finish(
            predictor, self.view.contrast_limits(self.plane_index), found
        )

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Finish an earlier result as this request would; no model is asked."""
        return self.finish(result.model, result.contrast_limits, result.predictions)

    def finish(
        self,
        predictor: Predictor,
        contrast_limits: ContrastLimits | None,
        predictions: Sequence[Prediction],
    ) -> SegmentationResult:
        """Settle overlaps, cut the objects out and clean them up."""
        numbers = list(self.prompts)
        scores: dict[int, tuple[Score, ...]] = {
            number: (Score(None, prediction.score, prediction.method),)
            for number, prediction in zip(numbers, predictions, strict=True)
        }
        pieces = pieces_from_patches(
            numbers, self.plane_index, [p.patch for p in predictions]
        )
        if self.cleanup:
            seeds = {
                number: np.insert(prompted_pixels(prompt, found.patch), 0, 0, axis=1)
                for (number, prompt), found in zip(
                    self.prompts.items(), predictions, strict=True
                )
            }
            pieces = clean_pieces(pieces, self.cleanup, seeds)
        return SegmentationResult(
            tuple(pieces),
            scores,
            predictor,
            contrast_limits,
            predictions=tuple(predictions),
        )
