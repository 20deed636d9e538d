"""What a mask decoder learns by: Dice, cross-entropy, and its own estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

# Weight of the error of the predicted IoU beside that of the masks, as in SAM.
_IOU_WEIGHT = 1.0


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss plus binary cross-entropy of each mask.

    The sum that MedSAM was trained with (Ma et al. 2024, "Segment anything in medical
    images", methods); Dice after Milletari et al. 2016, "V-Net".

    Parameters
    ----------
    logits : Tensor
        (K, M, h, w): M answers for each of K objects.
    target : Tensor
        (K, h, w), the share of each low-resolution pixel that the object covers.

    Returns
    -------
    Tensor
        (K, M), 0 for a perfect answer.
    """
    truth = target[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    covered = logits.sigmoid()
    both = (covered * truth).sum((-2, -1))
    sizes = covered.sum((-2, -1)) + truth.sum((-2, -1))
    dice = 1 - (2 * both + 1) / (sizes + 1)
    return dice + entropy.mean((-2, -1))


def mask_ious(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of the masks with the truth, (K, M), without gradient."""
    answer, truth = logits.detach() > 0, (target > 0.5)[:, None]
    both = (answer & truth).sum((-2, -1))
    either = (answer | truth).sum((-2, -1))
    return both / either.clamp(min=1)


def answer_loss(logits: Tensor, scores: Tensor, target: Tensor) -> Tensor:
    """Loss of the answers to one prompt for each of K objects.

    Of the three alternatives only the best is taught, so that they can stay different
    (Kirillov et al. 2023, section 3, "Resolving ambiguity"); the single mask always.
    The predicted IoU of every answer is regressed to the real one.

    Parameters
    ----------
    logits : Tensor
        (K, M, h, w): the single mask, then the alternatives where there are any.
    scores : Tensor
        (K, M) predicted IoU.
    target : Tensor
        (K, h, w) in 0 to 1.

    Returns
    -------
    Tensor
        One number, the mean of the objects.
    """
    losses = mask_losses(logits, target)
    taught = losses[:, 0]
    if logits.shape[1] > 1:
        taught = taught + losses[:, 1:].amin(1)
    estimate = F.mse_loss(scores, mask_ious(logits, target))
    return taught.mean() + _IOU_WEIGHT * estimate


def best_answers(logits: Tensor, scores: Tensor) -> Tensor:
    """Choose as the predictor does: the alternative that claims the highest IoU.

    Parameters
    ----------
    logits, scores : Tensor
        As for `answer_loss`.

    Returns
    -------
    Tensor
        (K,) index of an answer for each object; 0 where there are no alternatives.
    """
    if logits.shape[1] == 1:
        return torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return 1 + scores[:, 1:].argmax(1)
