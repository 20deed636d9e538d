"""Loss of an instance head: errors of foreground, depth and borders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

# Weight of a border pixel, and of the depth outside objects.
_BORDER_WEIGHT, _OUTSIDE_WEIGHT = 3.0, 0.25
# Keeps the Dice loss of windows without objects small, in pixels.
_DICE_PIXELS = 50


def head_losses(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Compute the losses of the three maps.

    Dice loss plus cross-entropy for the foreground, smooth L1 for the depth, and
    cross-entropy for borders.

    Parameters
    ----------
    logits : Tensor
        (B, 3, S, S), see `InstanceHead.logits`.
    targets : Tensor
        (B, 3, S, S) foreground, depth and border, 0 to 1.
    weights : Tensor, optional
        (B, S, S) how much each pixel counts; all the same when None.

    Returns
    -------
    Tensor
        (3,); their sum is the loss.
    """
    foreground, depth, border = targets.unbind(1)
    counted = torch.ones_like(foreground) if weights is None else weights
    plane = (1, 2)
    probability = logits[:, 0].sigmoid() * counted
    truth = foreground * counted
    overlap = 2 * (probability * foreground).sum(plane) + _DICE_PIXELS
    dice = 1 - overlap / (probability.sum(plane) + truth.sum(plane) + _DICE_PIXELS)
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], foreground, weights)
    area = entropy / counted.mean() + dice.mean()
    weight = counted * (foreground + _OUTSIDE_WEIGHT * (1 - foreground))
    error = F.smooth_l1_loss(logits[:, 1].sigmoid(), depth, beta=0.1, reduction="none")
    inside = (weight * error).sum(plane) / weight.sum(plane).clamp(min=1)
    edges = F.binary_cross_entropy_with_logits(
        logits[:, 2], border, weights, pos_weight=logits.new_tensor(_BORDER_WEIGHT)
    )
    return torch.stack([area, 4 * inside.mean(), 0.5 * edges / counted.mean()])
