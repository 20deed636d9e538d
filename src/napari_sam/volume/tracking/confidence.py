"""Confidence of a slice mask: logistic regression on features of the propagation."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import MaskPatch, mask_to_box, patch_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.masks.border import Border
    from napari_sam.volume.appearance import Appearance


@dataclass(frozen=True, slots=True)
class ConfidenceFeatures:
    """Features from which the confidence of a slice mask is estimated.

    Lengths are in units of the object's radius, so that stacks of thick slices, where
    objects change more from slice to slice, get comparable values.

    Parameters
    ----------
    iou : float
        IoU with the mask expected from the slices before.
    pred_iou : float
        IoU with the truth as the model predicts it.
    stability_score : float
        IoU of the masks at a lower and a higher threshold.
    shift : float
        Distance of the centroid from the expected one, in radii.
    step : float
        Distance from the last slice, in radii.
    contrast : float
        Contrast relative to the slices before; negative when its sign has changed.
    filled : float
        Fraction of the prompt's box that the mask fills, minus the expected one: a
        mask that has lost its border fills its box.
    depth : float
        Logarithm of the distance from the prompted slice, in radii.
    trust : float
        How clear the contrast is, see `Appearance`.
    fading : float
        What the contrast has lost against the slices before, times `trust`.
    offset : float
        Distance from the border to where the image is sharpest, in radii, times
        `trust`.
    sharpness : float
        How sharp the image is at the border, see `Border`, times `trust`.
    """

    iou: float
    pred_iou: float
    stability_score: float
    shift: float
    step: float
    contrast: float
    filled: float
    depth: float
    trust: float
    fading: float
    offset: float
    sharpness: float

    def clipped(self) -> NDArray[np.float64]:
        """Return the features as an array, (12,), each clipped to its range."""
        values = np.array(astuple(self))
        low = [0, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0, -1]
        high = [1, 1, 1, 2, 1, 1.5, 1, 3, 1, 1.5, 1, 1]
        clipped: NDArray[np.float64] = np.clip(values, low, high)
        return clipped


# Logistic regression for a Dice above 0.7 with the truth, fitted with the default
# weights on the calibration half of the stacks of benchmarks/quality/volume.py by
# benchmarks/quality/fit_confidence.py; good and bad slices are weighted equally, and
# stacks by the root of their slices.
_WEIGHTS = np.array(
    [0.55, 5.97, 2.39, -1.79, 1.61, 2.31, 0.72, -1.02, 1.61, -4.18, -2.44, 0.95]
)
_BIAS = -9.3


# The same for masks as the model gives them, which need only the first features.
_MODEL_WEIGHTS = np.array([2.03, 7.27, 7.70, -4.16, 1.01, 3.00, -1.00, -1.39])
_MODEL_BIAS = -14.77
# What the weakest mask on the way takes from the log odds, times what it lacks to 1;
# the bias makes up for it on average.
_WAY_WEIGHT, _WAY_BIAS = 4.0, 1.2
_LEAST_ODDS = 1e-9


def confidence(features: ConfidenceFeatures, *, fits_border: bool = True) -> float:
    """Estimate the probability that the Dice of a mask with the truth is over 0.7.

    Parameters
    ----------
    features : ConfidenceFeatures
        Of the mask.
    fits_border : bool
        Whether its border was fitted to the image, see `PropagationOptions`.
    """
    values = features.clipped()
    if fits_border:
        log_odds = float(values @ _WEIGHTS + _BIAS)
    else:
        log_odds = float(values[: len(_MODEL_WEIGHTS)] @ _MODEL_WEIGHTS + _MODEL_BIAS)
    return _probability(log_odds)


def confidence_on_the_way(own: float, weakest: float) -> float:
    """Estimate how sure a mask is after those before.

    What follows from a wrong mask is wrong as well, however well the two agree.

    Parameters
    ----------
    own : float
        Confidence of the mask by itself.
    weakest : float
        Lowest confidence of the masks from the prompted slice, where it is 1, to here.
    """
    kept = min(max(own, _LEAST_ODDS), 1 - _LEAST_ODDS)
    log_odds = float(np.log(kept / (1 - kept)))
    return _probability(log_odds + _WAY_WEIGHT * (weakest - 1) + _WAY_BIAS)


def _probability(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def confidence_features(
    patch: MaskPatch,
    expected: MaskPatch,
    box: Sequence[float],
    *,
    pred_iou: float,
    stability_score: float,
    border: Border,
    appearance: Appearance,
    step: float,
    depth: float,
    pixel: tuple[float, float],
) -> ConfidenceFeatures:
    """Compute the features of a mask.

    Parameters
    ----------
    patch, expected : MaskPatch
        The mask, and the mask expected from the slices before; not empty.
    box : sequence of float
        (row_min, col_min, row_max, col_max) of the prompt.
    pred_iou, stability_score
        See `ConfidenceFeatures`.
    border : Border
        Of the mask.
    appearance : Appearance
        How the object looked on the slices before.
    step, depth : float
        Physical distance from the last slice and from the prompted slice.
    pixel : tuple of float
        Physical (height, width) of a pixel.
    """
    area, expected_area = (int(np.count_nonzero(p.mask)) for p in (patch, expected))
    radius = equivalent_radius(expected, pixel)
    shift = (patch.centroid - expected.centroid) * pixel
    sides = np.maximum(np.array(box[2:]) - box[:2] + 1, 1)
    tight = mask_to_box(expected.mask)
    assert tight is not None
    trust, usual = appearance.trust, appearance.contrast
    contrast = border.contrast / usual if usual else 0.0
    expected_filled = expected_area / np.prod(tight[2:] - tight[:2] + 1)
    return ConfidenceFeatures(
        iou=patch_iou(patch, expected),
        pred_iou=pred_iou,
        stability_score=stability_score,
        shift=float(np.linalg.norm(shift) / radius),
        step=step / radius,
        contrast=contrast,
        filled=float(area / sides.prod() - expected_filled),
        depth=float(np.log1p(depth / radius)),
        trust=trust,
        fading=trust * max(1 - contrast, 0.0),
        offset=trust * abs(border.offset),
        sharpness=trust * border.sharpness,
    )


def equivalent_radius(patch: MaskPatch, pixel: tuple[float, float]) -> float:
    """Return the radius of a disc with the area of a mask, in physical units.

    Parameters
    ----------
    patch : MaskPatch
        The mask; not empty.
    pixel : tuple of float
        Physical (height, width) of a pixel.
    """
    area = np.count_nonzero(patch.mask) * pixel[0] * pixel[1]
    return float(np.sqrt(area / np.pi))
