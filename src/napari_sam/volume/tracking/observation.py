"""Observation: one object on one slice during a propagation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_sam.masks.interpolation import interpolate
from napari_sam.masks.patch import MaskPatch
from napari_sam.volume.appearance import UNKNOWN, Appearance
from napari_sam.volume.results import SliceResult

if TYPE_CHECKING:
    from napari_sam.images.window import Window
    from napari_sam.volume.results import Status

# Largest and smallest logits that are kept, within the range of float16.
_MAX_LOGIT, _MIN_POSITIVE_LOGIT = 6e4, 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One object on one slice during a propagation.

    Parameters
    ----------
    index : int
        The slice.
    patch : MaskPatch
        The mask; may be empty.
    pred_iou : float
        IoU with the truth as the model predicts it.
    confidence : float
        Probability that the mask is good.
    weakest : float
        Lowest confidence of the masks from the prompted slice to this one, each by
        itself.
    tie_break : MaskPatch, optional
        A third mask, where the opposite direction gave a different one.
    window : Window or None
        Where the model looked for the object; None for the whole plane.
    is_shown : bool
        Whether the slice shows anything; otherwise nothing was looked for.
    appearance : Appearance
        How the object looks, from the slices up to this one.
    """

    index: int
    patch: MaskPatch
    pred_iou: float = 0.0
    confidence: float = 1.0
    weakest: float = 1.0
    tie_break: MaskPatch | None = None
    window: Window | None = None
    is_shown: bool = True
    appearance: Appearance = UNKNOWN

    @classmethod
    def of_empty_slice(cls, index: int) -> Self:
        """Make the observation of an object on a slice that shows nothing."""
        empty = MaskPatch.empty()
        return cls(index, empty, confidence=0.0, weakest=0.0, is_shown=False)

    @property
    def is_empty(self) -> bool:
        """Whether the mask is empty."""
        return self.patch.logits.size == 0

    def result(
        self, object_id: int, status: Status, *, provisional: bool = False
    ) -> SliceResult:
        """Convert to a public result; logits become float16."""
        logits = self.patch.logits
        # Positive logits stay positive in half precision.
        positive = np.clip(logits, _MIN_POSITIVE_LOGIT, _MAX_LOGIT)
        clipped = np.where(logits > 0, positive, np.clip(logits, -_MAX_LOGIT, 0))
        return SliceResult(
            object_id,
            self.index,
            self.pred_iou,
            status,
            self.patch.origin,
            clipped.astype(np.float16),
            self.confidence,
            provisional,
            self.window,
            self.appearance,
            self.weakest,
        )


def interpolated(before: Observation, after: Observation, index: int) -> Observation:
    """Interpolate the object on a slice between two others."""
    fraction = (index - before.index) / (after.index - before.index)
    patch = interpolate(before.patch, after.patch, fraction)
    return replace(before, index=index, patch=patch, pred_iou=0.0, confidence=0.0)
