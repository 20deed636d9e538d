"""Mask of one object on one slice, as the model gave it, with measures of quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.masks.border import NO_BORDER, Border

if TYPE_CHECKING:
    from napari_sam.images.window import Window
    from napari_sam.masks.patch import MaskPatch


@dataclass(frozen=True, slots=True, eq=False)
class SliceMask:
    """The mask of one object on one slice, with the measures of its quality.

    Parameters
    ----------
    patch : MaskPatch
        The mask; may be empty.
    pred_iou : float
        IoU with the truth as the model predicts it.
    stability_score : float
        IoU of the masks at a lower and a higher threshold.
    border : Border
        What the image shows at its border.
    window : Window or None
        Where it was found; None for the whole plane.
    threshold : float
        Logit of the model at which it ends.
    """

    patch: MaskPatch
    pred_iou: float = 0.0
    stability_score: float = 0.0
    border: Border = NO_BORDER
    window: Window | None = None
    threshold: float = 0.0
