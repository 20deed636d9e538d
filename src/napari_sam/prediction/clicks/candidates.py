"""Answers to clicks: masks from several sources, ranked by their estimated IoU.

A click decoder proposes masks, and an instance head knows the objects of the window.
The boxes around both are decoded by the published decoder, which knows boxes best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_iou
from napari_sam.prediction.clicks.prompted_mask import (
    PointAnswer,
    clip_boxes,
    drop_similar,
    prompted_mask,
)
from napari_sam.prediction.clicks.quality import ClickCandidate, estimate_ious
from napari_sam.prediction.prediction import MAX_ANSWERS, SAME_MASK_IOU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.clicks.instances import WindowInstances
    from napari_sam.prediction.clicks.point_search import Decode
    from napari_sam.prompts.prompt import Prompt

# Candidates above this IoU with an answer are averaged with it. Certain logits count
# the same, and the weight is this power of the estimated IoU.
_AGREEING_IOU, _CERTAIN_LOGIT, _FUSION_POWER = 0.85, 4.0, 4


def click_candidates(
    decode: Decode,
    prompt: Prompt,
    shape: tuple[int, int],
    proposals: Sequence[PointAnswer],
    instances: WindowInstances | None = None,
) -> list[ClickCandidate]:
    """Collect masks for points, with or without a box.

    Parameters
    ----------
    decode : callable
        Decodes boxes, see `napari_sam.prediction.clicks.point_search`.
    prompt : Prompt
        Coordinates in low-resolution mask pixels.
    shape : tuple of int
        (h, w) of the part of the low-resolution mask that the plane covers.
    proposals : sequence of PointAnswer
        Masks of the click decoder, at least one.
    instances : WindowInstances, optional
        Objects of the window, if the model has an instance head.
    """
    found = [
        ClickCandidate("decoder", prompted_mask(None, p.logits, p.score, prompt, shape))
        for p in proposals
    ]
    size = len(proposals[0].logits)
    for labels in _instances_of(prompt, instances):
        assert instances is not None
        quality = min(map(instances.quality, labels))
        logits = instances.logits(labels, size)
        mask = prompted_mask(None, logits, quality, prompt, shape)
        found.append(ClickCandidate("instance", mask))
    boxes = [c.mask.mask_box for c in found if c.mask.mask.any()]
    clipped = clip_boxes(np.array(boxes).reshape(-1, 4), shape)
    distinct = drop_similar(clipped, np.empty((0, 4)))
    if len(distinct):
        answers = zip(distinct, *decode(distinct), strict=True)
        found += [
            ClickCandidate("box", prompted_mask(box, values, float(i), prompt, shape))
            for box, values, i in answers
        ]
    return found


def rank_candidates(
    candidates: Sequence[ClickCandidate],
    prompt: Prompt,
    shape: tuple[int, int],
    *,
    enlargement: float = 1.0,
    offset: float = 0.0,
) -> list[PointAnswer]:
    """Rank masks for points, and drop those that are too similar to better ones.

    Parameters
    ----------
    candidates, prompt, shape
        See `click_candidates`.
    enlargement : float
        Pixels of the network's input over those of the plane.
    offset : float
        What is subtracted from the logits of the decoders.

    Returns
    -------
    list of PointAnswer
        One to three distinct answers, best first, with their estimated IoU.
    """
    ious = estimate_ious(candidates, prompt, shape, enlargement)
    logits = [lowered_logits(candidate, offset) for candidate in candidates]
    return [
        PointAnswer(_fused(i, candidates, ious, logits), float(ious[i]))
        for i in _select(candidates, ious)
    ]


def _fused(
    chosen: int,
    candidates: Sequence[ClickCandidate],
    ious: NDArray[np.float64],
    logits: Sequence[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Average the logits of the candidates that agree with one of them.

    Their outlines differ by a pixel; the average is better than each, and does not
    jump when another one is ranked first.
    """
    one = candidates[chosen].mask
    total, weight = np.zeros_like(logits[chosen]), 0.0
    for candidate, iou, values in zip(candidates, ious, logits, strict=True):
        agrees = mask_iou(one.mask, candidate.mask.mask) >= _AGREEING_IOU
        if agrees and candidate.mask.violations <= one.violations:
            share = float(iou) ** _FUSION_POWER
            total += share * np.clip(values, -_CERTAIN_LOGIT, _CERTAIN_LOGIT)
            weight += share
    return total / np.float32(weight) if weight else logits[chosen]


def lowered_logits(candidate: ClickCandidate, offset: float) -> NDArray[np.float32]:
    """Return the logits of a candidate, lower by an offset if they are a decoder's."""
    lowered = 0.0 if candidate.source == "instance" else offset
    return candidate.mask.logits - np.float32(lowered)


def _instances_of(
    prompt: Prompt, instances: WindowInstances | None
) -> list[tuple[int, ...]]:
    """Return the instances under the points on the object: together, then each alone.

    Those under points on the background are left out.
    """
    if instances is None:
        return []
    labels = dict.fromkeys(instances.at(prompt.positives))
    excluded = {0, *instances.at(prompt.negatives)}
    wanted = tuple(label for label in labels if label not in excluded)
    alone: list[tuple[int, ...]] = [(label,) for label in wanted]
    return [wanted, *alone] if len(wanted) > 1 else alone


def _select(
    candidates: Sequence[ClickCandidate], ious: NDArray[np.float64]
) -> list[int]:
    """Select the best masks that differ, of those that contradict the fewest points."""
    fewest = min(c.mask.violations for c in candidates)
    chosen: list[int] = []
    for i in np.argsort(-ious, kind="stable").tolist():
        mask = candidates[i].mask
        if mask.violations == fewest and all(
            mask_iou(mask.mask, candidates[j].mask.mask) < SAME_MASK_IOU for j in chosen
        ):
            chosen.append(i)
    return chosen[:MAX_ANSWERS]
