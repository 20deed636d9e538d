"""Search of all objects of a stack: maps plane by plane, then one watershed in 3D."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.automatic.instances.objects import objects_of_stack
from napari_sam.automatic.instances.tiles import blend, blocks_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_sam.automatic.instances.search import InstanceSource
    from napari_sam.automatic.instances.tiles import Tiles
    from napari_sam.images.window import Window

# Voxels of the maps that are split at once, least side of such a block, and the margin
# around each, more than the largest object. Blocks hold all planes, as objects may.
_VOXELS, _LEAST_BLOCK, _MARGIN = 2**25, 128, 96


@dataclass(eq=False)
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
    _planes: list[dict[Window, NDArray[np.uint8]]] = field(default_factory=list)

    @property
    def scale(self) -> float:
        """Pixels of the maps over those of the plane."""
        return self.tiles.scale(self.input_size)

    def nbytes(self, planes: int) -> int:
        """Return the memory that the maps of a number of planes take."""
        windows = self.tiles.windows
        height, width = self.tiles.place(windows[0]).shape
        return round(3 * planes * len(windows) * height * width * self.scale**2)

    def add_plane(self, source: InstanceSource) -> Iterator[int]:
        """Read the maps of the next plane; yields the number of windows done."""
        maps = {}
        for done, window in enumerate(self.tiles.windows, start=1):
            maps[self.tiles.place(window)] = source.read_maps(window)
            yield done
        self._planes.append(maps)

    def add_empty_plane(self) -> None:
        """Add a plane without objects."""
        self._planes.append({})

    def split(self) -> Generator[tuple[int, int], None, list[Candidates]]:
        """Split the stack into objects; yields done and total blocks.

        Returns
        -------
        list of Candidates
            Of each plane; those of one object have its number and its quality.
        """
        shape, scale = self.tiles.plane_shape, self.scale
        crop = Crop((0, 0), shape)
        found: list[list[InstanceCandidate]] = [[] for _ in self._planes]
        blocks = list(blocks_of(self.tiles.area, self._block_side(), _MARGIN, scale))
        count = 0
        for done, (owned, area) in enumerate(blocks):
            yield done, len(blocks)
            stack = [blend(maps, area, shape, scale) for maps in self._planes]
            before = count
            for number, index, patch, quality in objects_of_stack(
                np.stack(stack, axis=1), area, owned, scale
            ):
                candidate = InstanceCandidate(crop, patch, quality, before + number)
                found[index].append(candidate)
                count = max(count, candidate.number)
        return [Candidates(tuple(plane), shape, self.region) for plane in found]

    def _block_side(self) -> int:
        """Return the side of a block without its margin, in pixels of the maps."""
        with_margin = int(np.sqrt(_VOXELS / max(len(self._planes), 1)))
        return max(with_margin - 2 * _MARGIN, _LEAST_BLOCK)
