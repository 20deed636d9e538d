"""Ranking of the answers of several windows to one prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_iou, patch_iou, stability
from napari_sam.prediction.click_sequence import select_alternative
from napari_sam.prediction.prediction import MAX_ANSWERS, SAME_MASK_IOU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.prediction import Prediction

# Side of a window over that of a mask that it shows best.
_IDEAL_RATIO = 9.0
# Of windows that agree on an object, the one that fits it best has the finest outline,
# unless its quality is clearly lower.
_SAME_OBJECT_IOU, _ALMOST_AS_GOOD = 0.75, 0.85


def best_answer(
    answers: Mapping[Window | None, Prediction],
    plane_shape: tuple[int, int],
    size: Size | None = None,
) -> Prediction:
    """Pool the answers of all windows; the best one first among its candidates.

    Answers that their window cuts count only if all are cut; then those of the
    largest window.

    Parameters
    ----------
    answers : mapping
        {window: its answer}.
    plane_shape : tuple of int
        (H, W).
    size : {"small", "medium", "large"}, optional
        Which of several alternatives to use; the best one when None.
    """
    predictions = list(answers.values())
    if len(predictions) == 1:
        return predictions[0]
    pooled = [with_candidates(prediction) for prediction in predictions]
    whole = [[c for c in group if not is_cut(c, plane_shape)] for group in pooled]
    groups = [group for group in whole if group]
    if not groups:
        return max(predictions, key=lambda p: p.window.side if p.window else np.inf)
    groups = [sorted(group, key=quality, reverse=True) for group in groups]
    groups.sort(key=lambda group: -quality(group[0]))
    groups = _best_fit_first(groups)
    # The best of each window before the second best of any.
    firsts, others = [g[0] for g in groups], [c for g in groups for c in g[1:]]
    kept: list[Prediction] = []
    for candidate in [*firsts, *sorted(others, key=quality, reverse=True)]:
        if not any(is_same(candidate, other) for other in kept):
            kept.append(replace(candidate, candidates=()))
    candidates = tuple(kept[:MAX_ANSWERS])
    return select_alternative(replace(candidates[0], candidates=candidates), size)


def without_others(
    answers: Mapping[Window | None, Prediction], others: NDArray[np.float64]
) -> Mapping[Window | None, Prediction]:
    """Drop the alternatives that hold a point on another object, if others are left.

    Parameters
    ----------
    answers : mapping
        {window: its answer}.
    others : ndarray
        (N, 2) points on other objects of the plane.
    """
    if not len(others):
        return answers
    kept = {}
    for window, answer in answers.items():
        alone = [c for c in with_candidates(answer) if not c.holds(others).any()]
        if alone:
            kept[window] = replace(alone[0], candidates=tuple(alone))
    return kept or answers


def is_cut(prediction: Prediction, plane_shape: tuple[int, int]) -> bool:
    """Tell whether a mask may continue beyond the edges of its window."""
    window, box = prediction.window, prediction.coarse_box
    if window is None or box is None:
        return False
    return window.cuts(box, plane_shape)


def with_candidates(prediction: Prediction) -> Sequence[Prediction]:
    """Return the alternatives of a prediction, itself among them."""
    return prediction.candidates or (prediction,)


def _best_fit_first(groups: list[list[Prediction]]) -> list[list[Prediction]]:
    """Of windows whose best masks are the same object, put the best-fitting one first.

    Parameters
    ----------
    groups : list of list of Prediction
        Answers of each window, best first.
    """
    best = groups[0][0]
    same = [
        group
        for group in groups
        if group[0] is best
        or (
            quality(group[0]) >= _ALMOST_AS_GOOD * quality(best)
            and is_same(group[0], best, _SAME_OBJECT_IOU)
        )
    ]
    first = min(same, key=lambda group: _misfit(group[0]))
    return [first, *(group for group in groups if group is not first)]


def _misfit(prediction: Prediction) -> float:
    """Compare the ratio of window and mask with the ideal one; 0 for that."""
    box = prediction.coarse_box
    if box is None:
        return np.inf
    size = float((box[2:] - box[:2]).max()) + 1
    return abs(float(np.log(max(prediction.transform.shape) / size / _IDEAL_RATIO)))


def is_same(one: Prediction, other: Prediction, min_iou: float = SAME_MASK_IOU) -> bool:
    """Tell whether two masks are the same answer to the user."""
    # Patches may be as large as the plane: they are the last resort.
    areas = sorted((one.coarse_area, other.coarse_area))
    if areas[0] < min_iou * areas[1]:
        return False
    if one.window == other.window:
        rows, cols = one.transform.mask_shape
        masks = [p.logits[:rows, :cols] > 0 for p in (one, other)]
        return mask_iou(masks[0], masks[1]) >= min_iou
    return patch_iou(one.patch, other.patch) >= min_iou


def quality(prediction: Prediction) -> float:
    """Compute predicted IoU times stability, by which answers are compared.

    Calibrated scores are compared as they are.
    """
    if prediction.coarse_box is None:
        return 0.0
    if prediction.is_calibrated:
        return prediction.score
    rows, cols = prediction.transform.mask_shape  # the rest is padding
    return prediction.score * float(stability(prediction.logits[:rows, :cols]))
