"""Axes of images: plane indices, spacings, and nearest and central pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.checks.arrays import as_numbers
from napari_sam.checks.values import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

# An integer for each axis, and a full slice for the rows and the columns.
PlaneIndex = tuple[slice | int, ...]

# One (low, high), or one for each of three colours.
ContrastLimits = tuple[float, float] | tuple[tuple[float, float], ...]


_FAR = 2.0**62


def plane_sides(shape: Sequence[int], plane_index: PlaneIndex) -> tuple[int, int]:
    """Return (H, W) of a plane of an array; a colour axis is left out."""
    sides = zip(shape, plane_index, strict=False)
    rows, cols = (int(size) for size, entry in sides if isinstance(entry, slice))
    return rows, cols


def nearest(position: ArrayLike) -> NDArray[np.int64]:
    """Return the index of the pixel that contains each position along an axis.

    A position half way between two pixels belongs to the upper one. Rounding errors
    of transforms, up to 1e-6 pixels, do not matter.

    Parameters
    ----------
    position : float or array-like
        In pixels; pixel centres are integers.

    Returns
    -------
    ndarray
        int64, of the shape of `position`.
    """
    pixels = np.floor(np.round(np.asarray(position, float), 6) + 0.5)
    # An integer cannot hold what lies further out; it is off any image.
    return pixels.clip(-_FAR, _FAR).astype(np.int64)


def sample_centres(size: int, count: int) -> NDArray[np.intp]:
    """Return the indices at the centres of `count` equal parts of an axis.

    This is nearest-neighbour resampling of an axis of `size` pixels to `count`.
    """
    centres: NDArray[np.intp] = (
        (2 * np.arange(count, dtype=np.int64) + 1) * size // (2 * count)
    ).astype(np.intp)
    return centres


def check_spacing(spacing: ArrayLike | None, ndim: int) -> NDArray[np.float64]:
    """Return the spacing as an array of one positive number per axis.

    Parameters
    ----------
    spacing : array-like, optional
        (ndim,) distance between neighbouring voxels along each axis, or one number for
        all of them; 1 when None.
    ndim : int
        Number of axes.

    Raises
    ------
    TypeError, ValueError
        When it is not one positive, finite number per axis.
    """
    if spacing is None:
        return np.ones(ndim)
    sizes = as_numbers(spacing, "spacing", "one positive number per axis")
    if not sizes.ndim:
        sizes = np.full(ndim, sizes)
    if sizes.shape != (ndim,) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ValueError(
            f"The spacing {describe(spacing)} does not fit "
            f"{ndim} axes: give one positive number per axis."
        )
    return sizes


def check_axis(axis: int, ndim: int) -> int:
    """Return the axis of a stack counted from the front; 0 for a plane.

    Raises
    ------
    ValueError
        When the array has no such axis.
    """
    if ndim == 2:
        return 0
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"axis={axis} is out of range for {ndim} axes: give {-ndim} to {ndim - 1}."
        )
    return axis % ndim
