"""Automatic segmentation of a stack as tasks of planes, pairs of planes and parts.

The functions are those of `AutomaticStackRequest.run`, so that the labels are the same.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.object_links import (
    Gap,
    ObjectNumbers,
    PlaneCount,
    PlaneOverlaps,
    fill_gaps,
    nearest_planes,
    neighbours,
    number_objects,
    paint_linked,
)
from napari_sam.images.empty_planes import NothingShownError
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from napari_sam.scale_out.jobs.stages import Stage
from napari_sam.scale_out.stacks import arrays
from napari_sam.scale_out.stacks.cost import CountingPredictor, timed
from napari_sam.scale_out.stacks.objects_in_3d import MAPS, PARTS, SPLIT, ObjectsIn3D
from napari_sam.scale_out.stacks.stack_job import PlaneGroups, StackJob, one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.scale_out.jobs.estimate import CostEstimate

    Arrays = dict[str, Any]


# Planes of labels kept beside those of a gap, as several processes take tasks in turn,
# and the memory that they may take.
_KEPT_PLANES, _KEPT_BYTES = 6, 2**26


class EverythingJob(StackJob):
    """Automatic segmentation of a stack.

    Objects that an instance head finds in 3D come from the maps of all planes, split
    in blocks; else every plane is searched. Then objects are linked by what planes
    share, numbered together, and painted.
    """

    @cached_property
    def request(self) -> AutomaticStackRequest:
        """The request of the plan."""
        request = AutomaticStackRequest.from_json(self.view, [self.plan["settings"]])
        cleanup = CleanUp(**self.plan["cleanup"])
        return replace(request, cleanup=cleanup, keep_candidates=False)

    @property
    def stack(self) -> Any:
        """The planes of the image."""
        return self.request.stack

    @property
    def own_stages(self) -> Sequence[Stage]:
        """Search, link, number and clean up."""
        count = len(self.stack)
        cleaned = int(bool(self.request.cleanup))
        return (
            Stage("size", "Choosing windows", one, self._size, needs_model=True),
            Stage(
                MAPS,
                "Reading maps",
                lambda: count if self.is_in_3d else 0,
                self._maps,
                needs_model=True,
                compressed=False,
            ),
            Stage(
                SPLIT,
                "Splitting objects",
                lambda: self._sizes["blocks"],
                lambda index: self._in_3d.split(index),
                needs_model=True,
                compressed=False,
            ),
            Stage(
                PARTS,
                "Measuring objects on planes",
                lambda: len(self._groups) if self.is_in_3d else 0,
                lambda index: self._in_3d.parts(index),
                needs_model=True,
            ),
            Stage(
                "search",
                "Searching planes",
                lambda: len(self._searched),
                self._search,
                needs_model=True,
            ),
            Stage("links", "Comparing planes", lambda: len(self._groups), self._links),
            Stage("numbers", "Numbering objects", one, self._numbers),
            Stage("clean", "Cleaning up", lambda: cleaned, self._clean),
        )

    def plane(self, index: int) -> NDArray[np.int32]:
        """Return the labels of a plane, (H, W)."""
        if not self.request.cleanup:
            return self._linked(index)
        labels = np.zeros(self.stack.plane_shape, np.int32)
        for piece in arrays.pieces_from_arrays(
            self._cleaned, self.stack.plane_index, slice(index, index + 1)
        ):
            labels[piece.region][piece.mask] = piece.object_id
        return labels

    def cost(self) -> CostEstimate:
        """Estimate the work from a search of the middle plane."""
        request, cache = self.request, EmbeddingCache()
        side = run_to_end(request.choose_side(self.predictor, cache))
        search = request.search_in_3d(self.predictor, cache, side)
        plane = replace(request.plane_request(len(self.stack) // 2), side=side)
        predictor: Any = CountingPredictor(self.predictor)
        cache = EmbeddingCache()

        def run() -> None:
            if search is None:
                for _ in request.search_plane(plane, predictor, cache):
                    pass
                return
            source = plane.instance_source(predictor, cache)
            with suppress(NothingShownError):
                run_to_end(search.read_plane(source))

        seconds, count = timed(run), len(self.stack)
        return self.estimate(
            cache.encoded_count * count, predictor.asked * count, seconds * count
        )

    # -- search ------------------------------------------------------------------------

    def _size(self, _: int) -> Arrays:
        """Choose the windows for all planes; how many blocks are split in 3D, or 0."""
        cache = EmbeddingCache()
        side = run_to_end(self.request.choose_side(self.predictor, cache))
        search = self.request.search_in_3d(self.predictor, cache, side)
        blocks = 0 if search is None else len(search.blocks(len(self.stack)))
        return {"side": side or 0, "blocks": blocks}

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {n: int(value) for n, value in self.folder.load("size", 0).items()}

    @property
    def side(self) -> int | None:
        """Side of the windows of an instance head; None without one."""
        return self._sizes["side"] or None

    @property
    def is_in_3d(self) -> bool:
        """Whether the planes are searched together."""
        return self._sizes["blocks"] > 0

    @cached_property
    def _groups(self) -> PlaneGroups:
        """The planes of tasks that cost little for each."""
        return PlaneGroups.of(len(self.stack), self.stack.plane_shape)

    @property
    def _searched(self) -> PlaneGroups:
        """The planes of each task of the search, which runs the model unless in 3D."""
        return self._groups if self.is_in_3d else PlaneGroups(len(self.stack), 1)

    @cached_property
    def _in_3d(self) -> ObjectsIn3D:
        """The search of all planes together."""
        search = self.request.search_in_3d(self.predictor, EmbeddingCache(), self.side)
        assert search is not None
        return ObjectsIn3D(self.folder, search, len(self.stack), self._groups)

    def _maps(self, index: int) -> Arrays:
        plane = self.request.plane_request(index)
        source = plane.instance_source(self.predictor, EmbeddingCache())
        try:
            maps = run_to_end(self._in_3d.search.read_plane(source))
        except NothingShownError:
            maps = {}
        return dict(arrays.maps_to_arrays(maps))

    def _search(self, index: int) -> Arrays:
        """Keep the objects of planes: their labels, and the objects they belong to."""
        if self.is_in_3d:
            steps = self._in_3d.planes(index)
        else:
            steps = map(self._search_plane, self._searched[index])
        found: Arrays = {}
        for z, (candidates, is_empty) in zip(self._searched[index], steps, strict=True):
            objects = candidates.objects(self.request.thresholds)
            labels = objects.labels
            if self.is_in_3d:
                labels = objects.numbered(labels)
            # Small numbers are compressed sooner.
            smallest = np.min_scalar_type(int(labels.max(initial=0)))
            found[f"labels{z}"] = labels.astype(smallest)
            found[f"is_empty{z}"] = is_empty
        return found

    def _search_plane(self, index: int) -> tuple[Candidates, bool]:
        cache = EmbeddingCache()
        plane = replace(self.request.plane_request(index), side=self.side)
        *_, last = self.request.search_plane(plane, self.predictor, cache)
        return last.candidates, last.shows_nothing

    def _load_plane(self, name: str, index: int) -> NDArray[Any]:
        """Read what the search kept of a plane."""
        name = f"{name}{index}"
        stored = self.folder.load("search", index // self._searched.size, [name])
        return stored[name]

    # -- linking -----------------------------------------------------------------------

    def _labels(self, index: int) -> NDArray[np.int32]:
        """Return the labels of a plane before linking."""
        return self._kept_labels(index)

    @cached_property
    def _kept_labels(self) -> Callable[[int], NDArray[np.int32]]:
        """Read labels of planes, and keep the last ones: neighbours need them, too."""
        nbytes = np.dtype(np.int32).itemsize * prod(self.stack.plane_shape)
        planes = min(_KEPT_BYTES // nbytes, self.request.linking.gap + _KEPT_PLANES)

        def read(index: int) -> NDArray[np.int32]:
            stored = self._load_plane("labels", index)
            labels: NDArray[np.int32] = stored.astype(np.int32)
            return labels

        kept: Callable[[int], NDArray[np.int32]] = lru_cache(planes)(read)
        return kept

    def _links(self, index: int) -> Arrays:
        """Count the objects of planes, and what they share with later planes."""
        kept: Arrays = {}
        nearest = nearest_planes(self.is_in_3d)
        for z in self._groups[index]:
            labels = self._labels(z)
            count = PlaneCount.of(labels)
            kept |= {f"labels{z}": count.labels, f"areas{z}": count.areas}
            kept[f"is_empty{z}"] = self._load_plane("is_empty", z)
            farthest = min(self.request.linking.gap + 1, len(self.stack) - 1 - z)
            for distance in range(nearest, farthest + 1):
                later = self._labels(z + distance)
                overlaps = PlaneOverlaps.of(z, z + distance, labels, later)
                kept[f"pairs{z}-{z + distance}"] = overlaps.pairs
        return kept

    def _numbers(self, _: int) -> Arrays:
        linking, continued = self.request.linking, self.is_in_3d
        stored: Arrays = {}
        for index in range(len(self._groups)):
            stored |= self.folder.load("links", index)
        planes = range(len(self.stack))
        empty = [z for z in planes if stored[f"is_empty{z}"]]
        self.request.check_shown(empty, len(planes))
        counts = [PlaneCount(stored[f"labels{z}"], stored[f"areas{z}"]) for z in planes]
        overlaps = [
            PlaneOverlaps(z, later, stored[f"pairs{z}-{later}"])
            for z, later in neighbours(
                len(planes), linking.gap, nearest_planes(continued)
            )
        ]
        numbers = number_objects(
            counts,
            overlaps,
            min_overlap=linking.overlap,
            min_slices=linking.min_slices,
            continued=continued,
        )
        gaps = [
            (g.object_id, g.start, g.stop, g.start_label, g.stop_label)
            for g in numbers.gaps
        ]
        return {
            "sizes": np.array([len(ids) for ids in numbers.ids], np.int64),
            "ids": np.concatenate(numbers.ids),
            "gaps": np.array(gaps, np.int64).reshape(-1, 5),
            "count": numbers.count,
        }

    @cached_property
    def _object_numbers(self) -> tuple[ObjectNumbers, dict[int, list[Gap]]]:
        """The numbers of all objects, and the gaps that each plane fills."""
        stored = self.folder.load("numbers", 0)
        ids = np.split(stored["ids"], np.cumsum(stored["sizes"])[:-1])
        gaps = [Gap(*row) for row in stored["gaps"].tolist()]
        numbers = ObjectNumbers(ids, gaps, int(stored["count"]))
        return numbers, numbers.gaps_by_plane()

    def _linked(self, index: int) -> NDArray[np.int32]:
        """Return the labels of a plane after linking, with its gaps filled."""
        numbers, gaps = self._object_numbers
        labels = self._labels(index)
        count = PlaneCount.of(labels)
        linked = paint_linked(labels, count, numbers.ids[index])
        fill_gaps(linked, index, gaps.get(index, ()), self._labels)
        return linked

    # -- clean-up ----------------------------------------------------------------------

    def _clean(self, _: int) -> Arrays:
        pieces: list[ObjectPlaneMask] = []
        for index in range(len(self.stack)):
            pieces += self.request.pieces(index, self._linked(index))
        cleaned = self.request.cleaned(pieces)
        axis = self.stack.axis

        def slice_of(plane_index: Any) -> int:
            return int(plane_index[axis])

        return dict(arrays.pieces_to_arrays(cleaned, slice_of))

    @cached_property
    def _cleaned(self) -> dict[str, NDArray[Any]]:
        return self.folder.load("clean", 0)
