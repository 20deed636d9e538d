"""Automatic segmentation of one plane, without prompts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from napari_sam.automatic.candidates import Candidates, Thresholds
from napari_sam.automatic.instances.search import (
    InstanceSource,
    choose_side,
    search_instances,
)
from napari_sam.automatic.search import SearchOptions, search_candidates
from napari_sam.masks.cleanup import CleanUp, clean_up_pieces
from napari_sam.masks.painting import pieces_from_patches
from napari_sam.masks.patch import mask_to_window, window_at
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prompts.serialization import mask_from_json, mask_to_json
from napari_sam.requests.base import Progress, Score, SegmentationResult
from napari_sam.requests.serialization import index_from_json, index_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.crops import Crop
    from napari_sam.automatic.search import SearchStep
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticPlaneRequest:
    """Automatic segmentation of one plane.

    Parameters
    ----------
    view : ImageView
        The image.
    plane_index : tuple
        Index of the plane.
    options : SearchOptions
        Settings of the search for candidate masks.
    thresholds : Thresholds
        Selection of objects among the candidates.
    region : ndarray, optional
        (H, W) bool: where to search; the whole plane when None.
    cleanup : CleanUp, optional
        Post-processing of the masks.
    side : int, optional
        Side of the windows for an instance head; chosen by itself when None.
    """

    stack: ClassVar[None] = None
    prompts: ClassVar[Mapping[int, Any]] = {}
    is_automatic: ClassVar[bool] = True
    can_change_size: ClassVar[bool] = False
    size: ClassVar[None] = None

    view: ImageView
    plane_index: PlaneIndex
    options: SearchOptions = field(default_factory=SearchOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    region: NDArray[np.bool_] | None = None
    cleanup: CleanUp = field(default_factory=CleanUp)
    side: int | None = None

    def iter_search(
        self, predictor: PredictorLike, cache: EmbeddingCache
    ) -> Iterator[SearchStep]:
        """Search for candidate masks; each step holds all candidates so far."""
        plane_shape = self.view.reader.plane_shape(self.plane_index)
        if self.options.uses_instance_head(predictor.prompt_support):
            source = self.instance_source(predictor, cache)
            return search_instances(source, self.options, self.region, self.side)

        def embed(crop: Crop) -> Embedding:
            if crop.shape == plane_shape:
                return self.view.embed(predictor, cache, self.plane_index)
            pixels = self.view.read_uint8(self.plane_index, None, None)
            return cache.embed(predictor, pixels[crop.window])

        return search_candidates(
            predictor, embed, plane_shape, self.options, self.region
        )

    def choose_side(
        self, predictor: PredictorLike, cache: EmbeddingCache
    ) -> Generator[SearchStep, None, int | None]:
        """Choose the size of windows; yields while it looks. None without a head."""
        if not self.options.uses_instance_head(predictor.prompt_support):
            return None
        source = self.instance_source(predictor, cache)
        return (yield from choose_side(source, self.options, self.region))

    def instance_source(
        self, predictor: PredictorLike, cache: EmbeddingCache
    ) -> InstanceSource:
        """Return where the instance maps of the plane come from."""
        return InstanceSource(
            partial(self.view.instance_maps, predictor, cache, self.plane_index),
            WindowGrid.of(predictor, self.view.reader.plane_shape(self.plane_index)),
            predictor.input_size,
        )

    def run(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Search for candidates, then select the objects among them."""
        plane_shape = self.view.reader.plane_shape(self.plane_index)
        candidates = Candidates((), plane_shape, self.region)
        yield Progress("Encoding the slice", 0, 0)
        for step in self.iter_search(predictor, cache):
            candidates = step.candidates
            what = f"Searching objects, {len(candidates.members)} candidates"
            if not step.total:
                what = "Looking for the size of the objects"
            yield Progress(what, step.done, step.total)
            if stopped():
                candidates = candidates if step.finish is None else step.finish()
                break
        return self.finish(predictor, candidates)

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Apply `thresholds` and `cleanup` to an earlier result, without a model."""
        (candidates,) = result.candidates
        return self.finish(result.model, candidates)

    def finish(
        self, predictor: PredictorLike, candidates: Candidates
    ) -> SegmentationResult:
        """Select objects among the candidates, resolve overlaps and clean up."""
        objects = candidates.objects(self.thresholds)
        unlikely: Sequence[MaskPatch] = ()
        if self.options.uses_instance_head(predictor.prompt_support):
            unlikely = candidates.unlikely(self.thresholds, objects)
        object_ids = range(1, len(objects.scores) + 1)
        pieces = pieces_from_patches(object_ids, self.plane_index, objects.patches)
        if self.cleanup:
            pieces = clean_up_pieces(pieces, self.cleanup, {})
        return SegmentationResult(
            tuple(pieces),
            {
                object_id: (Score(None, score, "everything"),)
                for object_id, score in zip(object_ids, objects.scores, strict=True)
            },
            predictor,
            self.view.contrast_limits(self.plane_index),
            candidates=(candidates,),
            unlikely=tuple(
                pieces_from_patches(
                    range(1, len(unlikely) + 1), self.plane_index, unlikely
                )
            ),
        )

    def to_json(self, object_id: int, result: SegmentationResult) -> dict[str, Any]:
        """Describe how the objects were made; the same for all of them."""
        return {
            "plane": index_to_json(self.plane_index),
            "prompts": {},
            "everything": search_to_json(self.options, self.thresholds, self.region),
        }

    @classmethod
    def from_json(cls, view: ImageView, entries: Sequence[dict[str, Any]]) -> Self:
        """Build the request from the entries of its objects, without clean-up."""
        plane_index = index_from_json(entries[0]["plane"])
        plane_shape = view.reader.plane_shape(plane_index)
        search = search_from_json(entries[0]["everything"], plane_shape)
        return cls(view, plane_index, *search)


def search_to_json(
    options: SearchOptions, thresholds: Thresholds, region: NDArray[np.bool_] | None
) -> dict[str, Any]:
    """Convert the settings of a search; the region becomes run lengths."""
    region_entry = None
    if region is not None:
        window = mask_to_window(region)
        assert window is not None  # `check_region` rejects empty regions
        origin = window[0].start, window[1].start
        region_entry = mask_to_json(region[window], origin)
    return {
        "options": asdict(options),
        "thresholds": asdict(thresholds),
        "region": region_entry,
    }


def search_from_json(
    entry: dict[str, Any], plane_shape: tuple[int, int]
) -> tuple[SearchOptions, Thresholds, NDArray[np.bool_] | None]:
    """Convert the result of `search_to_json` back, for planes of a shape."""
    region = None
    if entry["region"] is not None:
        mask, origin = mask_from_json(entry["region"])
        region = np.zeros(plane_shape, bool)
        region[window_at(origin, mask.shape)] = mask
    thresholds = Thresholds(**entry["thresholds"])
    return SearchOptions(**entry["options"]), thresholds, region
