"""Masks with the prompt that they answer: what they contradict, and their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import components_at
from napari_sam.masks.patch import box_iou, mask_to_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import Prompt

# Boxes above this IoU give the same mask.
_SAME_BOX_IOU = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class PointAnswer:
    """Answer to points: a mask, and how good it is.

    Parameters
    ----------
    logits : ndarray
        (h, w) float32 low-resolution logits.
    score : float
        Estimated IoU of the mask with the object, between 0 and 1.
    """

    logits: NDArray[np.float32]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class PromptedMask:
    """A mask, reduced to the components with positive points.

    Parameters
    ----------
    box : ndarray or None
        (4,) box prompt that it answers, if any.
    logits : ndarray
        (h, w) float32 low-resolution logits, positive only on the mask.
    mask : ndarray
        (h, w) bool.
    mask_box : ndarray
        (4,) tight box of the mask.
    pred_iou : float
        Estimated IoU with the object.
    violations : int
        Number of points that it contradicts.
    """

    box: NDArray[np.float64] | None
    logits: NDArray[np.float32]
    mask: NDArray[np.bool_]
    mask_box: NDArray[np.float64]
    pred_iou: float
    violations: int

    @property
    def cut_sides(self) -> NDArray[np.bool_]:
        """(4,) sides of the box that the mask reaches; none without a box."""
        if self.box is None:
            return np.zeros(4, bool)
        return np.concatenate(
            [
                self.mask_box[:2] <= self.box[:2] + 1,
                self.mask_box[2:] >= self.box[2:] - 1,
            ]
        )


def prompted_mask(
    box: NDArray[np.float64] | None,
    logits: NDArray[np.float32],
    pred_iou: float,
    prompt: Prompt,
    shape: tuple[int, int],
) -> PromptedMask:
    """Compare a mask with the points, and keep its components with positive ones.

    Parameters
    ----------
    box, logits, pred_iou
        See `PromptedMask`.
    prompt : Prompt
        In low-resolution pixels.
    shape : tuple of int
        (h, w) of the part of the low-resolution mask that the plane covers.
    """
    mask = logits > 0
    mask[shape[0] :] = mask[:, shape[1] :] = False
    last = np.array(shape) - 1
    positives, negatives = (
        tuple(np.clip(np.rint(points).astype(int), 0, last).T)
        for points in (prompt.positives, prompt.negatives)
    )
    prompted = components_at(mask, np.transpose(positives), connectivity=1)
    mask = prompted if prompted.any() else mask
    mask_box = mask_to_box(mask)
    if mask_box is None:
        # Worse than any mask, whatever the points say.
        mask_box = np.zeros(4) if box is None else box
        violations = 1 + len(prompt.points)
    else:
        violations = int(np.sum(~mask[positives]) + np.sum(mask[negatives]))
    logits = np.where(mask, logits, -np.abs(logits))
    return PromptedMask(box, logits, mask, mask_box, pred_iou, violations)


def clip_boxes(
    boxes: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Clip boxes to the plane; widen boxes without area, which models do not know."""
    boxes = np.clip(boxes, 0, np.tile(np.array(shape) - 1.0, 2))
    margin = np.clip(1 - (boxes[:, 2:] - boxes[:, :2]), 0, None) / 2
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def drop_similar(
    boxes: NDArray[np.float64], known: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Drop boxes similar to an earlier one or to one of the known boxes."""
    kept = list(known)
    for box in boxes:
        if not kept or box_iou(np.stack(kept), box).max() < _SAME_BOX_IOU:
            kept.append(box)
    return np.array(kept[len(known) :]).reshape(-1, 4)
