"""How far a mask on a slice is to be believed, from what the slices before say."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import MaskPatch, mask_to_box, patch_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ConfidenceFeatures:
    """What speaks for a mask that was found on a slice, and what against it.

    Lengths are in units of the object's radius there, so that stacks of thick
    slices, whose objects change more from one to the next, are judged alike.

    Parameters
    ----------
    overlap : float
        IoU with what was expected from the slices before.
    score : float
        The model's own estimate of the IoU with the truth.
    stability : float
        IoU of the masks at a lower and a higher threshold.
    shift : float
        Way of the centroid from the expected one, in radii.
    step : float
        Distance from the last slice, in radii.
    contrast : float
        Step of brightness at the border, as a share of that in the slices before;
        negative when it has turned.
    filled : float
        Share of the prompt's box that the mask fills, as far as that is more than
        was expected: what has lost its border fills its box.
    depth : float
        Distance from the anchor in radii, its logarithm.
    """

    overlap: float
    score: float
    stability: float
    shift: float
    step: float
    contrast: float
    filled: float
    depth: float

    def features(self) -> NDArray[np.float64]:
        """The values that `confidence` weighs, (8,), each bounded."""
        values = np.array(astuple(self))
        low = [0, 0, 0, 0, 0, -1, -1, 0]
        high = [1, 1, 1, 2, 1, 1.5, 1, 3]
        clipped: NDArray[np.float64] = np.clip(values, low, high)
        return clipped


# Logistic regression for a Dice above 0.7 with the truth, fitted with the default
# weights on the calibration half of the stacks of benchmarks/quality/volume.py, good
# and bad slices weighted equally. Change of area added nothing beyond the overlap.
_WEIGHTS = np.array([2.03, 7.27, 7.70, -4.16, 1.01, 3.00, -1.00, -1.39])
_BIAS = -14.77


def confidence(evidence: ConfidenceFeatures) -> float:
    """Probability that a mask is good: a Dice overlap with the truth above 0.7."""
    odds = float(evidence.features() @ _WEIGHTS + _BIAS)
    return float(1 / (1 + np.exp(-odds)))


def radius_of(patch: MaskPatch, pixel: tuple[float, float]) -> float:
    """Radius of the disc with the area of a mask, in physical units.

    Parameters
    ----------
    patch : MaskPatch
        Not empty.
    pixel : tuple of float
        Physical (height, width) of a pixel.
    """
    area = np.count_nonzero(patch.mask) * pixel[0] * pixel[1]
    return float(np.sqrt(area / np.pi))


def confidence_features(
    found: MaskPatch,
    expected: MaskPatch,
    box: Sequence[float],
    *,
    score: float,
    stability: float,
    contrast: float,
    step: float,
    depth: float,
    pixel: tuple[float, float],
) -> ConfidenceFeatures:
    """Gather the evidence about a mask.

    Parameters
    ----------
    found, expected : MaskPatch
        The mask and what was thought to be there; not empty.
    box : sequence of float
        (row_min, col_min, row_max, col_max) of the prompt.
    score, stability, contrast
        See `ConfidenceFeatures`.
    step, depth : float
        Physical distance from the last slice and from the anchor.
    pixel : tuple of float
        Physical (height, width) of a pixel.
    """
    area, before = (int(np.count_nonzero(p.mask)) for p in (found, expected))
    radius = radius_of(expected, pixel)
    way = (found.centroid - expected.centroid) * pixel
    sides = np.maximum(np.array(box[2:]) - box[:2] + 1, 1)
    tight = mask_to_box(expected.mask)
    assert tight is not None
    usual = before / np.prod(tight[2:] - tight[:2] + 1)
    return ConfidenceFeatures(
        overlap=patch_iou(found, expected),
        score=score,
        stability=stability,
        shift=float(np.linalg.norm(way) / radius),
        step=step / radius,
        contrast=contrast,
        filled=float(area / sides.prod() - usual),
        depth=float(np.log1p(depth / radius)),
    )
