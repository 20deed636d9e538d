"""Contrast of an object against its surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import sample_centres
from napari_sam.masks.patch import mask_to_window, window_at

if TYPE_CHECKING:
    from numpy.typing import NDArray


def border_contrast(
    plane: NDArray[Any],
    mask: NDArray[np.bool_],
    origin: tuple[int, int] = (0, 0),
    plane_shape: tuple[int, int] | None = None,
) -> float:
    """Compute the mean intensity inside a mask minus that of a ring around it.

    The ring has about the area of the mask.

    Parameters
    ----------
    plane : ndarray
        (h, w) or (h, w, C): the plane, or a downsampled version of it. Colours are
        averaged; NaN and infinities are ignored.
    mask : ndarray
        bool, the full plane or a part of it.
    origin : tuple of int
        (row, col) of the mask's first pixel on the full plane.
    plane_shape : tuple of int, optional
        (H, W) of the full plane; the shape of `plane` when None.

    Returns
    -------
    float
        In units of the plane; 0 for empty or full masks.
    """
    from scipy.ndimage import distance_transform_edt

    sampled = _sample_tight(mask, origin, plane.shape[:2], plane_shape)
    if sampled is None:
        return 0.0
    mask, (row, col) = sampled
    width = int(np.ceil(np.sqrt(np.count_nonzero(mask)) / 4)) + 1
    top, left = max(row - width, 0), max(col - width, 0)
    bottom, right = row + mask.shape[0] + width, col + mask.shape[1] + width
    gray = plane[top:bottom, left:right].astype(np.float32)
    gray = gray.mean(-1) if gray.ndim == 3 else gray
    inside = np.zeros(gray.shape, bool)
    inside[window_at((row - top, col - left), mask.shape)] = mask
    ring = ~inside & (distance_transform_edt(~inside) <= width)
    finite = np.isfinite(gray)
    inside, ring = inside & finite, ring & finite
    if not (inside.any() and ring.any()):
        return 0.0
    return float(gray[inside].mean() - gray[ring].mean())


def _sample_tight(
    mask: NDArray[np.bool_],
    origin: tuple[int, int],
    shape: tuple[int, ...],
    plane_shape: tuple[int, int] | None,
) -> tuple[NDArray[np.bool_], tuple[int, int]] | None:
    """Resample a mask to a downsampled plane; return its tight crop and origin there.

    None when no pixel of the downsampled plane lies in the mask.
    """
    indices, first = [], []
    for start, size, full, count in zip(
        origin, mask.shape, plane_shape or shape, shape, strict=True
    ):
        pixels = sample_centres(full, count) - start
        indices.append(pixels[(pixels >= 0) & (pixels < size)])
        first.append(int(np.searchsorted(pixels, 0)))
    sampled = mask[np.ix_(*indices)]
    window = mask_to_window(sampled)
    if window is None:
        return None
    row, col = (f + w.start for f, w in zip(first, window, strict=True))
    return sampled[window], (row, col)
