"""Parts of a plane that are encoded on their own, so that small objects are seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of the whole plane's shorter side that crops overlap by, spread over a level.
_OVERLAP = 512 / 1500
# An object is cut off by a crop when it comes so near to its edge: pixels, or a share
# of its side where that is less.
_NEAR, _NEAR_SHARE = 20.0, 0.05


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a plane.

    Parameters
    ----------
    origin : tuple of int
        (row, col) of its first pixel.
    shape : tuple of int
        (h, w).
    level : int
        0 for the whole, more for smaller parts.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    level: int = 0

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the plane."""
        (row, col), (height, width) = self.origin, self.shape
        return slice(row, row + height), slice(col, col + width)

    def cuts(self, box: NDArray[np.float64], plane_shape: tuple[int, int]) -> bool:
        """Whether what the box holds may go on beyond the crop.

        Parameters
        ----------
        box : ndarray
            (4,) in pixels of the plane.
        plane_shape : tuple of int
            (H, W); at its own border nothing goes on.
        """
        first = np.array(self.origin)
        size = np.array(self.shape)
        near = np.minimum(_NEAR, _NEAR_SHARE * size)
        low = (first > 0) & (box[:2] - first <= near)
        stop = first + size
        high = (stop < np.array(plane_shape)) & (stop - 1 - box[2:] <= near)
        return bool((low | high).any())


def make_crops(whole: Crop, levels: int) -> list[Crop]:
    """The whole, and for each level i its 2**i x 2**i overlapping parts.

    As Kirillov et al. 2023 ("Segment Anything", appendix B, "Cropping") and their
    code lay them: the overlap halves with each level.

    Parameters
    ----------
    whole : Crop
        Where objects are searched.
    levels : int
        0 for the whole alone.

    Raises
    ------
    ValueError
        When the number of levels is negative.
    """
    if levels < 0:
        raise ValueError(f"There are no {levels} levels of crops: give 0 or more.")
    crops = [whole]
    for level in range(1, levels + 1):
        count = 2**level
        overlap = int(_OVERLAP * min(whole.shape) * (2 / count))
        sides = [ceil((overlap * (count - 1) + size) / count) for size in whole.shape]
        starts = [[int((side - overlap) * i) for i in range(count)] for side in sides]
        for row in starts[0]:
            for col in starts[1]:
                height, width = (
                    min(side, size - start)
                    for side, size, start in zip(
                        sides, whole.shape, (row, col), strict=True
                    )
                )
                origin = whole.origin[0] + row, whole.origin[1] + col
                crops.append(Crop(origin, (height, width), level))
    return crops
