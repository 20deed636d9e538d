"""Loss of a mask decoder: Dice, cross-entropy, and error of the predicted IoU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

# Weight of the error of the predicted IoU relative to the mask loss, as in SAM.
_IOU_WEIGHT = 1.0


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the sum of Dice loss and binary cross-entropy of each mask.

    The loss of MedSAM (Ma et al. 2024, "Segment anything in medical images",
    methods); Dice loss after Milletari et al. 2016, "V-Net".

    Parameters
    ----------
    logits : Tensor
        (K, M, h, w): M masks for each of K objects.
    target : Tensor
        (K, h, w) fraction of each low-resolution pixel that the object covers.

    Returns
    -------
    Tensor
        (K, M), 0 for a perfect mask.
    """
    truth = target[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = logits.sigmoid()
    intersection = (probability * truth).sum((-2, -1))
    sizes = probability.sum((-2, -1)) + truth.sum((-2, -1))
    dice = 1 - (2 * intersection + 1) / (sizes + 1)
    return dice + entropy.mean((-2, -1))


def mask_ious(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the IoU of each mask with the target, (K, M), without gradient."""
    mask, truth = logits.detach() > 0, (target > 0.5)[:, None]
    intersection = (mask & truth).sum((-2, -1))
    union = (mask | truth).sum((-2, -1))
    return intersection / union.clamp(min=1)


def prompt_loss(logits: Tensor, pred_ious: Tensor, target: Tensor) -> Tensor:
    """Compute the loss of the masks for one prompt of each of K objects.

    Of the three multimask outputs only the best one contributes, so that they can
    stay different (Kirillov et al. 2023, section 3, "Resolving ambiguity"); the
    single-mask output always does. The predicted IoU of each mask is regressed to
    the actual one.

    Parameters
    ----------
    logits : Tensor
        (K, M, h, w): the single-mask output, then the multimask outputs if any.
    pred_ious : Tensor
        (K, M) predicted IoU.
    target : Tensor
        (K, h, w) in 0 to 1.

    Returns
    -------
    Tensor
        Scalar, the mean over the objects.
    """
    losses = mask_losses(logits, target)
    loss = losses[:, 0]
    if logits.shape[1] > 1:
        loss = loss + losses[:, 1:].amin(1)
    iou_error = F.mse_loss(pred_ious, mask_ious(logits, target))
    return loss.mean() + _IOU_WEIGHT * iou_error


def best_outputs(logits: Tensor, pred_ious: Tensor) -> Tensor:
    """Select the multimask output with the highest predicted IoU, as a predictor does.

    Parameters
    ----------
    logits, pred_ious : Tensor
        As for `prompt_loss`.

    Returns
    -------
    Tensor
        (K,) index of an output for each object; 0 without multimask outputs.
    """
    if logits.shape[1] == 1:
        return torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return 1 + pred_ious[:, 1:].argmax(1)
