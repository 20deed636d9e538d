"""Appearance of an object: where its masks end, and how bright it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.masks.border import (
    border_step,
    coarse_grid,
    gray_of,
    measure_border,
    measure_levels,
    smoothed,
)
from napari_sam.masks.patch import MaskPatch, box_iou, mask_to_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.masks.border import Border
    from napari_sam.prediction.plane_transform import Region
    from napari_sam.prediction.prediction import Prediction

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

# A view shows this fraction of the box on each side of it, and at least some pixels; a
# mask extends at most so far out of its box.
_VIEW_MARGIN, _MIN_VIEW, _MASK_MARGIN = 0.5, 4.0, 0.1
# Logits at which a mask may end, from the usual one to the lowest: on prompted slices,
# and on the others, where they are compared for every object.
_THRESHOLDS = tuple(np.linspace(0.0, -4.0, 9).tolist())
_LATER_THRESHOLDS = _THRESHOLDS[::2]
# Weight of the fit of a mask in the user's box against the step of brightness at its
# border, which is 1 for the best threshold, or less within the noise; the same for the
# box that is expected on other slices.
_FIT_WEIGHT, _EXPECTED_FIT_WEIGHT = 1.0, 0.5
# A lower threshold fits the box better by at least this much IoU.
_LEAST_GAIN = 0.1
# What brightness adds to the logits at most.
_BRIGHTNESS_LOGITS = 6.0
# Pixels up to this many contrasts brighter than the object still speak for it.
_BRIGHTER = 2.0
# Width of the smoothing of the brightness, in pixels.
_SIGMA = 1.0
# Contrast to noise at which brightness begins to count, and counts in full.
_LEAST_CONTRAST, _FULL_CONTRAST = 1.0, 3.0
# Components of a mask below this fraction of the largest are dropped.
_MIN_COMPONENT = 0.3
# Probabilities closer to 0 or 1 become no larger logits.
_LEAST_ODDS = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the model answered around an object, and the pixels there.

    Parameters
    ----------
    origin : tuple of int
        (row, col) of the first pixel on the plane.
    logits : ndarray
        (h, w) float32, of the model.
    gray : ndarray
        (h, w) float32, the image; colours are averaged.
    box : ndarray
        (4,) box of the prompt on the plane.
    expected : ndarray, optional
        (4,) box that is expected around the mask; that of the prompt when None. When
        given, the mask stays within the prompt's box: masks that extend a little beyond
        their box would grow from slice to slice.
    """

    origin: tuple[int, int]
    logits: Floats
    gray: Floats
    box: NDArray[np.float64]
    expected: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        box: NDArray[np.float64],
        pixels: NDArray[Any],
        expected: NDArray[np.float64] | None = None,
    ) -> Self:
        """Cut the view out of a prediction and of the pixels of its window.

        Parameters
        ----------
        prediction : Prediction
            The model's answer to the box.
        box : ndarray
            (4,) box on the plane.
        pixels : ndarray
            (h, w) or (h, w, C) of the window, perhaps at a lower resolution.
        expected : ndarray, optional
            (4,) box that is expected around the mask.
        """
        transform = prediction.transform
        start = transform.origin
        region = _region_around(box - np.tile(start, 2), transform.shape)
        gray = gray_of(_read(pixels, transform.shape, region))
        logits = transform.plane_logits(prediction.logits, region)
        if transform.preprocessing.upsampled == "probabilities":
            odds = np.clip(logits + 0.5, _LEAST_ODDS, 1 - _LEAST_ODDS)
            logits = np.log(odds / (1 - odds)).astype(np.float32)
        origin = (start[0] + region[0].start, start[1] + region[1].start)
        return cls(origin, logits, gray, box, expected)

    def allowed(self) -> Mask:
        """Return where the mask may lie, (h, w) bool."""
        sides = np.tile(self.box[2:] - self.box[:2] + 1, 2)
        margin = (_MASK_MARGIN if self.expected is None else 0.0) * sides
        around = np.maximum(1.0, margin)
        low_row, low_col, high_row, high_col = (
            self.box + around * (-1, -1, 1, 1) - np.tile(self.origin, 2)
        )
        rows, cols = np.ogrid[: self.logits.shape[0], : self.logits.shape[1]]
        inside = (rows >= low_row) & (rows <= high_row)
        allowed: Mask = inside & (cols >= low_col) & (cols <= high_col)
        return allowed

    def coarse(self) -> View:
        """Return a view of fewer pixels, for measures; large objects need no more."""
        height, width = shape = self.logits.shape
        kept = coarse_grid((height, width))
        scale = np.tile([len(k) / n for k, n in zip(kept, shape, strict=True)], 2)
        box, expected = (
            None if b is None else (b - np.tile(self.origin, 2) + 0.5) * scale - 0.5
            for b in (self.box, self.expected)
        )
        assert box is not None
        grid = np.ix_(*kept)
        return View((0, 0), self.logits[grid], self.gray[grid], box, expected)


