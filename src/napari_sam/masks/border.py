"""Border of an object in the image: contrast, noise, and where it is sharpest."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import sample_centres
from napari_sam.masks.patch import mask_to_window, window_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

# The inside of a mask is deeper than this fraction of its depth. The ring around it
# lies between two fractions of the square root of its area; its lower 40 % are
# background, the rest may be neighbours.
_CORE_DEPTH, _RING, _BACKGROUND_PERCENTILE = 0.4, (0.06, 0.31), 40.0
# Width of the smoothing before steps of brightness are measured, in pixels.
_SIGMA = 0.7
# The sharpest border is looked for within this fraction of the radius, and one pixel.
_SEARCHED = 0.4
# Masks are measured on at most so many pixels a side.
_MEASURED_SIDE = 96


@dataclass(frozen=True, slots=True)
class Levels:
    """Brightness inside and around a mask, in units of the image.

    Parameters
    ----------
    inside, outside : float
        Median of the inside; lower percentile of the surroundings, or upper one of an
        object darker than they are.
    noise : float
        Standard deviation in both.
    """

    inside: float = 0.0
    outside: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Border:
    """What the image shows at the border of a mask.

    Parameters
    ----------
    contrast : float
        Brightness of the object minus that of its surroundings, in units of the image.
    noise : float
        Standard deviation of the brightness, in the same units.
    offset : float
        Distance from the border of the mask to where the step of brightness is
        largest, in radii; negative inside the mask.
    sharpness : float
        The step of brightness at the border over the largest one near it; at most 1,
        negative when it goes the other way.
    """

    contrast: float = 0.0
    noise: float = 0.0
    offset: float = 0.0
    sharpness: float = 0.0

    @property
    def contrast_to_noise(self) -> float:
        """Contrast over noise, both without units; 0 without any contrast."""
        return abs(self.contrast) / self.noise if self.noise else 0.0


NO_BORDER = Border()
"""Border of a mask that has none: it is empty, or fills the plane."""


def measure_border(
    plane: NDArray[Any],
    mask: NDArray[np.bool_],
    origin: tuple[int, int] = (0, 0),
    plane_shape: tuple[int, int] | None = None,
) -> Border:
    """Measure the border of an object.

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
    Border
        `NO_BORDER` for empty or full masks.
    """
    sampled = _sample_tight(mask, origin, plane.shape[:2], plane_shape)
    if sampled is None:
        return NO_BORDER
    mask, (row, col) = sampled
    width = ceil(_RING[1] * np.sqrt(np.count_nonzero(mask))) + 3
    top, left = max(row - width, 0), max(col - width, 0)
    bottom, right = row + mask.shape[0] + width, col + mask.shape[1] + width
    gray = gray_of(plane[top:bottom, left:right])
    inside = np.zeros(gray.shape, bool)
    inside[window_at((row - top, col - left), mask.shape)] = mask
    kept = np.ix_(*coarse_grid(gray.shape))
    gray, inside = gray[kept], inside[kept]
    if inside.all() or not inside.any():
        return NO_BORDER
    levels = measure_levels(gray, inside)
    contrast = levels.inside - levels.outside
    offset, sharpness = _sharpest(gray, inside, np.sign(contrast))
    return Border(contrast, levels.noise, offset, sharpness)


def measure_levels(gray: Floats, mask: Mask) -> Levels:
    """Measure the brightness inside and around a mask of a (h, w) image."""
    from scipy.ndimage import distance_transform_edt

    if mask.all() or not mask.any():
        return Levels()
    depth = distance_transform_edt(mask)
    core = gray[depth >= _CORE_DEPTH * depth.max()]
    near, far = (f * float(np.sqrt(np.count_nonzero(mask))) for f in _RING)
    distance = distance_transform_edt(~mask)
    around = gray[(distance > max(near, 1.5)) & (distance <= far + 2)]
    if not around.size:
        around = gray[~mask]
    inside, percentile = float(np.median(core)), _BACKGROUND_PERCENTILE
    if inside < np.median(around):
        percentile = 100 - percentile
    noise = np.sqrt((np.var(core) + np.var(around)) / 2)
    return Levels(inside, float(np.percentile(around, percentile)), float(noise))


def border_step(smooth: Floats, mask: Mask) -> float:
    """Return the brightness just inside a border minus that just outside it."""
    from scipy.ndimage import distance_transform_edt

    width = max(1.5, _RING[0] * float(np.sqrt(np.count_nonzero(mask))))
    inner = mask & (distance_transform_edt(mask) <= width)
    outer = ~mask & (distance_transform_edt(~mask) <= width)
    if not (inner.any() and outer.any()):
        return 0.0
    return float(smooth[inner].mean() - smooth[outer].mean())


def smoothed(gray: Floats) -> Floats:
    """Return an image of less noise, for `border_step`."""
    from scipy.ndimage import gaussian_filter

    smooth: Floats = gaussian_filter(gray, _SIGMA)
    return smooth


def gray_of(pixels: NDArray[Any]) -> Floats:
    """Average the colours of (h, w) or (h, w, C) pixels; fill what is not finite."""
    gray = pixels.astype(np.float32)
    gray = gray.mean(-1) if gray.ndim == 3 else gray
    finite = np.isfinite(gray)
    if not finite.all():
        gray[~finite] = np.median(gray[finite]) if finite.any() else 0
    return gray


def coarse_grid(shape: tuple[int, int]) -> list[NDArray[np.intp]]:
    """Return rows and columns that are enough to measure a large object."""
    return [sample_centres(n, n // ceil(n / _MEASURED_SIDE)) for n in shape]


def _sharpest(gray: Floats, mask: Mask, sign: float) -> tuple[float, float]:
    """Return offset and sharpness of a border, from rings of a pixel around it."""
    from scipy.ndimage import distance_transform_edt

    radius = float(np.sqrt(np.count_nonzero(mask) / np.pi))
    reach = max(ceil(_SEARCHED * radius), 2)
    signed = np.where(
        mask, 0.5 - distance_transform_edt(mask), distance_transform_edt(~mask) - 0.5
    )
    rings = np.floor(signed).astype(int) + reach + 1
    near = (rings >= 0) & (rings < 2 * reach + 2)
    counts = np.bincount(rings[near], minlength=2 * reach + 2)
    sums = np.bincount(rings[near], smoothed(gray)[near], minlength=2 * reach + 2)
    profile = sums / np.maximum(counts, 1)
    # Each step between neighbouring rings, the one at the border in the middle.
    steps = sign * (profile[:-1] - profile[1:])
    steps[(counts[:-1] == 0) | (counts[1:] == 0)] = 0
    best = int(np.argmax(steps))
    if steps[best] <= 0:
        return 0.0, 0.0
    return (best - reach) / radius, float(steps[reach] / steps[best])


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
