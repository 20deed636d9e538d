"""Conversion of planes to 8 bits, as the models take them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.arrays import as_image, as_numbers, as_plane_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.window import Window

PERCENTILES = (0.5, 99.5)

# Large planes are converted in blocks of this many values, which keeps intermediate
# arrays small.
_BLOCK_VALUES = 2**22

# Percentiles are computed from about this many values, which is exact enough.
_SAMPLED_VALUES = 2**20


def to_uint8(plane: Any, contrast_limits: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Convert a plane to 8 bits.

    Parameters
    ----------
    plane : array-like
        (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA (alpha is dropped), of any
        real dtype. NaN and infinities become the low limit.
    contrast_limits : tuple of float or array-like, optional
        (low, high), the values that become 0 and 255, or (3, 2): one pair for
        each colour channel. When None, 8-bit data are unchanged, float RGB within
        [0, 1] is scaled by 255, and other data use their 0.5 and 99.5 percentile.

    Returns
    -------
    ndarray
        (H, W) or (H, W, 3) uint8; without a copy where the values are unchanged.
        A constant plane without limits is all zeros.

    Raises
    ------
    ValueError
        When the shape or dtype is not that of an image plane, or the limits are
        not two increasing finite numbers.
    """
    pixels = _check_plane(plane)
    if contrast_limits is None:
        if pixels.dtype == np.uint8:
            return pixels
        contrast_limits = data_limits(pixels)
    limits = check_limits(contrast_limits, pixels.shape)
    if pixels.dtype == np.uint8 and (limits == (0, 255)).all():
        return pixels
    mapped = np.empty(pixels.shape, np.uint8)
    if limits.ndim == 1:
        _map(pixels, limits, mapped)
    else:
        for channel, pair in enumerate(limits):
            _map(pixels[..., channel], pair, mapped[..., channel])
    return mapped


def full_shape(
    pixels: NDArray[np.uint8],
    plane_shape: tuple[int, int] | None,
    window: Window | None = None,
) -> tuple[int, int]:
    """Return (H, W) of the full plane, of which the pixels may be a reduced version.

    Parameters
    ----------
    pixels : ndarray
        (h, w) or (h, w, 3).
    plane_shape : tuple of int, optional
        (H, W) of the full plane; the shape of `pixels` when None.
    window : Window, optional
        The part of the full plane that the pixels show; all of it when None.

    Raises
    ------
    ValueError
        When the full plane or the window is smaller than `pixels`.
    """
    rows, cols = pixels.shape[:2]
    height, width = rows, cols
    if plane_shape is not None:
        height, width = as_plane_shape(plane_shape, "plane_shape")
    shown = (height, width) if window is None else window.shape
    if shown[0] < rows or shown[1] < cols:
        what = "full plane" if window is None else "window"
        raise ValueError(
            f"The image has {rows} x {cols} pixels, the {what} only {shown[0]} x "
            f"{shown[1]}: give the shape of the {what}."
        )
    return height, width


def plane_key(pixels: NDArray[np.uint8]) -> str:
    """Hash the shape and the pixels of an 8-bit plane."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    for rows in row_blocks(pixels.shape):
        digest.update(np.ascontiguousarray(pixels[rows]).data)
    return digest.hexdigest()


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows of an array, of some million values each."""
    values_a_row = int(np.prod(shape[1:], dtype=np.int64))
    rows = max(1, _BLOCK_VALUES // max(values_a_row, 1))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def _map(
    pixels: NDArray[Any], limits: NDArray[np.float64], mapped: NDArray[np.uint8]
) -> None:
    """Convert pixels into an 8-bit array of their shape."""
    low, high = limits.tolist()
    if high == low:
        mapped[...] = 0
        return
    # float64 holds every integer up to 2**53; float32 would lose 32-bit counts.
    dtype = np.float64 if pixels.dtype.itemsize > 2 else np.float32
    for rows in row_blocks(pixels.shape):
        values = pixels[rows].astype(dtype)
        np.nan_to_num(values, copy=False, nan=low, posinf=low, neginf=low)
        np.subtract(values, low, out=values)
        np.multiply(values, 255 / (high - low), out=values)
        np.clip(values, 0, 255, out=values)
        mapped[rows] = np.rint(values, out=values)


def data_limits(data: NDArray[Any]) -> tuple[float, float]:
    """Compute contrast limits from the data of a plane or a volume.

    They are the full range for bool and 8 bits, [0, 1] for float RGB within it, else
    the 0.5 and 99.5 percentile of a regular sample of the finite values. Both are
    equal for constant data.
    """
    if data.dtype == bool:
        return 0.0, 1.0
    if data.dtype == np.uint8:
        return 0.0, 255.0
    step = max(1, round((data.size / _SAMPLED_VALUES) ** (1 / data.ndim)))
    # The last axis may be colour; all channels are used.
    steps = (slice(None, None, step),) * (data.ndim - 1) + (slice(None),)
    sample = data[steps]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    if data.dtype.kind == "f" and data.ndim == 3 and data.shape[-1] in (3, 4):
        low, high = float(sample.min()), float(sample.max())
        if low >= 0 and high <= 1:
            return 0.0, 1.0
    # The interpolation of percentiles overflows in half precision.
    sample = sample.astype(np.float64 if sample.dtype.itemsize > 2 else np.float32)
    low, high = (float(v) for v in np.percentile(sample, PERCENTILES))
    if low == high:  # a few bright pixels on a constant background
        low, high = float(sample.min()), float(sample.max())
    return low, high


def _check_plane(plane: Any) -> NDArray[Any]:
    pixels = np.asarray(as_image(plane, "plane"))
    if pixels.dtype.kind not in "buif":
        raise ValueError(
            f"The image has type {pixels.dtype}: only real numbers can be segmented; "
            "convert it first (for complex images take the magnitude)."
        )
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3 and pixels.shape[-1] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[-1] == 3):
        raise ValueError(
            f"The image has shape {pixels.shape}: give one plane, (H, W) or (H, W, 3)."
        )
    if 0 in pixels.shape:
        raise ValueError(
            f"The image has shape {pixels.shape}: give at least one pixel."
        )
    return pixels


def check_limits(limits: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return (2,) limits, or (3, 2) for the channels of a colour plane.

    Raises
    ------
    TypeError, ValueError
        When they are not two increasing finite numbers, or three pairs for gray.
    """
    pairs = as_numbers(limits, "contrast_limits", "(low, high)")
    if pairs.shape != (2,) and not (pairs.shape == (3, 2) and len(shape) == 3):
        raise ValueError(
            f"The contrast limits have shape {pairs.shape}, the image {shape}: give "
            "(low, high), or for RGB one (low, high) for each of its three channels."
        )
    for low, high in np.atleast_2d(pairs).tolist():
        if not np.isfinite([low, high]).all() or high < low:
            raise ValueError(
                f"The contrast limits ({low}, {high}) are not two increasing "
                "numbers: give (low, high)."
            )
    return pairs