@dataclass(frozen=True, slots=True)
class Appearance:
    """How an object looks: where its masks end, and how bright it is.

    Of small, blurred or dim objects, networks often find the bright core only. On a
    prompted slice, a lower threshold of the logits may fit the border in the image and
    the user's box better; on the other slices, the box that is expected there.
    The border also moves towards where the brightness is halfway between that of the
    object and of its surroundings, as in active contours without edges (Chan and Vese
    2001); the less noise, the more this counts.

    Parameters
    ----------
    threshold : float
        Logit of the model at which the masks end; at most 0.
    contrast : float
        Brightness of the object minus that of its surroundings, in units of the image.
    trust : float
        How much brightness counts, 0 to 1.
    """

    threshold: float = 0.0
    contrast: float = 0.0
    trust: float = 0.0

    @classmethod
    def first(cls, view: View, *, is_users_box: bool) -> Self:
        """Measure the appearance on a prompted slice.

        Parameters
        ----------
        view : View
            Of the object there.
        is_users_box : bool
            Whether the box shows how large the object is.
        """
        coarse = view.coarse()
        threshold = 0.0
        if is_users_box:
            threshold = _best_threshold(coarse, _THRESHOLDS, _FIT_WEIGHT)
        mask = _main_components((coarse.logits > threshold) & coarse.allowed())
        return cls.of_border(measure_border(coarse.gray, mask), threshold)

    @classmethod
    def of_border(cls, border: Border, threshold: float = 0.0) -> Self:
        """Make the appearance of an object from the border of its mask."""
        excess = border.contrast_to_noise - _LEAST_CONTRAST
        trust = np.clip(excess / (_FULL_CONTRAST - _LEAST_CONTRAST), 0, 1)
        return cls(threshold, border.contrast, float(trust))

    def mask(self, view: View) -> MaskPatch:
        """Return the mask of the object in a view."""
        coarse = view.coarse()
        threshold = _best_threshold(
            coarse, self._thresholds(view), _EXPECTED_FIT_WEIGHT
        )
        rough = (coarse.logits > threshold) & coarse.allowed()
        if not rough.any():
            return MaskPatch.empty()
        logits, allowed = view.logits - np.float32(threshold), view.allowed()
        if self.trust and self.contrast:
            outside = measure_levels(coarse.gray, _main_components(rough)).outside
            evidence = _brightness(view.gray, outside, self.contrast)
            logits = logits + np.float32(self.trust * _BRIGHTNESS_LOGITS) * evidence
        kept = _main_components((logits > 0) & allowed, view.logits > 0)
        # Pixels that were dropped keep a logit, so that neighbours can have them.
        logits = np.where(kept, logits, np.minimum(logits, np.float32(-1e-3)))
        return MaskPatch.from_logits(logits, view.origin)

    def _thresholds(self, view: View) -> list[float]:
        """Return the thresholds to choose from, the preferred one first."""
        if view.expected is None:
            return [
                self.threshold,
                *(t for t in _LATER_THRESHOLDS if t < self.threshold),
            ]
        # That of the prompted slice may be too low for the next ones: each lowers its
        # own only where it fits the box better.
        return sorted({*_LATER_THRESHOLDS, self.threshold}, reverse=True)

    def updated(self, contrast: float, gain: float) -> Self:
        """Return the appearance after a slice with another contrast."""
        if contrast * self.contrast <= 0:
            return self
        return replace(self, contrast=self.contrast + gain * (contrast - self.contrast))

    def of_clearer(self, other: Appearance) -> Appearance:
        """Return the appearance with the contrast of a larger cross-section.

        A small one near an end is dim, as images are blurred along the stack. Seen by
        its contrast, the haze beyond the end would belong to the object, and the
        brighter inside would not.

        Parameters
        ----------
        other : Appearance
            Of the larger cross-section.
        """
        if self.contrast * other.contrast < 0:
            return self
        if abs(other.contrast) <= abs(self.contrast):
            return self
        return replace(self, contrast=other.contrast, trust=other.trust)


