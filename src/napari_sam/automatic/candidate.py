"""One mask that a search found, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import (
    MaskPatch,
    mask_to_box,
    stability,
    window_at,
)

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.automatic.crops import Crop
    from napari_sam.prediction.plane_transform import PlaneTransform

# Pixels around a mask that bringing it to the plane looks at.
_MARGIN = 2
# Logits by which the threshold moves for the stability.
_OFFSET = 1.0
# Low-resolution stability of a mask of so many pixels is this much off at most: further
# below the threshold, no mask is brought to the plane.
_SLACK, _ENOUGH = 0.15, 64
# What stands for the logits that were cut off.
_OUTSIDE = -10.0


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that may be an object.

    Parameters
    ----------
    crop : Crop
        The part of the plane that the model saw.
    frame : PlaneTransform
        How that lies in the model's input.
    origin : tuple of int
        (row, col) of the first pixel of `logits` in the low-resolution mask.
    logits : ndarray
        (h, w) float16, the mask and a margin around it.
    area : float
        Pixels of the plane, by the low-resolution mask.
    score, stability : float
        See `Thresholds`.
    agreement : float
        IoU of the box that was asked with the one that the mask suggests; None for
        points.
    """

    crop: Crop
    transform: PlaneTransform
    origin: tuple[int, int]
    logits: NDArray[np.float16]
    area: float
    score: float
    stability: float
    agreement: float | None = None

    @classmethod
    def of(
        cls,
        logits: NDArray[np.float32],
        score: float,
        crop: Crop,
        transform: PlaneTransform,
    ) -> Self | None:
        """Keep the (m, m) logits and the score of the model; None for empty masks."""
        height, width = transform.mask_shape
        seen = logits[:height, :width]
        if not (seen > 0).any():
            return None
        # The first pixels of the padding take part in the last ones of the plane, and
        # stability looks at what is nearly inside.
        box = mask_to_box(logits[: height + 1, : width + 1] > -_OFFSET)
        assert box is not None
        row, col = (max(int(side) - _MARGIN, 0) for side in box[:2])
        last_row, last_col = (int(side) + _MARGIN + 1 for side in box[2:])
        per_pixel = np.prod(transform.plane_shape) / (height * width)
        return cls(
            crop,
            transform,
            (row, col),
            logits[row:last_row, col:last_col].astype(np.float16),
            float(np.count_nonzero(seen > 0) * per_pixel),
            float(score),
            float(stability(seen)),
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The low-resolution mask from `origin` on, cut to the plane, (h, w) bool."""
        rows, cols = np.subtract(self.transform.mask_shape, self.origin).tolist()
        inside: NDArray[np.bool_] = self.logits[:rows, :cols] > 0
        return inside

    @property
    def quality(self) -> float:
        """How far the mask is to be trusted, 0 to 1."""
        agreement = 1.0 if self.agreement is None else self.agreement
        return self.score * self.stability * agreement

    @property
    def nms_score(self) -> float:
        """Which of two masks with like boxes remains: the one with more.

        By the score alone for points, as published. Boxes drift to loose masks with
        good scores, so for them all counts.
        """
        return self.score if self.agreement is None else self.quality

    @property
    def low_box(self) -> NDArray[np.float64]:
        """(4,) tight box of the low-resolution mask, in its pixels."""
        box = mask_to_box(self.mask)
        assert box is not None
        box += np.tile(self.origin, 2)
        return box

    @cached_property
    def plane_stability(self) -> float:
        """Stability of the mask on the plane, as published, for masks of points.

        Those of boxes, whose thresholds are our own, and those of MedSAM, which
        interpolates probabilities, keep that of the low-resolution mask.
        """
        if self.agreement is not None or self.transform.family != "sam":
            return self.stability
        logits = self._whole()
        window = self.transform.window(logits + np.float32(_OFFSET))
        if window is None:
            return 0.0
        return float(stability(self.transform.plane_logits(logits, window), _OFFSET))

    def may_be_stable(self, least: float) -> bool:
        """Tell by the low-resolution mask alone whether `is_stable` can be true."""
        if self.agreement is not None:
            return self.stability >= least
        few = bool(np.count_nonzero(self.logits > -_OFFSET) < _ENOUGH)
        return few or self.stability >= least - _SLACK

    def is_stable(self, least: float) -> bool:
        """Whether stability reaches a threshold, on the plane where that counts."""
        return self.may_be_stable(least) and self.plane_stability >= least

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """(4,) tight box of the mask on the plane; NaN where nothing is left of it.

        It is kept, as the mask on the plane is not: thresholds are changed often.
        """
        patch = self.patch()
        if not patch.logits.size:
            return np.full(4, np.nan)
        low = np.array(patch.origin, float)
        return np.concatenate([low, low + patch.logits.shape - 1])

    def patch(self) -> MaskPatch:
        """The mask on the plane."""
        patch = self.transform.patch(self._whole())
        row, col = np.add(patch.origin, self.crop.origin).tolist()
        return MaskPatch((row, col), patch.logits)

    def _whole(self) -> NDArray[np.float32]:
        """(m, m) logits as the model gave them, but for what is surely outside."""
        logits = np.full((self.transform.mask_size,) * 2, _OUTSIDE, np.float32)
        logits[window_at(self.origin, self.logits.shape)] = self.logits
        return logits

    def overlap_fraction(self, other: Candidate) -> float:
        """Share of the smaller of two masks that lies in the other."""
        if self.crop == other.crop:
            pairs = [(c.origin, c.mask) for c in (self, other)]
        else:
            patches = self.patch(), other.patch()
            pairs = [(p.origin, p.mask) for p in patches]
        (first, one), (second, two) = pairs
        low = np.maximum(first, second)
        high = np.minimum(np.add(first, one.shape), np.add(second, two.shape))
        size = tuple(np.maximum(high - low, 0).tolist())
        smaller = min(np.count_nonzero(one), np.count_nonzero(two))
        if not (all(size) and smaller):
            return 0.0
        shared = (
            one[window_at(tuple(low - first), size)]
            & two[window_at(tuple(low - second), size)]
        )
        return float(np.count_nonzero(shared) / smaller)
