"""Of masks that overlap the ones that are objects: doubles, wholes and parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import fill_holes, largest_component
from napari_sam.masks.patch import MaskPatch, box_iou, mask_to_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.automatic.candidate import Candidate

# Masks that share more of the smaller one than this cannot both be objects.
_SHARED = 0.25
# What masks explain, when a whole stands against its parts: these powers of trust and
# area. By the whole area a loose mask around one object would beat the object.
_TRUST_POWER, _AREA_POWER = 8.0, 0.25


def non_maximum_suppression(
    candidates: Sequence[Candidate], values: Sequence[float], overlap: float
) -> list[Candidate]:
    """Leave out masks whose box is like that of one with a larger value, best first.

    Boxes run from centre to centre of their outermost pixels here, as in the published
    generator, so that the same masks remain; those of one row or column are like none.
    """
    if not candidates:
        return []
    order = np.argsort(-np.asarray(values), kind="stable")
    boxes = np.stack([candidates[i].box for i in order])
    boxes[:, 2:] -= 1  # which `box_iou` adds
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            with np.errstate(invalid="ignore"):
                # In single precision, as published: it decides ties.
                alike = box_iou(boxes[i + 1 :], boxes[i]).astype(np.float32)
            alive[i + 1 :] &= ~(alike.astype(np.float64) > overlap)
    return [candidates[order[i]] for i in np.flatnonzero(alive)]


def largest_component_filled(patch: MaskPatch) -> MaskPatch:
    """The largest piece of a mask, its holes filled."""
    largest = largest_component(patch.mask, connectivity=1)
    window = mask_to_window(largest)
    if window is None:
        return patch
    mask = fill_holes(largest[window])
    values = np.abs(patch.logits[window])
    row, col = (o + w.start for o, w in zip(patch.origin, window, strict=True))
    tiny = np.finfo(np.float32).tiny
    return MaskPatch((row, col), np.where(mask, np.maximum(values, tiny), -values))


def select_disjoint(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Choose masks that do not overlap, a whole or its parts, by what they explain.

    The sum of their values, high powers of trust times a low one of the area,
    becomes as large as it can: a whole stands against its parts, and a cluster
    against its members, not one pair after the other but all together. That is the
    choice of segments out of a hierarchy by an integer programme (Bragantini et al.
    2024, "Large-scale multi-hypotheses cell tracking using ultrametric contours
    maps", ECCV).

    Parameters
    ----------
    candidates : sequence of Candidate
        Of one plane.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    pairs = _conflicts(candidates)
    if not pairs:
        return list(candidates)
    value = np.array(
        [c.area**_AREA_POWER * c.quality**_TRUST_POWER for c in candidates]
    )
    rows = np.repeat(np.arange(len(pairs)), 2)
    entries = np.ones(len(rows)), (rows, np.ravel(pairs))
    limits = coo_array(entries, shape=(len(pairs), len(candidates)))
    found = milp(
        -value,
        integrality=np.ones(len(value)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(limits.tocsr(), -np.inf, 1),
    )
    if not found.success:
        raise RuntimeError(f"Overlapping masks could not be settled: {found.message}")
    return [c for c, kept in zip(candidates, found.x, strict=True) if kept > 0.5]


def _conflicts(candidates: Sequence[Candidate]) -> list[tuple[int, int]]:
    if not candidates:
        return []
    boxes = np.stack([c.box for c in candidates])
    pairs = []
    for i, one in enumerate(candidates):
        meets = (boxes[:i, :2] <= one.box[2:]) & (boxes[:i, 2:] >= one.box[:2])
        for j in np.flatnonzero(meets.all(axis=1)).tolist():
            if one.overlap_fraction(candidates[j]) > _SHARED:
                pairs.append((j, i))
    return pairs