UNKNOWN = Appearance()
"""Appearance of an object that was not measured: masks end at the usual threshold."""


def _region_around(box: NDArray[np.float64], shape: tuple[int, int]) -> Region:
    """Return rows and columns around a box of a window."""
    margin = np.maximum(_VIEW_MARGIN * (box[2:] - box[:2] + 1), _MIN_VIEW)
    low = np.clip(np.floor(box[:2] - margin), 0, np.subtract(shape, 1)).astype(int)
    high = np.clip(np.ceil(box[2:] + margin) + 1, low + 1, shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])


def _read(pixels: NDArray[Any], shape: tuple[int, int], region: Region) -> NDArray[Any]:
    """Read a region of a window of (H, W) from its pixels, the nearest of each."""
    rows, cols = (
        np.arange(part.start, part.stop) * count // size
        for part, count, size in zip(region, pixels.shape, shape, strict=False)
    )
    read: NDArray[Any] = pixels[np.ix_(rows, cols)]
    return read


def _brightness(gray: Floats, outside: float, contrast: float) -> Floats:
    """Return how brightness speaks for the object, -1 to 1, in each pixel.

    0 halfway between its surroundings and the object, and where pixels are much
    brighter than it, as those of a brighter neighbour are.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(gray, _SIGMA)
    relative = (smooth - np.float32(outside)) / np.float32(contrast)
    dark, bright = 2 * relative - 1, 1 + _BRIGHTER - relative
    evidence: Floats = np.clip(np.minimum(dark, bright), -1, 1).astype(np.float32)
    return evidence


def _best_threshold(
    view: View, thresholds: Sequence[float], fit_weight: float
) -> float:
    """Return the threshold whose mask has the sharpest border and fits the box."""
    if len(thresholds) == 1:
        return thresholds[0]
    allowed = view.allowed()
    wanted = view.box if view.expected is None else view.expected
    box = wanted - np.tile(view.origin, 2)

    def fit(mask: Mask) -> float:
        tight = mask_to_box(mask)
        return 0.0 if tight is None else float(box_iou(tight, box))

    # The box must say that the mask is too small: a border beside it may be sharper.
    masks = [_main_components((view.logits > thresholds[0]) & allowed)]
    needed = fit(masks[0]) + _LEAST_GAIN
    if needed > 1:
        return thresholds[0]
    masks += [_main_components((view.logits > t) & allowed) for t in thresholds[1:]]
    fits = np.array([fit(mask) for mask in masks])
    better = fits >= needed
    if not better.any():
        return thresholds[0]
    smooth = smoothed(view.gray)
    steps = np.array([border_step(smooth, mask) for mask in masks])
    steps *= np.sign(steps[np.argmax(np.abs(steps))])
    # A step within the noise says nothing.
    noise = measure_levels(smooth, masks[0]).noise
    scores = steps / max(float(steps.max()), noise, 1e-12) + fit_weight * fits
    scores[1:] = np.where(better[1:], scores[1:], -np.inf)
    return thresholds[int(np.argmax(scores))]


def _main_components(mask: Mask, found: Mask | None = None) -> Mask:
    """Drop small components of a mask, except those that overlap `found`."""
    from scipy.ndimage import label

    labels, count = label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = sizes >= _MIN_COMPONENT * sizes.max()
    if found is not None:
        large[labels[found]] = True
    kept: Mask = large[labels] & mask
    return kept
