"""Selection of non-overlapping masks: NMS, then the best disjoint subset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.morphology import fill_holes, largest_component
from napari_sam.masks.patch import MaskPatch, box_iou, mask_to_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.candidate import AnyCandidate

# Masks cannot both be objects if they share more of the smaller one.
_MAX_OVERLAP_FRACTION = 0.25
# Weight of a mask in the disjoint subset: powers of its quality and its area. With the
# full area a loose mask around one object would outweigh the object.
_QUALITY_POWER, _AREA_POWER = 8.0, 0.25


def non_maximum_suppression(
    candidates: Sequence[AnyCandidate], scores: Sequence[float], box_nms_thresh: float
) -> list[AnyCandidate]:
    """Drop masks whose box resembles that of a mask with a better score, best first.

    As in the published generator of SAM, boxes run from centre to centre of their
    outermost pixels, so that the same masks remain. Boxes of one row or column
    resemble none.
    """
    if not candidates:
        return []
    boxes = np.stack([candidate.box for candidate in candidates])
    best = select_boxes(boxes, np.asarray(scores), box_nms_thresh)
    return [candidates[i] for i in best]


def select_boxes(
    boxes: NDArray[np.float64], scores: NDArray[np.floating[Any]], box_nms_thresh: float
) -> NDArray[np.intp]:
    """Return the indices of boxes that resemble none with a better score, best first.

    Parameters
    ----------
    boxes : ndarray
        (N, 4), from centre to centre of their outermost pixels.
    scores : ndarray
        (N,).
    box_nms_thresh : float
        Boxes with a larger IoU resemble each other; those of one row or column none.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = boxes[order]
    ordered[:, 2:] -= 1  # `box_iou` adds 1
    kept = np.ones(len(order), bool)
    for i in range(len(order)):
        if kept[i]:
            with np.errstate(invalid="ignore"):
                # In single precision, as published: it decides ties.
                ious = box_iou(ordered[i + 1 :], ordered[i]).astype(np.float32)
            kept[i + 1 :] &= ~(ious.astype(np.float64) > box_nms_thresh)
    return order[kept]


def largest_component_filled(patch: MaskPatch) -> MaskPatch:
    """Keep the largest connected component of a mask, and fill its holes."""
    largest = largest_component(patch.mask, connectivity=1)
    window = mask_to_window(largest)
    if window is None:
        return patch
    mask = fill_holes(largest[window])
    values = np.abs(patch.logits[window])
    row, col = (o + w.start for o, w in zip(patch.origin, window, strict=True))
    tiny = np.finfo(np.float32).tiny
    return MaskPatch((row, col), np.where(mask, np.maximum(values, tiny), -values))


def select_disjoint(candidates: Sequence[AnyCandidate]) -> list[AnyCandidate]:
    """Select the subset of masks without overlaps that has the largest total weight.

    The weight is a high power of the quality x a low power of the area. A mask
    competes with all its parts together, and a cluster with all its members. This is
    the selection of segments from a hierarchy by an integer programme (Bragantini et
    al. 2024, "Large-scale multi-hypotheses cell tracking using ultrametric contours
    maps", ECCV).

    Parameters
    ----------
    candidates : sequence of Candidate
        Of one plane.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    pairs = _overlapping_pairs(candidates)
    if not pairs:
        return list(candidates)
    weights = np.array(
        [c.area**_AREA_POWER * c.quality**_QUALITY_POWER for c in candidates]
    )
    # SciPy before 1.15 takes indices of 32 bits only.
    rows = np.repeat(np.arange(len(pairs), dtype=np.int32), 2)
    entries = np.ones(len(rows)), (rows, np.ravel(pairs).astype(np.int32))
    per_pair = coo_array(entries, shape=(len(pairs), len(candidates)))
    solution = milp(
        -weights,
        integrality=np.ones(len(weights)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(per_pair.tocsr(), -np.inf, 1),
    )
    if not solution.success:
        raise RuntimeError(f"Overlaps could not be resolved: {solution.message}")
    return [c for c, x in zip(candidates, solution.x, strict=True) if x > 0.5]


def without_overlaps(
    candidates: Sequence[AnyCandidate], others: Sequence[AnyCandidate]
) -> list[AnyCandidate]:
    """Drop candidates that cannot be objects beside some others."""
    return [
        one
        for one in candidates
        if not any(
            one is other or one.overlap_fraction(other) > _MAX_OVERLAP_FRACTION
            for other in others
        )
    ]


def _overlapping_pairs(candidates: Sequence[AnyCandidate]) -> list[tuple[int, int]]:
    if not candidates:
        return []
    boxes = np.stack([c.box for c in candidates])
    pairs = []
    for i, one in enumerate(candidates):
        meets = (boxes[:i, :2] <= one.box[2:]) & (boxes[:i, 2:] >= one.box[:2])
        for j in np.flatnonzero(meets.all(axis=1)).tolist():
            if one.overlap_fraction(candidates[j]) > _MAX_OVERLAP_FRACTION:
                pairs.append((j, i))
    return pairs
