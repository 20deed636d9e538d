"""Axes of images: names of planes, and checks of axes and spacings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


PlaneIndex = tuple[slice | int, ...]


# One (low, high), or one for each of three colours.
ContrastLimits = tuple[float, float] | tuple[tuple[float, float], ...]


def plane_sides(shape: Sequence[int], plane_index: PlaneIndex) -> tuple[int, int]:
    """(H, W) of a plane of an array of this shape; a colour axis does not count."""
    sides = zip(shape, plane_index, strict=False)
    rows, cols = (int(size) for size, entry in sides if isinstance(entry, slice))
    return rows, cols


def check_spacing(spacing: ArrayLike | None, ndim: int) -> NDArray[np.float64]:
    """Distance of neighbouring voxels along each axis, (ndim,); 1 for None.

    Raises
    ------
    ValueError
        When it is not one positive number an axis.
    """
    if spacing is None:
        return np.ones(ndim)
    sizes = np.asarray(spacing, dtype=float)
    if sizes.shape != (ndim,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(
            f"The spacing {np.array2string(sizes, separator=', ')} does not fit to "
            f"{ndim} axes: give one number above 0 for each."
        )
    return sizes


def check_axis(axis: int, ndim: int) -> int:
    """The axis of a stack, counted from the front; 0 on a plane.

    Raises
    ------
    ValueError
        When there is no such axis.
    """
    if ndim == 2:
        return 0
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"axis={axis} is not an axis of {ndim}: give {-ndim} to {ndim - 1}."
        )
    return axis % ndim
