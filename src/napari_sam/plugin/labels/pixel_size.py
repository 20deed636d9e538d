"""Pixel sizes of layers, in their units."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log10
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.plugin.layers.transforms import displayed_plane, layer_affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims
    from napari.layers import Image, Layer


def sizes_with_unit(
    layer: Layer, axes: Sequence[int]
) -> tuple[tuple[float, ...] | None, str]:
    """Return the voxel size of a layer along some axes, and its unit.

    Returns
    -------
    sizes : tuple of float or None
        None when the axes have no common unit.
    unit : str
        Abbreviation, such as "µm"; "pixel" for a layer without units.
    """
    units = [layer.units[axis] for axis in axes]
    if len({unit.dimensionality for unit in units}) > 1:
        return None, "pixel"
    affine = layer_affine(layer)[:-1, :-1]
    steps = np.linalg.norm(affine, axis=0)
    sizes = [
        float(steps[axis] * (1 * unit).to(units[0]).magnitude)
        for axis, unit in zip(axes, units, strict=True)
    ]
    if str(units[0]) == "pixel":
        return tuple(sizes), "pixel"
    # pint writes micro with one of two letters; CSV files use the micro sign.
    return tuple(sizes), f"{units[0]:~}".replace("\N{GREEK SMALL LETTER MU}", "µ")


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Size of the pixels of a plane, to show lengths and areas in its unit.

    Parameters
    ----------
    side : float
        Geometric mean of the sides of a pixel.
    unit : str
        Its unit; "px" when sizes are counted in pixels.
    """

    side: float
    unit: str

    def area(self, pixels: float) -> float:
        """Return the area of a number of pixels."""
        return pixels * self.side**2

    def count(self, area: float) -> int:
        """Return the number of pixels in an area, rounded."""
        return round(area / self.side**2)

    def text(self, power: int = 1) -> str:
        """Return the unit of a length, or of an area for a power of 2."""
        return self.unit + ("²" if power == 2 else "")

    def decimals(self, power: int = 1) -> int:
        """Return the decimal places that tell one pixel from two."""
        if self.unit == "px":
            return 0
        return max(0, ceil(-log10(self.side**power)) + 1)


PIXEL = PixelSize(1.0, "px")
"""Sizes in pixels."""


def displayed_pixel(layer: Image | None, dims: Dims) -> PixelSize:
    """Return the pixel size of the displayed plane of a layer; `PIXEL` without a unit.

    In a 3D view it is that of the last two axes.
    """
    if layer is None:
        return PIXEL
    try:
        axes = displayed_plane(layer, dims).axes
    except ValueError:  # a 3D view, or a slider outside the layer
        axes = (layer.ndim - 2, layer.ndim - 1)
    sizes, unit = sizes_with_unit(layer, axes)
    if sizes is None or unit == "pixel":
        return PIXEL
    return PixelSize(float(np.sqrt(np.prod(sizes))), unit)
