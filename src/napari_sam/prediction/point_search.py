"""Points on models that only know boxes: a search over boxes around the points.

Square boxes of several sizes are decoded, then the boxes their masks suggest. Where a
decoder for clicks proposes masks, the boxes around them are asked instead. The masks
that contradict the fewest points are ranked by how far one can trust them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import components_at
from napari_sam.masks.patch import box_iou, mask_iou, mask_to_box, stability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import Prompt

Decode = Callable[
    ["NDArray[np.float64]"],
    tuple["NDArray[np.float32]", "NDArray[np.float32]"],
]

# Boxes around points grow from the smallest object a mask of 256 px can show, by
# steps small enough for one box to come within 25 % of any object.
_SMALLEST_SIDE = 6.0
_SIDE_STEP = 1.5
# The last side is twice that of a mask: around a click in a corner, three
# quarters of the box are outside the plane and cut off.
_STEPS = 11
_LEAST_MARGIN = 0.1  # of the spread of several points: less changes nothing
# Boxes decoded in each refinement, tight and grown; with the first boxes they are
# what a click costs, about 20 decodes.
_REFINEMENTS: tuple[tuple[int, int], ...] = ((6, 3), (3, 2))
# Those after the proposals of a decoder for clicks, which need to be made sure of only.
_AFTER_PROPOSALS: tuple[tuple[int, int], ...] = ((3, 0),)
# A grown box has this much more of the mask's size where the mask was cut off.
_GROWTH = 0.4
# Boxes more alike than this give the same mask.
_SAME_BOX = 0.8
# Masks more alike than this are one answer to the user.
_SAME_MASK = 0.8
_MOST_ANSWERS = 3
# Changes to a given box as shares of its size: itself, wider, narrower, and with
# half of it left out on each side, for points that tell two objects apart.
_VARIATIONS = np.array(
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
# The ranking, fitted to synthetic images and coins, equal weight for each kind
# (benchmarks/quality/points.py, other seeds): how much a click off the centre costs,
# and by which power of their side large masks fall back, which are found everywhere.
_CENTRE_WEIGHT = 0.13
_SIZE_POWER = 0.03
# How much a mask loses that lies elsewhere than the given box.
_BOX_WEIGHT = 0.3
# What is left of the trust for each point that a mask contradicts.
_PER_VIOLATION = 0.5
# Logits beyond this count as sure.
_SURE = 4.0
# No single term may decide against a mask by being 0.
_LOWEST_TERM = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class BoxAnswer:
    """An answer of the search.

    Parameters
    ----------
    logits : ndarray
        (h, w) float32 low-resolution logits.
    score : float
        Estimate of the mask's IoU with the object, between 0 and 1.
    """

    logits: NDArray[np.float32]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class _DecodedBox:
    """A decoded box; its mask is cut to the parts with positive points."""

    box: NDArray[np.float64] | None
    logits: NDArray[np.float32]
    mask: NDArray[np.bool_]
    mask_box: NDArray[np.float64]
    iou: float
    violations: int

    @property
    def cut_off(self) -> NDArray[np.bool_]:
        """Sides of the box that the mask reaches, (4,); none where there is no box."""
        if self.box is None:
            return np.zeros(4, bool)
        return np.concatenate(
            [
                self.mask_box[:2] <= self.box[:2] + 1,
                self.mask_box[2:] >= self.box[2:] - 1,
            ]
        )


def search_boxes_for_points(
    decode: Decode,
    prompt: Prompt,
    shape: tuple[int, int],
    proposals: Sequence[BoxAnswer] = (),
) -> list[BoxAnswer]:
    """Answer points, with or without a box, by boxes alone.

    Parameters
    ----------
    decode : callable
        Takes (K, 4) boxes in low-resolution mask pixels, gives the (K, h, w)
        float32 logits and the (K,) predicted IoU of their masks.
    prompt : Prompt
        Points, at least one of them positive unless a box is given too;
        coordinates in low-resolution mask pixels.
    shape : tuple of int
        (h, w) of the low-resolution mask that the plane covers, at its top left.
    proposals : sequence of BoxAnswer
        What a decoder for clicks answers: these masks and the boxes around them are
        where the search begins, instead of boxes of many sizes.

    Returns
    -------
    list of BoxAnswer
        One to three distinct answers, best first.
    """
    if proposals:
        fresh = [_candidate(None, p.logits, p.score, prompt, shape) for p in proposals]
        refinements = _AFTER_PROPOSALS
    else:
        boxes = _distinct(_cut(_first_boxes(prompt), shape), np.empty((0, 4)))
        fresh = _decoded(decode, boxes, prompt, shape)
        refinements = _REFINEMENTS
    candidates = fresh
    for tight, expand_box in refinements:
        parents = _ranked(fresh, candidates, prompt)
        boxes = _refined(parents, candidates, shape, tight, expand_box)
        if not len(boxes):
            break
        fresh = _decoded(decode, boxes, prompt, shape)
        candidates = candidates + fresh
    return _answers(candidates, prompt)


def _first_boxes(prompt: Prompt) -> NDArray[np.float64]:
    """Where a search begins that knows nothing but the prompt."""
    if prompt.box is None:
        return _boxes_around(prompt.positives)
    size = np.tile(prompt.box[2:] - prompt.box[:2], 2)
    varied: NDArray[np.float64] = prompt.box + _VARIATIONS * size
    return varied


def _boxes_around(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes of growing size around the box of the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    sides = _SMALLEST_SIDE * _SIDE_STEP ** np.arange(_STEPS)
    sides = sides[sides > _LEAST_MARGIN * (high - low).max()]
    margins = sides[:, None] / 2
    return np.concatenate([low - margins, high + margins], axis=1)


def _cut(boxes: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Cut boxes to the plane; widen those without area, unknown to the models."""
    boxes = np.clip(boxes, 0, np.tile(np.array(shape) - 1.0, 2))
    margin = np.clip(1 - (boxes[:, 2:] - boxes[:, :2]), 0, None) / 2
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def _distinct(
    boxes: NDArray[np.float64], tried: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Leave out boxes like one before them or like one of `tried`."""
    kept = list(tried)
    for box in boxes:
        if not kept or box_iou(np.stack(kept), box).max() < _SAME_BOX:
            kept.append(box)
    return np.array(kept[len(tried) :]).reshape(-1, 4)


def _refined(
    parents: list[_DecodedBox],
    candidates: list[_DecodedBox],
    shape: tuple[int, int],
    most_tight: int,
    most_grown: int,
) -> NDArray[np.float64]:
    """Boxes that the masks of the parents suggest, best parents first.

    The tight box of a mask lets the model correct itself. A mask cut off at some
    sides belongs to a click off the centre: there the object may go on.
    """
    decoded = [c.box for c in candidates if c.box is not None]
    tried = np.array(decoded).reshape(-1, 4)
    boxes = np.array([c.mask_box for c in parents]).reshape(-1, 4)
    tight = _distinct(_cut(boxes, shape), tried)[:most_tight]
    expand_box = []
    for parent in parents:
        if parent.cut_off.any() and not parent.cut_off.all():
            size = np.tile(parent.mask_box[2:] - parent.mask_box[:2] + 1, 2)
            change = _GROWTH * size * parent.cut_off * (-1, -1, 1, 1)
            expand_box.append(parent.mask_box + change)
    boxes = np.array(expand_box).reshape(-1, 4)
    others = np.concatenate([tried, tight])
    return np.concatenate([tight, _distinct(_cut(boxes, shape), others)[:most_grown]])


def _decoded(
    decode: Decode,
    boxes: NDArray[np.float64],
    prompt: Prompt,
    shape: tuple[int, int],
) -> list[_DecodedBox]:
    logits, ious = decode(boxes)
    return [
        _candidate(box, values, float(iou), prompt, shape)
        for box, values, iou in zip(boxes, logits, ious, strict=True)
    ]


def _candidate(
    box: NDArray[np.float64] | None,
    logits: NDArray[np.float32],
    iou: float,
    prompt: Prompt,
    shape: tuple[int, int],
) -> _DecodedBox:
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
    return _DecodedBox(box, logits, mask, mask_box, iou, violations)


def _ranked(
    some: list[_DecodedBox], candidates: list[_DecodedBox], prompt: Prompt
) -> list[_DecodedBox]:
    """Those of `some` that contradict the fewest points, the most trusted first."""
    fewest = min(c.violations for c in candidates)
    fitting = [c for c in some if c.violations == fewest and c.mask.any()]
    return sorted(fitting, key=lambda c: -_trust(c, candidates, prompt))


def _trust(
    candidate: _DecodedBox, candidates: list[_DecodedBox], prompt: Prompt
) -> float:
    """Estimate the IoU of a mask with the object meant, from 0 to 1.

    The geometric mean of the model's own estimate, the stability of Kirillov et
    al. (2023, appendix B), the mean logit inside, and the agreement with the most
    similar mask from another box: what is no object changes with the box. Masks
    around the click and small masks come first.
    """
    own = candidate.logits[candidate.mask]
    others = [
        mask_iou(candidate.mask, c.mask) for c in candidates if c is not candidate
    ]
    terms = [
        candidate.iou,
        float(stability(candidate.logits)),
        float(np.minimum(own, _SURE).mean()) / _SURE if own.size else 0.0,
        max(others, default=1.0),
    ]
    quality = float(np.prod(np.clip(terms, _LOWEST_TERM, 1)) ** (1 / len(terms)))
    low, high = candidate.mask_box[:2], candidate.mask_box[2:]
    side = float(np.sqrt(np.prod(high - low + 1)))
    quality *= float(side**-_SIZE_POWER * _PER_VIOLATION**candidate.violations)
    if prompt.box is not None:
        apart = 1 - float(box_iou(prompt.box, candidate.mask_box))
        return quality * (1 - _BOX_WEIGHT * apart)
    away = (prompt.positives.mean(axis=0) - (low + high) / 2) / (high - low + 1)
    return quality * (1 - _CENTRE_WEIGHT * min(float(np.hypot(*away)), 1.0))


def _answers(candidates: list[_DecodedBox], prompt: Prompt) -> list[BoxAnswer]:
    """Return the best masks that differ."""
    chosen: list[_DecodedBox] = []
    for candidate in _ranked(candidates, candidates, prompt) or candidates[:1]:
        if all(mask_iou(candidate.mask, c.mask) < _SAME_MASK for c in chosen):
            chosen.append(candidate)
    return [
        BoxAnswer(c.logits, _trust(c, candidates, prompt))
        for c in chosen[:_MOST_ANSWERS]
    ]
