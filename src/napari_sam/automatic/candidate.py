"""Candidate of the automatic search: one mask and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from napari_sam.masks.patch import (
    MaskPatch,
    mask_to_box,
    overlap_fraction,
    stability,
    window_at,
)

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.automatic.crops import Crop
    from napari_sam.prediction.plane_transform import PlaneTransform

# Pixels around a low-resolution mask that its interpolation to the plane uses.
_MARGIN = 2
# SAM's stability_score_offset: shift of the logit threshold.
_STABILITY_OFFSET = 1.0
# The stability score of a low-resolution mask of at least _MIN_PIXELS differs from that
# on the plane by at most this tolerance. Masks further below a threshold need no
# interpolation.
_STABILITY_TOLERANCE, _MIN_PIXELS = 0.15, 64
# Logit in place of those that were cut off.
_OUTSIDE_LOGIT = -10.0


class AnyCandidate(Protocol):
    """What the selection needs of a mask, however it was found; see `Candidate`."""

    @property
    def crop(self) -> Crop:
        """The part of the plane that was encoded."""

    @property
    def pred_iou(self) -> float:
        """Predicted IoU."""

    @property
    def area(self) -> float:
        """Area in pixels of the plane."""

    @property
    def quality(self) -> float:
        """Quality, 0 to 1."""

    @property
    def nms_score(self) -> float:
        """Score of non-maximum suppression."""

    @property
    def box(self) -> NDArray[np.float64]:
        """(4,) tight box of the mask on the plane; NaN when the mask is empty there."""

    @property
    def usual_quality(self) -> float:
        """Minimum quality that selects objects when no other is given."""

    @property
    def number(self) -> int:
        """The object of the stack of which it is a part; 0 if that is not known."""

    def is_stable(self, threshold: float) -> bool:
        """Tell whether the stability score passes."""

    def patch(self) -> MaskPatch:
        """Return the mask on the plane."""

    def overlap_fraction(self, other: AnyCandidate) -> float:
        """Compute the fraction of the smaller of two masks that lies in the other."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that may be an object, cut tight from the low-resolution logits.

    Parameters
    ----------
    crop : Crop
        The part of the plane that was encoded.
    transform : PlaneTransform
        Maps the crop to the model's input.
    origin : tuple of int
        (row, col) of the first pixel of `logits` in the low-resolution mask.
    logits : ndarray
        (h, w) float16, the mask and a margin around it.
    area : float
        Area in pixels of the plane, from the low-resolution mask.
    pred_iou, stability_score : float
        See `Thresholds`.
    agreement : float
        IoU of the prompted box with the box that the mask suggests; None for masks of
        points.
    """

    crop: Crop
    transform: PlaneTransform
    origin: tuple[int, int]
    logits: NDArray[np.float16]
    area: float
    pred_iou: float
    stability_score: float
    agreement: float | None = None

    usual_quality: ClassVar[float] = 0.7
    number: ClassVar[int] = 0

    @classmethod
    def from_logits(
        cls,
        logits: NDArray[np.float32],
        pred_iou: float,
        crop: Crop,
        transform: PlaneTransform,
    ) -> Self | None:
        """Build the candidate of (m, m) logits; None for an empty mask."""
        height, width = transform.mask_shape
        unpadded = logits[:height, :width]
        if not (unpadded > 0).any():
            return None
        # Interpolation of the last pixels uses the first pixels of the padding, and the
        # stability score uses pixels just below the threshold.
        box = mask_to_box(logits[: height + 1, : width + 1] > -_STABILITY_OFFSET)
        assert box is not None
        row, col = (max(int(side) - _MARGIN, 0) for side in box[:2])
        last_row, last_col = (int(side) + _MARGIN + 1 for side in box[2:])
        plane_pixels = np.prod(transform.plane_shape) / (height * width)
        return cls(
            crop,
            transform,
            (row, col),
            logits[row:last_row, col:last_col].astype(np.float16),
            float(np.count_nonzero(unpadded > 0) * plane_pixels),
            float(pred_iou),
            float(stability(unpadded)),
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(h, w) bool low-resolution mask from `origin` on, without padding."""
        rows, cols = np.subtract(self.transform.mask_shape, self.origin).tolist()
        inside: NDArray[np.bool_] = self.logits[:rows, :cols] > 0
        return inside

    @property
    def quality(self) -> float:
        """Predicted IoU x stability score, for boxes also x agreement, 0 to 1."""
        agreement = 1.0 if self.agreement is None else self.agreement
        return self.pred_iou * self.stability_score * agreement

    @property
    def nms_score(self) -> float:
        """Score of non-maximum suppression.

        For points the predicted IoU, as published. Boxes drift to loose masks with a
        high predicted IoU: for them the quality.
        """
        return self.pred_iou if self.agreement is None else self.quality

    @property
    def low_res_box(self) -> NDArray[np.float64]:
        """(4,) tight box of the low-resolution mask, in its pixels."""
        box = mask_to_box(self.mask)
        assert box is not None
        box += np.tile(self.origin, 2)
        return box

    @cached_property
    def plane_stability_score(self) -> float:
        """Stability score of the mask on the plane, for masks of points of SAM.

        Other masks keep the score of the low-resolution mask: those of boxes, whose
        thresholds are not the published ones, and those of other families.
        """
        on_plane = self.transform.preprocessing.stability_on_plane
        if self.agreement is not None or not on_plane:
            return self.stability_score
        logits = self._full_logits()
        window = self.transform.positive_region(logits + np.float32(_STABILITY_OFFSET))
        if window is None:
            return 0.0
        values = self.transform.plane_logits(logits, window)
        return float(stability(values, _STABILITY_OFFSET))

    def may_be_stable(self, threshold: float) -> bool:
        """Tell from the low-resolution mask alone whether `is_stable` can be true."""
        if self.agreement is not None:
            return self.stability_score >= threshold
        pixels = np.count_nonzero(self.logits > -_STABILITY_OFFSET)
        small = bool(pixels < _MIN_PIXELS)
        return small or self.stability_score >= threshold - _STABILITY_TOLERANCE

    def is_stable(self, threshold: float) -> bool:
        """Tell whether the stability score, on the plane where used, passes."""
        return self.may_be_stable(threshold) and (
            self.plane_stability_score >= threshold
        )

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """(4,) tight box of the mask on the plane; NaN when the mask is empty there."""
        patch = self.patch()
        if not patch.logits.size:
            return np.full(4, np.nan)
        low = np.array(patch.origin, float)
        return np.concatenate([low, low + patch.logits.shape - 1])

    def patch(self) -> MaskPatch:
        """Interpolate the mask to the plane."""
        patch = self.transform.patch(self._full_logits())
        row, col = np.add(patch.origin, self.crop.origin).tolist()
        return MaskPatch((row, col), patch.logits)

    def _full_logits(self) -> NDArray[np.float32]:
        """Return (m, m) logits, with background where they were cut off."""
        logits = np.full((self.transform.mask_size,) * 2, _OUTSIDE_LOGIT, np.float32)
        logits[window_at(self.origin, self.logits.shape)] = self.logits
        return logits

    def overlap_fraction(self, other: AnyCandidate) -> float:
        """Compute the fraction of the smaller of two masks that lies in the other."""
        if isinstance(other, Candidate) and self.crop == other.crop:
            pairs = [(c.origin, c.mask) for c in (self, other)]
        else:
            pairs = [(p.origin, p.mask) for p in (self.patch(), other.patch())]
        return overlap_fraction(*pairs[0], *pairs[1])
