"""One 2D plane of anything becomes the 8-bit plane that the models see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)

# Percentiles are exact enough on this many pixels, and far quicker.
_ENOUGH_PIXELS = 2**20


def to_uint8(
    plane: Any, contrast_limits: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Map a plane to 8 bits.

    Parameters
    ----------
    plane : array-like
        (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA (alpha is dropped), of any
        real dtype. NaN and infinities become the low limit.
    contrast_limits : tuple of float, optional
        Values that become 0 and 255. When None, 8-bit data stay as they are,
        float RGB within [0, 1] is taken as such, and all else is mapped by its
        0.5 and 99.5 percentile.

    Returns
    -------
    ndarray
        (H, W) or (H, W, 3) uint8. A constant plane without limits is all zeros.

    Raises
    ------
    ValueError
        When the shape or dtype is not that of an image plane, or the limits
        are not two increasing finite numbers.
    """
    pixels = _check_plane(plane)
    if contrast_limits is None:
        if pixels.dtype == np.uint8:
            return pixels
        contrast_limits = data_limits(pixels)
    low, high = _check_limits(contrast_limits)
    if high == low:
        return np.zeros(pixels.shape, np.uint8)
    # float64 holds every integer up to 2**53; float32 would lose 32-bit counts.
    kind = np.float64 if pixels.dtype.itemsize > 2 else np.float32
    values: NDArray[Any] = pixels.astype(kind)
    np.nan_to_num(values, copy=False, nan=low, posinf=low, neginf=low)
    np.subtract(values, low, out=values)
    np.multiply(values, 255 / (high - low), out=values)
    mapped: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return mapped


def data_limits(data: NDArray[Any]) -> tuple[float, float]:
    """Contrast limits taken from the data of a plane or a volume.

    The full range for bool and 8 bits, [0, 1] for float RGB within it, else the
    0.5 and 99.5 percentile of a regular sample of the finite values. Both are
    the same number for constant data.
    """
    if data.dtype == bool:
        return 0.0, 1.0
    if data.dtype == np.uint8:
        return 0.0, 255.0
    step = max(1, round((data.size / _ENOUGH_PIXELS) ** (1 / data.ndim)))
    # The last axis may be colour, where every channel counts.
    steps = (slice(None, None, step),) * (data.ndim - 1) + (slice(None),)
    sample = data[steps]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    if data.dtype.kind == "f" and data.ndim == 3 and data.shape[-1] in (3, 4):
        low, high = float(sample.min()), float(sample.max())
        if low >= 0 and high <= 1:
            return 0.0, 1.0
    # Half precision overflows in numpy's interpolation.
    sample = sample.astype(np.float64 if sample.dtype.itemsize > 2 else np.float32)
    low, high = (float(v) for v in np.percentile(sample, PERCENTILES))
    if low == high:  # a few bright pixels on a constant ground
        low, high = float(sample.min()), float(sample.max())
    return low, high


def _check_plane(plane: Any) -> NDArray[Any]:
    pixels = np.asarray(plane)
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
        raise ValueError(f"The image has shape {pixels.shape}: it holds no pixels.")
    return pixels


def _check_limits(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(v) for v in limits)
    if not np.isfinite([low, high]).all() or high < low:
        raise ValueError(
            f"The contrast limits ({low}, {high}) are not two increasing numbers."
        )
    return low, high
