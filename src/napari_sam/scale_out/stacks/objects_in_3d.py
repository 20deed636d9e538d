"""Objects that an instance head finds in 3D, by tasks of planes and of blocks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.instances.objects import mean_qualities
from napari_sam.scale_out.stacks import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.automatic.instances.stack_search import PlaneMaps, StackSearch
    from napari_sam.scale_out.jobs.folder import JobFolder
    from napari_sam.scale_out.stacks.stack_job import PlaneGroups

    Arrays = dict[str, Any]

MAPS, SPLIT, PARTS = "maps", "split", "parts"
_NUMBERS = "numbers"


class ObjectsIn3D:
    """The stages that find objects in 3D, after the maps of all planes.

    The watershed of a block needs all planes at once. What is measured and cut out on
    each plane afterwards has tasks of its own.

    Parameters
    ----------
    folder : JobFolder
        The job.
    search : StackSearch
        The search of all planes together.
    planes : int
        Number of planes.
    groups : PlaneGroups
        The planes of each task of the stage of parts.
    """

    def __init__(
        self, folder: JobFolder, search: StackSearch, planes: int, groups: PlaneGroups
    ) -> None:
        self.folder, self.search, self.groups = folder, search, groups
        self._planes = planes
        self._blocks = search.blocks(planes)

    def split(self, index: int) -> Arrays:
        """Split a block of all planes; keep the labels of each plane."""
        block = self._blocks[index]
        maps = [self._maps(z) for z in range(self._planes)]
        values = self.search.block_maps(block, maps)
        labels, numbers = self.search.split_block(block, values)
        # Small numbers are compressed sooner.
        labels = labels.astype(np.min_scalar_type(len(numbers)))
        return {_NUMBERS: numbers, **{str(z): plane for z, plane in enumerate(labels)}}

    def parts(self, index: int) -> Arrays:
        """Cut the objects out of a group of planes, block by block."""
        planes, found = self.groups[index], []
        maps = [self._maps(z) for z in planes]
        for number, block in enumerate(self._blocks):
            names = [_NUMBERS, *map(str, planes)]
            stored = self.folder.load(SPLIT, number, names)
            labels = np.stack([stored[str(z)].astype(np.int32) for z in planes])
            values = self.search.block_maps(block, maps)
            found += self.search.parts(block, values, labels, stored[_NUMBERS])
        return dict(arrays.parts_to_arrays(found))

    def planes(self, index: int) -> Iterator[tuple[Candidates, bool]]:
        """Yield the candidates of each plane of a group, and whether it is empty."""
        parts = arrays.parts_from_arrays(self.folder.load(PARTS, index))
        planes = self.groups[index]
        for place, z in enumerate(planes):
            windows = self.folder.load(MAPS, z, ["windows"])["windows"]
            of_blocks = parts[place :: len(planes)]
            candidates = self.search.candidates(of_blocks, self._qualities)
            yield candidates, not len(windows)

    @cached_property
    def _qualities(self) -> list[NDArray[np.float64]]:
        """The qualities of the objects of each block."""
        planes: list[list[Any]] = [[] for _ in self._blocks]
        for index in range(len(self.groups)):
            stored = self.folder.load(PARTS, index, arrays.SECTIONS)
            sections = arrays.sections_from_arrays(stored)
            count = len(self.groups[index])
            for block, found in enumerate(planes):
                found += sections[block * count : (block + 1) * count]
        return [
            mean_qualities(
                found, int(self.folder.load(SPLIT, block, [_NUMBERS])[_NUMBERS].max())
            )
            for block, found in enumerate(planes)
        ]

    def _maps(self, index: int) -> PlaneMaps:
        return arrays.maps_from_arrays(self.folder.load(MAPS, index))
