"""The part of a plane that the preview layer covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.axes import plane_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex

    Region = tuple[slice, slice]

# Side in pixels. Objects in the same tiles are drawn without new layer data.
_TILE = 1024


@dataclass(frozen=True, slots=True)
class PreviewWindow:
    """A window of tiles on a plane of an image.

    Parameters
    ----------
    index : PlaneIndex
        Index of the plane in the image.
    region : tuple of slice
        Rows and columns of the window on the plane.
    shape : tuple of int
        Shape of the image.
    """

    index: PlaneIndex
    region: Region
    shape: tuple[int, ...]

    @classmethod
    def around(
        cls, region: Region, index: PlaneIndex, shape: tuple[int, ...]
    ) -> PreviewWindow:
        """Make the window of the tiles that a region touches.

        Small regions across two tiles get a tile between these.
        """
        rows, cols = (
            _tiles(part, side)
            for part, side in zip(region, plane_sides(shape, index), strict=True)
        )
        return cls(index, (rows, cols), shape)

    def contains(
        self, region: Region, index: PlaneIndex, shape: tuple[int, ...]
    ) -> bool:
        """Whether a region of a plane of an image lies in the window."""
        inside = all(
            window.start <= part.start and part.stop <= window.stop
            for window, part in zip(self.region, region, strict=True)
        )
        return inside and index == self.index and shape == self.shape

    @property
    def is_small(self) -> bool:
        """Whether the window is one tile, cheap enough to keep while blank."""
        return all(part.stop - part.start <= _TILE for part in self.region)

    @property
    def first_pixel(self) -> list[int]:
        """Index of its first pixel in the image."""
        starts = (part.start for part in self.region)
        return [next(starts) if isinstance(e, slice) else e for e in self.index]

    def blank(self) -> NDArray[np.uint8]:
        """Make empty layer data, with length 1 along the axes not displayed."""
        rows, cols = (part.stop - part.start for part in self.region)
        plane = np.zeros((rows, cols), np.uint8)
        return plane[tuple(e if isinstance(e, slice) else None for e in self.index)]

    def part(self, data: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
        """Return a view of the layer data for a region of the plane."""
        slices = iter(
            slice(part.start - window.start, part.stop - window.start)
            for window, part in zip(self.region, region, strict=True)
        )
        return data[
            tuple(next(slices) if isinstance(e, slice) else 0 for e in self.index)
        ]


def _tiles(part: slice, side: int) -> slice:
    """Return the tiles along one axis of the plane, of this many pixels."""
    start, stop = part.start // _TILE * _TILE, -(-part.stop // _TILE) * _TILE
    if part.stop - part.start <= _TILE // 2 < stop - start - _TILE:
        start += _TILE // 2
        stop = start + _TILE
    return slice(start, min(stop, side))
