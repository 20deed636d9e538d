"""Corrections of a mask by further clicks, each where the user clicked only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import components_at
from napari_sam.masks.patch import mask_iou
from napari_sam.prompts.prompt import POSITIVE, Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.plane_transform import PlaneTransform
    from napari_sam.prediction.prediction import Prediction

# Smallest IoU of a mask before and after a correction that makes a difference.
_LOWEST_IOU = 0.1
# What a click changes lies within this many times its distance from the outline; all
# of a change that is not much larger.
_REACH, _WHOLE_REACH = 1.5, 3.0
# IoU of corrected masks: slope and offset on the logit of the estimate for the answer,
# which does not know the mask before. Fitted to 324 corrections of objects of
# benchmarks/quality/clicks.py, seed 101.
_SCORE_SLOPE, _SCORE_OFFSET = 0.23, 1.76
# Logit of what lies outside the window of an earlier mask.
_OUTSIDE_LOGIT = -6.0


def correction_steps(prompt: Prompt) -> list[Prompt]:
    """Split a prompt into a first one and those that correct its mask, point by point.

    The first one is the box or the mask, or the first point on the object.

    Returns
    -------
    list of Prompt
        Each has one point more than the one before, the last one all of them.
    """
    points, labels = prompt.points, prompt.labels
    if points is None or labels is None:
        return [prompt]
    start = 0
    if prompt.box is None and prompt.mask is None:
        positives = np.flatnonzero(labels == POSITIVE)
        if not len(positives):
            return [prompt]
        first = int(positives[0])
        order = [first, *(i for i in range(len(points)) if i != first)]
        points, labels = points[order], labels[order]
        start = 1
    return [
        replace(
            prompt,
            points=points[:count] if count else None,
            labels=labels[:count] if count else None,
        )
        for count in range(start, len(points) + 1)
    ]


def best_correction(
    previous: Prediction, answers: Sequence[Prediction], prompt: Prompt
) -> Prediction:
    """Correct a mask by the best of several answers; see `correct`.

    Of answers that are equally good the one that changes the mask least is best: people
    correct masks that are nearly right. The score of a corrected mask is higher than
    that of the answer, as the user agrees with the rest of the mask.
    """
    found = [correct(previous, answer, prompt) for answer in answers]
    changed = [one for one in found if one is not previous]
    # A coarser window would take detail away.
    fine = [one for one in changed if _is_as_fine(one, previous)]
    if not changed:
        return previous
    best = max(fine or changed, key=lambda one: one.score * _similarity(previous, one))
    return replace(best, score=_corrected_score(best.score))


def _corrected_score(score: float) -> float:
    """Estimate the IoU of a corrected mask from the score of the answer."""
    clipped = float(np.clip(score, 1e-6, 1 - 1e-6))
    logit = np.log(clipped / (1 - clipped))
    return float(1 / (1 + np.exp(-(_SCORE_SLOPE * logit + _SCORE_OFFSET))))


def _is_as_fine(one: Prediction, other: Prediction) -> bool:
    """Tell whether the pixels of a mask are not larger than those of another."""
    return bool(one.transform.scale.max() >= 0.99 * other.transform.scale.max())


def _similarity(previous: Prediction, corrected: Prediction) -> float:
    """Return the IoU of a mask before and after a correction."""
    transform = corrected.transform
    rows, cols = transform.mask_shape
    before = _logits_in(previous, transform)[:rows, :cols] > 0
    iou = mask_iou(before, corrected.logits[:rows, :cols] > 0)
    return float(max(iou, _LOWEST_IOU))


def correct(previous: Prediction, answer: Prediction, prompt: Prompt) -> Prediction:
    """Change a mask where the last click of a prompt asks for it, and nowhere else.

    Of the pixels in which a new answer differs from the mask, only those change that
    are connected to the click (the progressive merge of Chen et al. 2022,
    "FocalClick") and near it: people click in the middle of what is wrong, so that the
    distance of the click from the outline tells how large that is. Nothing changes if
    the mask agrees with the click already, or the answer does not.

    Parameters
    ----------
    previous : Prediction
        The mask so far.
    answer : Prediction
        A mask for all points.
    prompt : Prompt
        In pixels of the plane; its last point is the correction.
    """
    assert prompt.points is not None and prompt.labels is not None
    point, wanted = prompt.points[-1], bool(prompt.labels[-1] == POSITIVE)
    transform = answer.transform
    if answer.window is not None and not answer.window.holds(point[None]).all():
        return previous
    rows, cols = transform.mask_shape
    before = _logits_in(previous, transform)
    old, new = before[:rows, :cols] > 0, answer.logits[:rows, :cols] > 0
    row, col = _pixel(point, transform)
    if old[row, col] == wanted or new[row, col] != wanted:
        return previous
    changed = _connected_change(old, new, row, col)
    logits = before.copy()
    logits[:rows, :cols][changed] = answer.logits[:rows, :cols][changed]
    return replace(answer, logits=logits, candidates=())


def _connected_change(
    old: NDArray[np.bool_], new: NDArray[np.bool_], row: int, col: int
) -> NDArray[np.bool_]:
    """Return the pixels that a click changes, see `correct`."""
    from scipy.ndimage import distance_transform_edt

    wrong = old if old[row, col] else ~old
    depth = float(distance_transform_edt(np.pad(wrong, 1))[row + 1, col + 1])
    rows, cols = np.ogrid[: old.shape[0], : old.shape[1]]
    distance = np.hypot(rows - row, cols - col)
    click = np.array([[row, col]])
    change = components_at(old ^ new, click, connectivity=1)
    if distance[change].max() <= _WHOLE_REACH * depth + 1:
        return change
    return components_at(change & (distance <= _REACH * depth + 1), click, 1)


def _pixel(point: NDArray[np.float64], transform: PlaneTransform) -> tuple[int, int]:
    """Return the low-resolution pixel of a point of the plane."""
    at = transform.to_mask(point - transform.origin)
    row, col = np.clip(np.rint(at), 0, np.array(transform.mask_shape) - 1).astype(int)
    return int(row), int(col)


def _logits_in(
    prediction: Prediction, transform: PlaneTransform
) -> NDArray[np.float32]:
    """Return the logits of a mask in the window of a transform."""
    from scipy import ndimage

    own = prediction.transform
    if own.window == transform.window:
        return prediction.logits
    steps = [np.divide(t.shape, t.mask_shape) for t in (own, transform)]
    places = []
    for axis, count in enumerate(transform.mask_shape):
        on_plane = (np.arange(count) + 0.5) * steps[1][axis] + transform.origin[axis]
        places.append((on_plane - own.origin[axis]) / steps[0][axis] - 0.5)
    rows, cols = own.mask_shape
    grid = np.meshgrid(*places, indexing="ij")
    sampled = ndimage.map_coordinates(
        prediction.logits[:rows, :cols], grid, order=1, cval=_OUTSIDE_LOGIT
    )
    logits = np.full(prediction.logits.shape, _OUTSIDE_LOGIT, np.float32)
    logits[: sampled.shape[0], : sampled.shape[1]] = sampled
    return logits
