"""Everything in a stack as a question to a model: plain data, no viewer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking, link_planes
from napari_sam.automatic.search import SearchOptions
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.cleanup_objects import clean_pieces
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.requests.automatic_plane import (
    AutomaticPlaneRequest,
    search_from_json,
    search_to_json,
)
from napari_sam.requests.base import Progress, Score, SegmentationResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.images.stack import Stack
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticStackRequest:
    """Segment everything in every plane of a stack, linked to objects of the stack.

    Parameters
    ----------
    view : ImageView
        The image.
    stack : Stack
        Its planes, and the axis to walk along.
    options : SearchOptions
        How objects are searched in a plane.
    thresholds : Thresholds
        Which masks are objects.
    region : ndarray, optional
        (H, W) bool: where in every plane; everywhere when None.
    linking : Linking, optional
        How objects of planes become one.
    cleanup : CleanUp, optional
        What is done with the objects once they are found; smoothing is in slices.
    planes : int, optional
        Only so many from the first one; all when None.
    """

    view: ImageView
    stack: Stack
    options: SearchOptions = field(default_factory=SearchOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    region: NDArray[np.bool_] | None = None
    linking: Linking = field(default_factory=Linking)
    cleanup: CleanUp = field(default_factory=CleanUp)
    planes: int | None = None

    @property
    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """None; every request has prompts."""
        return {}

    @property
    def plane_index(self) -> PlaneIndex:
        """Index of the first plane."""
        return self.stack.plane_index(0)

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Search plane by plane; `halted` ends it with the planes that are done."""
        total = len(self.stack) if self.planes is None else self.planes
        found: list[Candidates] = []
        yield Progress("Encoding the first slice", 0, 0)
        for index in range(total):
            plane_index = self.stack.plane_index(index)
            plane = AutomaticPlaneRequest(
                self.view, plane_index, self.options, region=self.region
            )
            for step in plane.steps(predictor, cache):
                known = step.candidates
                share = index * step.total + step.done
                what = f"Slice {index}, {len(known.members)} masks seen"
                yield Progress(what, share, total * step.total)
            found.append(known)
            if halted():
                break
        return self.finish(predictor, found)

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Finish an earlier result as this request would; no model is asked."""
        return self.finish(result.model, result.everything)

    def finish(
        self, predictor: Predictor, found: Sequence[Candidates]
    ) -> SegmentationResult:
        """Choose the objects of each plane, link them, and clean them up."""
        from scipy.ndimage import find_objects

        planes = [candidates.objects(self.thresholds) for candidates in found]
        pieces: list[ObjectPlaneMask] = []
        scores: dict[int, list[Score]] = defaultdict(list)
        for index, linked in enumerate(link_planes(planes, self.linking)):
            alone = planes[index].labels
            for number, window in enumerate(find_objects(linked), start=1):
                if window is None:
                    continue
                mask = linked[window] == number
                origin = window[0].start, window[1].start
                pieces.append(
                    ObjectPlaneMask(number, self.stack.plane_index(index), origin, mask)
                )
                # Where a plane was bridged, the model has no mask, and some background.
                label = int(alone[window][mask].min())
                quality = planes[index].scores[label - 1] if label else 0.0
                status = "everything" if label else "bridged"
                scores[number].append(Score(index, quality, status))
        if self.cleanup:
            axis, sizes = self.stack.axis, self.stack.voxel
            pieces = clean_pieces(pieces, self.cleanup, {}, axis, sizes)
        return SegmentationResult(
            tuple(pieces),
            {number: tuple(members) for number, members in scores.items()},
            predictor,
            self.view.contrast_limits(self.stack.plane_index(0)),
            everything=tuple(found),
        )

    def to_json(self, planes: int) -> dict[str, Any]:
        """What was asked of so many planes, in plain types, but for the stack."""
        search = search_to_json(self.options, self.thresholds, self.region)
        return {**search, "linking": asdict(self.linking), "planes": planes}

    @classmethod
    def from_json(cls, view: ImageView, stack: Stack, entry: dict[str, Any]) -> Self:
        """Undo `to_json`, for a stack of an image."""
        search = search_from_json(entry, stack.plane_shape)
        linking = Linking(**entry["linking"])
        return cls(view, stack, *search, linking, planes=entry["planes"])
