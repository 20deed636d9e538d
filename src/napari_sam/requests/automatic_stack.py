"""Automatic segmentation of a stack, in 3D or plane by plane with linking."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from napari_sam.automatic.candidates import Candidates, Thresholds
from napari_sam.automatic.instances.stack_search import StackSearch
from napari_sam.automatic.linking import Linking, link_planes
from napari_sam.automatic.search import SearchOptions, SearchStep
from napari_sam.images.empty_planes import (
    NothingShownError,
    empty_slices_warnings,
    nothing_shown_text,
)
from napari_sam.masks.cleanup import CleanUp, clean_up_pieces
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.prediction.steps import map_steps, run_to_end
from napari_sam.requests.automatic_plane import (
    AutomaticPlaneRequest,
    search_from_json,
    search_to_json,
)
from napari_sam.requests.base import Progress, Score, SegmentationResult
from napari_sam.requests.serialization import stack_from_json, stack_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.automatic.instances.stack_search import PlaneMaps
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.images.stack import Stack
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.requests.view import ImageView


# Larger maps are not kept; their planes are split one by one.
_MAX_MAP_BYTES = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticStackRequest:
    """Automatic segmentation of a stack.

    With an instance head objects are found in 3D, unless the stack is very large. Else
    every plane is searched, and linking joins objects of neighbouring planes.

    Parameters
    ----------
    view : ImageView
        The image.
    stack : Stack
        Its planes, and the axis along which objects are linked.
    options : SearchOptions
        Settings of the search for candidate masks in a plane.
    thresholds : Thresholds
        Selection of objects among the candidates.
    region : ndarray, optional
        (H, W) bool: where to search in every plane; the whole plane when None.
    linking : Linking, optional
        Settings for linking objects of neighbouring planes, or across gaps.
    cleanup : CleanUp, optional
        Post-processing of the masks; smoothing is in slices.
    planes : int, optional
        Number of planes to segment, from the first one; all when None.
    keep_candidates : bool
        Keep all candidates of each plane in the result, so that `refinish` can apply
        other thresholds; otherwise only the selected ones, which takes less memory.
    """

    prompts: ClassVar[Mapping[int, Any]] = {}
    is_automatic: ClassVar[bool] = True
    can_change_size: ClassVar[bool] = False
    size: ClassVar[None] = None

    view: ImageView
    stack: Stack
    options: SearchOptions = field(default_factory=SearchOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    region: NDArray[np.bool_] | None = None
    linking: Linking = field(default_factory=Linking)
    cleanup: CleanUp = field(default_factory=CleanUp)
    planes: int | None = None
    keep_candidates: bool = True

    @property
    def plane_index(self) -> PlaneIndex:
        """Index of the first plane."""
        return self.stack.plane_index(0)

    def run(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Search plane by plane; `stopped` ends with the planes searched so far.

        Raises
        ------
        ValueError
            When no plane shows anything.
        """
        yield Progress("Encoding the first slice", 0, 0)
        side = yield from self.choose_side(predictor, cache)
        search = self.search_in_3d(predictor, cache, side)
        empty: list[int] = []
        if search is not None:
            steps = self._run_in_3d(search, predictor, cache, stopped, empty)
        else:
            steps = self._run_by_plane(side, predictor, cache, stopped, empty)
        planes = yield from steps
        self.check_shown(empty, len(planes))
        return replace(
            self.finish(predictor, planes), warnings=empty_slices_warnings(empty)
        )

    def check_shown(self, empty: Sequence[int], count: int) -> None:
        """Refuse a stack of which no plane shows anything.

        Raises
        ------
        NothingShownError
            When all of the planes are empty.
        """
        if empty and len(empty) == count:
            limits = self.view.contrast_limits(self.plane_index)
            raise NothingShownError(
                nothing_shown_text(limits, "The stack", "choose another stack")
            )

    @property
    def _count(self) -> int:
        """Number of planes to segment."""
        return len(self.stack) if self.planes is None else self.planes

    def _run_by_plane(
        self,
        side: int | None,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool],
        empty: list[int],
    ) -> Generator[Progress, None, list[Candidates]]:
        """Search plane by plane; linking joins the objects."""
        planes: list[Candidates] = []
        for index in range(self._count):
            request = replace(self.plane_request(index), side=side)
            for step in self.search_plane(request, predictor, cache):
                candidates = step.candidates
                done = index * step.total + step.done
                what = f"Slice {index}, {len(candidates.members)} candidates"
                yield Progress(what, done, self._count * step.total)
            if step.shows_nothing:
                empty.append(index)
            planes.append(self.kept(candidates))
            if stopped():
                break
        return planes

    def _run_in_3d(
        self,
        search: StackSearch,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool],
        empty: list[int],
    ) -> Generator[Progress, None, list[Candidates]]:
        """Read the maps of all planes, and split them together."""
        maps: list[PlaneMaps] = []
        windows = len(search.tiles.windows)
        for index in range(self._count):
            source = self.plane_request(index).instance_source(predictor, cache)
            steps = map_steps(
                partial(_slice_progress, index, self._count, windows),
                search.read_plane(source),
            )
            try:
                maps.append((yield from steps))
            except NothingShownError:
                maps.append({})
                empty.append(index)
            if stopped():
                break

        def splitting(_: tuple[int, int]) -> Progress:
            return Progress("Splitting the stack into objects", 0, 0)

        planes = yield from map_steps(splitting, search.split(maps))
        return list(map(self.kept, planes))

    def search_in_3d(
        self, predictor: PredictorLike, cache: EmbeddingCache, side: int | None
    ) -> StackSearch | None:
        """Return the search of all planes together; None to search plane by plane.

        Parameters
        ----------
        predictor, cache
            See `run`.
        side : int, optional
            See `choose_side`.
        """
        if side is None:
            return None
        source = self.plane_request(0).instance_source(predictor, cache)
        tiles = source.search(side, self.region).tiles
        search = StackSearch(tiles, source.input_size, self.region)
        return search if search.nbytes(self._count) <= _MAX_MAP_BYTES else None

    def kept(self, candidates: Candidates) -> Candidates:
        """Drop candidates of a plane that the result need not have."""
        if self.keep_candidates:
            return candidates
        return candidates.only_masks(self.thresholds)

    def search_plane(
        self,
        request: AutomaticPlaneRequest,
        predictor: PredictorLike,
        cache: EmbeddingCache,
    ) -> Iterator[SearchStep]:
        """Search one plane; a plane that shows nothing has no candidates."""
        try:
            yield from request.iter_search(predictor, cache)
        except NothingShownError:
            nothing = Candidates((), self.stack.plane_shape, self.region)
            yield SearchStep(1, 1, nothing, shows_nothing=True)

    def plane_request(self, index: int) -> AutomaticPlaneRequest:
        """Return the request for one plane."""
        return AutomaticPlaneRequest(
            self.view, self.stack.plane_index(index), self.options, region=self.region
        )

    def choose_side(
        self, predictor: PredictorLike, cache: EmbeddingCache
    ) -> Generator[Progress, None, int | None]:
        """Choose the size of windows for all planes, on the middle one.

        If that shows nothing, on the nearest one that does.
        """

        def looking(step: SearchStep) -> Progress:
            return Progress("Looking for the size of the objects", step.done, 0)

        middle = len(self.stack) // 2
        for index in sorted(range(len(self.stack)), key=lambda i: abs(i - middle)):
            steps = self.plane_request(index).choose_side(predictor, cache)
            try:
                return (yield from map_steps(looking, steps))
            except NothingShownError:
                continue
        return None

    def plane_requests(
        self, predictor: PredictorLike, cache: EmbeddingCache
    ) -> Iterator[AutomaticPlaneRequest]:
        """Return the requests of all planes, with the same size of windows."""
        side = run_to_end(self.choose_side(predictor, cache))
        for index in range(len(self.stack)):
            yield replace(self.plane_request(index), side=side)

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Apply `thresholds`, `linking` and `cleanup` to an earlier result."""
        finished = self.finish(result.model, result.candidates)
        return replace(finished, warnings=result.warnings)

    def finish(
        self, predictor: PredictorLike, candidates: Sequence[Candidates]
    ) -> SegmentationResult:
        """Select the objects of each plane, link them, and clean them up."""
        planes = [members.objects(self.thresholds) for members in candidates]
        pieces: list[ObjectPlaneMask] = []
        scores: dict[int, list[Score]] = defaultdict(list)
        for index, linked in enumerate(link_planes(planes, self.linking)):
            on_plane = self.pieces(index, linked)
            pieces += on_plane
            unlinked = planes[index].labels
            for piece in on_plane:
                # Where linking bridged a gap there is some background in the plane.
                label = int(unlinked[piece.region][piece.mask].min())
                quality = planes[index].scores[label - 1] if label else 0.0
                status = "everything" if label else "bridged"
                scores[piece.object_id].append(Score(index, quality, status))
        pieces = self.cleaned(pieces)
        return SegmentationResult(
            tuple(pieces),
            {object_id: tuple(members) for object_id, members in scores.items()},
            predictor,
            self.view.contrast_limits(self.plane_index),
            candidates=tuple(candidates),
        )

    def pieces(self, index: int, linked: NDArray[np.int32]) -> list[ObjectPlaneMask]:
        """Cut the objects of a plane, (H, W) int32, out of it."""
        from scipy.ndimage import find_objects

        plane_index, found = self.stack.plane_index(index), []
        for object_id, window in enumerate(find_objects(linked), start=1):
            if window is not None:
                mask = linked[window] == object_id
                origin = window[0].start, window[1].start
                found.append(ObjectPlaneMask(object_id, plane_index, origin, mask))
        return found

    def cleaned(self, pieces: list[ObjectPlaneMask]) -> list[ObjectPlaneMask]:
        """Clean up the objects of all planes."""
        if not self.cleanup:
            return pieces
        axis, voxel = self.stack.axis, self.stack.voxel_size
        return clean_up_pieces(pieces, self.cleanup, {}, axis, voxel)

    def to_json(self, object_id: int, result: SegmentationResult) -> dict[str, Any]:
        """Describe how the objects were made; the same for all of them."""
        return self.settings_to_json(len(result.candidates))

    def settings_to_json(self, planes: int) -> dict[str, Any]:
        """Describe all settings but the clean-up, of a number of planes."""
        search = search_to_json(self.options, self.thresholds, self.region)
        linking = asdict(self.linking)
        return {
            **stack_to_json(self.stack),
            "prompts": {},
            "everything": {**search, "linking": linking, "planes": planes},
        }

    @classmethod
    def from_json(cls, view: ImageView, entries: Sequence[dict[str, Any]]) -> Self:
        """Build the request from the entries of its objects, without clean-up."""
        stack = stack_from_json(view, entries[0])
        entry = entries[0]["everything"]
        search = search_from_json(entry, stack.plane_shape)
        linking = Linking(**entry["linking"])
        return cls(view, stack, *search, linking, planes=entry["planes"])


def _slice_progress(index: int, count: int, windows: int, done: int) -> Progress:
    """Return the progress after some of the windows of a slice."""
    return Progress(f"Slice {index}", index * windows + done, count * windows)
