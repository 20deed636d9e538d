"""Crops of a plane that are encoded on their own, to find small objects."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from napari_sam.images.window import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# SAM's crop_overlap_ratio.
_CROP_OVERLAP_RATIO = 512 / 1500


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a plane.

    Parameters
    ----------
    origin : tuple of int
        (row, col) of its first pixel.
    shape : tuple of int
        (h, w).
    layer : int
        0 for the full area, i for one of its 4**i parts.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    layer: int = 0

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the plane."""
        return Window(*self.origin, *self.shape).slices

    def cuts(self, box: NDArray[np.float64], plane_shape: tuple[int, int]) -> bool:
        """Tell whether an object may continue beyond the edges of the crop.

        Parameters
        ----------
        box : ndarray
            (4,) box of the object in pixels of the plane.
        plane_shape : tuple of int
            (H, W); no object continues beyond the border of the plane.
        """
        return Window(*self.origin, *self.shape).cuts(box, plane_shape)


def make_crops(
    area: Crop, crop_n_layers: int, overlap_ratio: float = _CROP_OVERLAP_RATIO
) -> list[Crop]:
    """List the full area and, for each layer i, its 2**i x 2**i overlapping parts.

    As `generate_crop_boxes` of the published code (Kirillov et al. 2023, "Segment
    Anything", appendix B, "Cropping"): the overlap halves with each layer.

    Parameters
    ----------
    area : Crop
        The area to search.
    crop_n_layers : int
        0 for the full area alone.
    overlap_ratio : float
        Overlap of neighbouring crops as a fraction of the shorter side, for one row of
        crops.

    Raises
    ------
    ValueError
        When the number of layers is negative.
    """
    if crop_n_layers < 0:
        raise ValueError(f"crop_n_layers={crop_n_layers} is negative: give 0 or more.")
    crops = [area]
    for layer in range(1, crop_n_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(area.shape) * (2 / count))
        sides = [ceil((overlap * (count - 1) + size) / count) for size in area.shape]
        starts = [[int((side - overlap) * i) for i in range(count)] for side in sides]
        for row in starts[0]:
            for col in starts[1]:
                height, width = (
                    min(side, size - start)
                    for side, size, start in zip(
                        sides, area.shape, (row, col), strict=True
                    )
                )
                origin = area.origin[0] + row, area.origin[1] + col
                crops.append(Crop(origin, (height, width), layer))
    return crops
