"""Everything in a plane as a question to a model: plain data, no viewer.

It has the form of `napari_sam.requests.base`, so that it is answered,
shown, written and recorded as others are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.candidates import Candidates, Thresholds
from napari_sam.automatic.search import SearchOptions, find_everything
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.cleanup_objects import clean_pieces
from napari_sam.masks.patch import mask_to_window, window_at
from napari_sam.prompts.serialization import mask_from_json, mask_to_json
from napari_sam.requests.base import (
    Progress,
    Score,
    SegmentationResult,
    pieces_from_patches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.automatic.crops import Crop
    from napari_sam.automatic.search import SearchStep
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.predictor import Embedding, Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticPlaneRequest:
    """Segment everything in one plane.

    Parameters
    ----------
    view : ImageView
        The image.
    at : tuple
        Index of the plane.
    options : SearchOptions
        How objects are searched.
    thresholds : Thresholds
        Which masks are objects.
    region : ndarray, optional
        (H, W) bool: where; everywhere when None.
    cleanup : CleanUp, optional
        What is done with the objects once they are found.
    """

    view: ImageView
    plane_index: PlaneIndex
    options: SearchOptions = field(default_factory=SearchOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    region: NDArray[np.bool_] | None = None
    cleanup: CleanUp = field(default_factory=CleanUp)

    @property
    def prompts(self) -> dict[int, Prompt]:
        """None; every request has prompts."""
        return {}

    def steps(
        self, predictor: Predictor, cache: EmbeddingCache
    ) -> Iterator[SearchStep]:
        """Search, step by step."""
        shape = self.view.reader.plane_shape(self.plane_index)

        def embed(crop: Crop) -> Embedding:
            if crop.shape == shape:
                return self.view.embed(predictor, cache, self.plane_index)
            contrast_limits = self.view.contrast_limits(self.plane_index)
            pixels = self.view.reader.read_uint8(
                self.plane_index, None, contrast_limits
            )
            return cache.embed(predictor, pixels[crop.window])

        return find_everything(predictor, embed, shape, self.options, self.region)

    @property
    def stack(self) -> None:
        """None: the request is for one plane."""

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Search and choose."""
        shape = self.view.reader.plane_shape(self.plane_index)
        known = Candidates((), shape, self.region)
        yield Progress("Encoding the slice", 0, 0)
        for step in self.steps(predictor, cache):
            known = step.candidates
            yield Progress(
                f"Searching everything, {len(known.members)} masks seen",
                step.done,
                step.total,
            )
        return self.finish(predictor, known)

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Finish an earlier result as this request would; no model is asked."""
        (candidates,) = result.everything
        return self.finish(result.model, candidates)

    def finish(
        self, predictor: Predictor, candidates: Candidates
    ) -> SegmentationResult:
        """Choose the objects, settle overlaps, cut them out and clean them up."""
        objects = candidates.objects(self.thresholds)
        numbers = list(range(1, len(objects.scores) + 1))
        pieces = pieces_from_patches(numbers, self.plane_index, objects.patches)
        if self.cleanup:
            pieces = clean_pieces(pieces, self.cleanup, {})
        scores: dict[int, tuple[Score, ...]] = {
            number: (Score(None, score, "everything"),)
            for number, score in zip(numbers, objects.scores, strict=True)
        }
        contrast_limits = self.view.contrast_limits(self.plane_index)
        return SegmentationResult(
            tuple(pieces), scores, predictor, contrast_limits, everything=(candidates,)
        )

    def to_json(self) -> dict[str, Any]:
        """What was asked, in plain types: search, thresholds and region."""
        return search_to_json(self.options, self.thresholds, self.region)

    @classmethod
    def from_json(
        cls, view: ImageView, plane_index: PlaneIndex, entry: dict[str, Any]
    ) -> Self:
        """Undo `to_json`, for a plane of an image."""
        return cls(
            view,
            plane_index,
            *search_from_json(entry, view.reader.plane_shape(plane_index)),
        )


def search_to_json(
    options: SearchOptions, thresholds: Thresholds, region: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """What everything is asked by, in plain types."""
    marked = None
    if region is not None:
        window = mask_to_window(region)
        assert window is not None
        marked = mask_to_json(region[window], (window[0].start, window[1].start))
    return {
        "options": asdict(options),
        "thresholds": asdict(thresholds),
        "region": marked,
    }


def search_from_json(
    entry: dict[str, Any], shape: tuple[int, int]
) -> tuple[SearchOptions, Thresholds, NDArray[np.bool_] | None]:
    """Undo `search_to_json`, for planes of a shape."""
    region = None
    if entry["region"] is not None:
        mask, origin = mask_from_json(entry["region"])
        region = np.zeros(shape, bool)
        region[window_at(origin, mask.shape)] = mask
    thresholds = Thresholds(**entry["thresholds"])
    return SearchOptions(**entry["options"]), thresholds, region
