"""Segmentation of objects on one plane from prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from napari_sam.masks.cleanup import CleanUp, clean_up_pieces, prompted_pixels
from napari_sam.masks.painting import pieces_from_patches
from napari_sam.prediction.click_sequence import predict_iteratively, select_alternative
from napari_sam.prompts.serialization import prompt_from_json, prompt_to_json
from napari_sam.requests.base import Progress, Score, SegmentationResult
from napari_sam.requests.serialization import index_from_json, index_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class PlaneRequest:
    """Segmentation of objects on one plane.

    Parameters
    ----------
    view : ImageView
        The image. Only this plane is read, and those that the contrast limits need.
    plane_index : tuple
        Index of the plane.
    prompts : dict
        {object id: Prompt}.
    size : {"small", "medium", "large"}, optional
        Which of the model's alternative masks to use; the best scored when None.
    cleanup : CleanUp, optional
        Post-processing of the masks.
    """

    stack: ClassVar[None] = None
    is_automatic: ClassVar[bool] = False
    can_change_size: ClassVar[bool] = True

    view: ImageView
    plane_index: PlaneIndex
    prompts: dict[int, Prompt]
    size: Size | None = None
    cleanup: CleanUp = field(default_factory=CleanUp)

    def run(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Encode the plane, unless the cache has it, and decode the prompts."""
        yield Progress("Encoding the slice", 0, 0)
        embedding = self.view.embed(predictor, cache, self.plane_index)
        yield Progress("Segmenting", 0, 0)
        predictions = predict_iteratively(
            predictor,
            embedding,
            list(self.prompts.values()),
            self.size,
            cache.click_cache,
        )
        contrast_limits = self.view.contrast_limits(self.plane_index)
        return self._finish(predictor, contrast_limits, predictions)

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Apply `size` and `cleanup` to an earlier result, without a model."""
        predictions = [select_alternative(p, self.size) for p in result.predictions]
        return self._finish(result.model, result.contrast_limits, predictions)

    def _finish(
        self,
        predictor: PredictorLike,
        contrast_limits: ContrastLimits | None,
        predictions: Sequence[Prediction],
    ) -> SegmentationResult:
        """Resolve overlaps, crop the masks and clean them up."""
        object_ids = list(self.prompts)
        scores: dict[int, tuple[Score, ...]] = {
            object_id: (Score(None, prediction.score, prediction.method),)
            for object_id, prediction in zip(object_ids, predictions, strict=True)
        }
        patches = [prediction.patch for prediction in predictions]
        pieces = pieces_from_patches(object_ids, self.plane_index, patches)
        if self.cleanup:
            seeds = {
                object_id: np.insert(prompted_pixels(prompt, patch), 0, 0, axis=1)
                for (object_id, prompt), patch in zip(
                    self.prompts.items(), patches, strict=True
                )
            }
            pieces = clean_up_pieces(pieces, self.cleanup, seeds)
        return SegmentationResult(
            tuple(pieces),
            scores,
            predictor,
            contrast_limits,
            predictions=tuple(predictions),
        )

    def to_json(self, object_id: int, result: SegmentationResult) -> dict[str, Any]:
        """Describe how one object was made."""
        return {
            "plane": index_to_json(self.plane_index),
            "prompts": {"": prompt_to_json(self.prompts[object_id])},
            "size": self.size,
        }

    @classmethod
    def from_json(cls, view: ImageView, entries: Sequence[dict[str, Any]]) -> Self:
        """Build the request from the entries of its objects, without clean-up."""
        prompts = {e["object"]: prompt_from_json(e["prompts"][""]) for e in entries}
        plane_index = index_from_json(entries[0]["plane"])
        return cls(view, plane_index, prompts, entries[0].get("size"))
