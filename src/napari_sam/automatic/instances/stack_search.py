"""Search of all objects of a stack: maps plane by plane, then one watershed in 3D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.automatic.instances.objects import (
    PlaneParts,
    mean_qualities,
    parts_of_plane,
    split_stack,
)
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

    def block_maps(
        self, block: Block, planes: Sequence[PlaneMaps]
    ) -> NDArray[np.float32]:
        """Blend the maps of a block of some planes, (3, planes, h, w).

        Parameters
        ----------
        block : tuple of Window
            One of `blocks`.
        planes : sequence
            The maps of the planes.
        """
        _, area = block
        shape, scale = self.tiles.plane_shape, self.scale
        return np.stack([blend(maps, area, shape, scale) for maps in planes], axis=1)

    def split_block(
        self, block: Block, values: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Split a block of all planes into objects; see `split_stack`.

        Parameters
        ----------
        block : tuple of Window
            The block.
        values : ndarray
            Its `block_maps` of all planes.
        """
        owned, area = block
        return split_stack(values, area, owned, self.scale)

    def parts(
        self,
        block: Block,
        values: NDArray[np.float32],
        labels: NDArray[np.int32],
        numbers: NDArray[np.int64],
    ) -> list[PlaneParts]:
        """Cut the objects of a block out of some planes.

        Parameters
        ----------
        block : tuple of Window
            The block.
        values : ndarray
            Its `block_maps` of the planes.
        labels : ndarray
            (planes, h, w) these planes of the first result of `split_block`.
        numbers : ndarray
            Its second result.
        """
        _, area = block
        return [
            parts_of_plane(plane, values[:, index], numbers, area, self.scale)
            for index, plane in enumerate(labels)
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
        blocks = self.blocks(len(planes))
        qualities, parts = [], []
        for done, block in enumerate(blocks):
            yield done, len(blocks)
            values = self.block_maps(block, planes)
            labels, numbers = self.split_block(block, values)
            found = self.parts(block, values, labels, numbers)
            parts.append(found)
            qualities.append(mean_qualities(found, int(numbers.max())))
        return [
            self.candidates([found[index] for found in parts], qualities)
            for index in range(len(planes))
        ]

    def candidates(
        self, parts: Sequence[PlaneParts], qualities: Sequence[NDArray[np.float64]]
    ) -> Candidates:
        """Collect the parts of objects on one plane from all blocks, in their order.

        Parameters
        ----------
        parts : sequence of PlaneParts
            Of the plane in each block.
        qualities : sequence of ndarray
            The result of `mean_qualities` for each block.
        """
        members, before = [], 0
        crop = Crop((0, 0), self.tiles.plane_shape)
        for found, of_block in zip(parts, qualities, strict=True):
            members += [
                InstanceCandidate(crop, patch, float(of_block[number]), before + number)
                for number, patch in zip(found.numbers, found.patches, strict=True)
            ]
            before += len(of_block) - 1
        return Candidates(tuple(members), self.tiles.plane_shape, self.region)

    def _block_side(self, planes: int) -> int:
        """Return the side of a block without its margin, in pixels of the maps."""
        with_margin = int(np.sqrt(_VOXELS / max(planes, 1)))
        return max(with_margin - 2 * _MARGIN, _LEAST_BLOCK)
