"""Box search: answers points on models that were trained on boxes.

Square boxes of several sizes around the points are decoded first, then the boxes
that their masks suggest. If a click decoder proposes masks, the search starts from
the boxes around those instead. The masks that contradict the fewest points are
ranked by their estimated quality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import box_iou, mask_iou, stability
from napari_sam.prediction.clicks.prompted_mask import (
    PointAnswer,
    PromptedMask,
    clip_boxes,
    drop_similar,
    prompted_mask,
)
from napari_sam.prediction.prediction import MAX_ANSWERS, SAME_MASK_IOU

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import Prompt

Decode = Callable[
    ["NDArray[np.float64]"],
    tuple["NDArray[np.float32]", "NDArray[np.float32]"],
]

# Sides of the first boxes in mask pixels: from the smallest object that a mask of
# 256 px can show, in steps small enough for one box to come within 25 % of any object.
_MIN_SIDE = 6.0
_SIDE_FACTOR = 1.5
# The last side is twice that of a mask: around a click in a corner, three quarters of
# the box are outside the plane and cut off.
_NUM_SIDES = 11
# Smaller margins, as a fraction of the extent of several points, change nothing.
_MIN_MARGIN_FRACTION = 0.1
# (tight boxes, expanded boxes) decoded in each refinement. With the first boxes a
# click costs about 20 decodes.
_REFINEMENTS: tuple[tuple[int, int], ...] = ((6, 3), (3, 2))
# The proposals of a click decoder only need a check.
_REFINEMENTS_OF_PROPOSALS: tuple[tuple[int, int], ...] = ((3, 0),)
# Expansion of a box where its mask is cut off, as a fraction of the mask's size.
_EXPANSION = 0.4
# Variations of a box prompt as fractions of its size: unchanged, wider, narrower, and
# without one half, for points that separate two objects.
_BOX_VARIATIONS = np.array(
    [
        [0, 0, 0, 0],
        [-0.1, -0.1, 0.1, 0.1],
        [0.15, 0.15, -0.15, -0.15],
        [0.5, 0, 0, 0],
        [0, 0.5, 0, 0],
        [0, 0, -0.5, 0],
        [0, 0, 0, -0.5],
    ]
)
# Weights of the ranking, fitted to synthetic images and coins, equal weight for each
# kind (benchmarks/quality/points.py, other seeds): penalty for a click off the centre,
# and for large masks, which are found everywhere, by a power of their side.
_CENTRE_WEIGHT = 0.13
_SIZE_POWER = 0.03
# Penalty for a mask elsewhere than the box prompt.
_BOX_WEIGHT = 0.3
# Factor of the quality for each point that a mask contradicts.
_VIOLATION_FACTOR = 0.5
# Logits beyond this count as certain.
_CERTAIN_LOGIT = 4.0
# Minimum of each term of the quality: no single term rules out a mask.
_MIN_TERM = 0.02


def search_boxes_for_points(
    decode: Decode,
    prompt: Prompt,
    shape: tuple[int, int],
    proposals: Sequence[PointAnswer] = (),
) -> list[PointAnswer]:
    """Answer points, with or without a box, by decoding boxes only.

    Parameters
    ----------
    decode : callable
        Takes (K, 4) boxes in low-resolution mask pixels and returns the (K, h, w)
        float32 logits and the (K,) predicted IoU of their masks.
    prompt : Prompt
        Points, at least one of them positive unless there is a box; coordinates in
        low-resolution mask pixels.
    shape : tuple of int
        (h, w) of the part of the low-resolution mask that the plane covers, at its
        top left.
    proposals : sequence of PointAnswer
        Masks from a click decoder. The search starts from them and the boxes around
        them instead of boxes of many sizes.

    Returns
    -------
    list of PointAnswer
        One to three distinct answers, best first.
    """
    if proposals:
        latest = [
            prompted_mask(None, p.logits, p.score, prompt, shape) for p in proposals
        ]
        refinements = _REFINEMENTS_OF_PROPOSALS
    else:
        initial = clip_boxes(_initial_boxes(prompt), shape)
        boxes = drop_similar(initial, np.empty((0, 4)))
        latest = _decode_boxes(decode, boxes, prompt, shape)
        refinements = _REFINEMENTS
    decoded = latest
    for max_tight, max_expanded in refinements:
        parents = _rank(latest, decoded, prompt)
        boxes = _refine_boxes(parents, decoded, shape, max_tight, max_expanded)
        if not len(boxes):
            break
        latest = _decode_boxes(decode, boxes, prompt, shape)
        decoded = decoded + latest
    return _select_answers(decoded, prompt)


def _initial_boxes(prompt: Prompt) -> NDArray[np.float64]:
    """Return boxes around the points, or variations of the box prompt."""
    if prompt.box is None:
        return _boxes_around(prompt.positives)
    size = np.tile(prompt.box[2:] - prompt.box[:2], 2)
    varied: NDArray[np.float64] = prompt.box + _BOX_VARIATIONS * size
    return varied


def _boxes_around(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes of increasing size around the bounding box of the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    sides = _MIN_SIDE * _SIDE_FACTOR ** np.arange(_NUM_SIDES)
    sides = sides[sides > _MIN_MARGIN_FRACTION * (high - low).max()]
    margins = sides[:, None] / 2
    return np.concatenate([low - margins, high + margins], axis=1)


def _refine_boxes(
    parents: list[PromptedMask],
    decoded: list[PromptedMask],
    shape: tuple[int, int],
    max_tight: int,
    max_expanded: int,
) -> NDArray[np.float64]:
    """Return new boxes suggested by the masks of the parents, best parents first.

    The tight box of a mask lets the model correct itself. A mask cut off at some
    sides comes from a click off the centre: the object may continue there.
    """
    known = np.array([d.box for d in decoded if d.box is not None]).reshape(-1, 4)
    boxes = np.array([parent.mask_box for parent in parents]).reshape(-1, 4)
    tight = drop_similar(clip_boxes(boxes, shape), known)[:max_tight]
    expanded = []
    for parent in parents:
        if parent.cut_sides.any() and not parent.cut_sides.all():
            size = np.tile(parent.mask_box[2:] - parent.mask_box[:2] + 1, 2)
            change = _EXPANSION * size * parent.cut_sides * (-1, -1, 1, 1)
            expanded.append(parent.mask_box + change)
    boxes = clip_boxes(np.array(expanded).reshape(-1, 4), shape)
    boxes = drop_similar(boxes, np.concatenate([known, tight]))
    return np.concatenate([tight, boxes[:max_expanded]])


def _decode_boxes(
    decode: Decode,
    boxes: NDArray[np.float64],
    prompt: Prompt,
    shape: tuple[int, int],
) -> list[PromptedMask]:
    logits, pred_ious = decode(boxes)
    return [
        prompted_mask(box, values, float(pred_iou), prompt, shape)
        for box, values, pred_iou in zip(boxes, logits, pred_ious, strict=True)
    ]


def _rank(
    subset: list[PromptedMask], decoded: list[PromptedMask], prompt: Prompt
) -> list[PromptedMask]:
    """Sort the masks of a subset that contradict the fewest points by quality."""
    fewest = min(d.violations for d in decoded)
    fitting = [d for d in subset if d.violations == fewest and d.mask.any()]
    return sorted(fitting, key=lambda d: -_quality(d, decoded, prompt))


def _quality(one: PromptedMask, decoded: list[PromptedMask], prompt: Prompt) -> float:
    """Estimate the IoU of a mask with the object meant, from 0 to 1.

    The geometric mean of the predicted IoU, the stability score of Kirillov et al.
    (2023, "Segment Anything", appendix B), the mean logit inside, and the IoU with
    the most similar mask of another box: masks of no object change with the box.
    Masks centred on the click and small masks are preferred.
    """
    inside = one.logits[one.mask]
    others = [mask_iou(one.mask, d.mask) for d in decoded if d is not one]
    certainty = np.minimum(inside, _CERTAIN_LOGIT).mean() if inside.size else 0.0
    terms = [
        one.pred_iou,
        float(stability(one.logits)),
        float(certainty) / _CERTAIN_LOGIT,
        max(others, default=1.0),
    ]
    quality = float(np.prod(np.clip(terms, _MIN_TERM, 1)) ** (1 / len(terms)))
    low, high = one.mask_box[:2], one.mask_box[2:]
    side = float(np.sqrt(np.prod(high - low + 1)))
    quality *= float(side**-_SIZE_POWER * _VIOLATION_FACTOR**one.violations)
    if prompt.box is not None:
        mismatch = 1 - float(box_iou(prompt.box, one.mask_box))
        return quality * (1 - _BOX_WEIGHT * mismatch)
    offset = (prompt.positives.mean(axis=0) - (low + high) / 2) / (high - low + 1)
    return quality * (1 - _CENTRE_WEIGHT * min(float(np.hypot(*offset)), 1.0))


def _select_answers(decoded: list[PromptedMask], prompt: Prompt) -> list[PointAnswer]:
    """Select the best masks that differ from each other."""
    chosen: list[PromptedMask] = []
    for one in _rank(decoded, decoded, prompt) or decoded[:1]:
        if all(mask_iou(one.mask, other.mask) < SAME_MASK_IOU for other in chosen):
            chosen.append(one)
    return [
        PointAnswer(one.logits, _quality(one, decoded, prompt))
        for one in chosen[:MAX_ANSWERS]
    ]
