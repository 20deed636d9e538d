"""Search of all objects of a stack: maps plane by plane, then one watershed in 3D."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.automatic.instances.objects import objects_of_stack
from napari_sam.automatic.instances.tiles import blend, blocks_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.instances.search import InstanceSource
    from napari_sam.automatic.instances.tiles import Tiles
    from napari_sam.images.window import Window

    # The maps of the windows of a plane; none of a plane that shows nothing.
    PlaneMaps = dict[Window, NDArray[np.uint8]]
    # The window in which centroids must lie, and the one that is split.
    Block = tuple[Window, Window]

# Voxels of the maps that are split at once, least side of such a block, and the margin
# around each, more than the largest object. Blocks hold all planes, as objects may.
_VOXELS, _LEAST_BLOCK, _MARGIN = 2**25, 128, 96


@dataclass(frozen=True, slots=True, eq=False)
class StackSearch:
    """Search at one scale in all planes, whose objects continue through the stack.

    Parameters
    ----------
    tiles : Tiles
        The windows in which every plane is seen.
    input_size : int
        Side of the network's input.
    region : ndarray, optional
        (H, W) bool, see `Candidates`.
    """

    tiles: Tiles
    input_size: int
    region: NDArray[np.bool_] | None = None

    @property
    def scale(self) -> float:
        """Pixels of the maps over those of the plane."""
        return self.tiles.scale(self.input_size)

    def nbytes(self, planes: int) -> int:
        """Return the memory that the maps of a number of planes take."""
        windows = self.tiles.windows
        height, width = self.tiles.place(windows[0]).shape
        return round(3 * planes * len(windows) * height * width * self.scale**2)

    def read_plane(self, source: InstanceSource) -> Generator[int, None, PlaneMaps]:
        """Read the maps of a plane; yields the number of windows done."""
        maps = {}
        for done, window in enumerate(self.tiles.windows, start=1):
            maps[self.tiles.place(window)] = source.read_maps(window)
            yield done
        return maps

    def blocks(self, planes: int) -> list[Block]:
        """Return the blocks of a number of planes that are split one by one."""
        side = self._block_side(planes)
        return list(blocks_of(self.tiles.area, side, _MARGIN, self.scale))

    def split_block(
        self, block: Block, planes: Sequence[PlaneMaps]
    ) -> list[tuple[int, InstanceCandidate]]:
        """Split a block of all planes into objects.

        Returns
        -------
        list of tuple
            (plane, its part of an object); objects are numbered from 1 in each block.
        """
        shape, scale = self.tiles.plane_shape, self.scale
        crop, (owned, area) = Crop((0, 0), shape), block
        stack = [blend(maps, area, shape, scale) for maps in planes]
        return [
            (index, InstanceCandidate(crop, patch, quality, number))
            for number, index, patch, quality in objects_of_stack(
                np.stack(stack, axis=1), area, owned, scale
            )
        ]

    def split(
        self, planes: Sequence[PlaneMaps]
    ) -> Generator[tuple[int, int], None, list[Candidates]]:
        """Split the stack into objects; yields done and total blocks.

        Returns
        -------
        list of Candidates
            Of each plane; those of one object have its number and its quality.
        """
        blocks, found = self.blocks(len(planes)), []
        for done, block in enumerate(blocks):
            yield done, len(blocks)
            found.append(self.split_block(block, planes))
        return self.by_plane(found, len(planes))

    def by_plane(
        self, blocks: Sequence[Sequence[tuple[int, InstanceCandidate]]], planes: int
    ) -> list[Candidates]:
        """Collect the parts of objects on each plane from all blocks, in their order.

        Parameters
        ----------
        blocks : sequence
            Results of `split_block`.
        planes : int
            Number of planes.
        """
        members: list[list[InstanceCandidate]] = [[] for _ in range(planes)]
        before = 0
        for block in blocks:
            for index, candidate in block:
                number = before + candidate.number
                members[index].append(replace(candidate, number=number))
            before += max((candidate.number for _, candidate in block), default=0)
        return [
            Candidates(tuple(found), self.tiles.plane_shape, self.region)
            for found in members
        ]

    def _block_side(self, planes: int) -> int:
        """Return the side of a block without its margin, in pixels of the maps."""
        with_margin = int(np.sqrt(_VOXELS / max(planes, 1)))
        return max(with_margin - 2 * _MARGIN, _LEAST_BLOCK)
