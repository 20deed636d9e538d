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
# of a change that is not much larger. Some of a pixel is added to either.
_REACH, _WHOLE_REACH, _SLACK = 1.25, 2.5, 0.25
# Where no answer agrees with a click, a disc changes: its radius as a fraction of that
# distance, the largest one in pixels of the mask, and the logit there.
_DISC, _LARGEST_DISC, _DISC_LOGIT = 0.9, 10.0, 1.0
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
    that of the answer, as the user agrees with the rest of the mask. If no answer
    agrees with the click, a disc around it changes.
    """
    kept = _holding(previous, answers, prompt)
    if _agrees(kept, prompt):
        return previous
    found = [correct(kept, answer, prompt) for answer in answers]
    changed = [one for one in found if one is not kept]
    if not changed:
        return _with_disc(kept, prompt)
    best = max(changed, key=lambda one: one.score * _similarity(kept, one))
    return replace(best, score=_corrected_score(best.score))


def _corrected_score(score: float) -> float:
    """Estimate the IoU of a corrected mask from the score of the answer."""
    clipped = float(np.clip(score, 1e-6, 1 - 1e-6))
    logit = np.log(clipped / (1 - clipped))
    return float(1 / (1 + np.exp(-(_SCORE_SLOPE * logit + _SCORE_OFFSET))))


def _similarity(before: Prediction, corrected: Prediction) -> float:
    """Return the IoU of a mask before and after a correction."""
    rows, cols = before.transform.mask_shape
    masks = (one.logits[:rows, :cols] > 0 for one in (before, corrected))
    return float(max(mask_iou(*masks), _LOWEST_IOU))


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
        The mask so far. It keeps its window and its pixels, as those of another window
        would take detail away.
    answer : Prediction
        A mask for all points, in any window.
    prompt : Prompt
        In pixels of the plane; its last point is the correction.
    """
    point, wanted = _last(prompt)
    if not (_sees(previous, point[None]) and _sees(answer, point[None])):
        return previous
    transform = previous.transform
    rows, cols = transform.mask_shape
    logits = _logits_in(answer, transform)[:rows, :cols]
    old = previous.logits[:rows, :cols] > 0
    # Outside its window the answer changes nothing.
    new = np.where(np.isnan(logits), old, logits > 0)
    row, col = _pixel(point, transform)
    if old[row, col] == wanted or new[row, col] != wanted:
        return previous
    changed = _connected_change(old, new, row, col)
    corrected = previous.logits.copy()
    corrected[:rows, :cols][changed] = logits[changed]
    return replace(answer, logits=corrected, transform=transform, candidates=())


def _holding(
    previous: Prediction, answers: Sequence[Prediction], prompt: Prompt
) -> Prediction:
    """Return the mask in a window that holds the click, its own one if possible."""
    point = _last(prompt)[0][None]
    if _sees(previous, point):
        return previous
    box = previous.coarse_box
    needed = point if box is None else np.concatenate([point, box.reshape(2, 2)])
    larger = [answer.transform for answer in answers if _sees(answer, needed)]
    if not larger:
        return previous
    finest = max(larger, key=lambda transform: transform.scale.max())
    logits = np.nan_to_num(_logits_in(previous, finest), nan=_OUTSIDE_LOGIT)
    return replace(previous, logits=logits, transform=finest, candidates=())


def _agrees(previous: Prediction, prompt: Prompt) -> bool:
    """Tell whether a mask agrees with the last click, or its window lacks it."""
    point, wanted = _last(prompt)
    if not _sees(previous, point[None]):
        return True
    return bool((previous.logits[_pixel(point, previous.transform)] > 0) == wanted)


def _with_disc(previous: Prediction, prompt: Prompt) -> Prediction:
    """Change a disc around a click that no answer agrees with."""
    point, wanted = _last(prompt)
    rows, cols = previous.transform.mask_shape
    row, col = _pixel(point, previous.transform)
    depth, distance = _distances(previous.logits[:rows, :cols] > 0, row, col)
    logits = previous.logits.copy()
    inside = distance <= min(_DISC * depth, _LARGEST_DISC)
    logits[:rows, :cols][inside] = _DISC_LOGIT if wanted else -_DISC_LOGIT
    return replace(previous, logits=logits, candidates=())


def _connected_change(
    old: NDArray[np.bool_], new: NDArray[np.bool_], row: int, col: int
) -> NDArray[np.bool_]:
    """Return the pixels that a click changes, see `correct`."""
    depth, distance = _distances(old, row, col)
    click = np.array([[row, col]])
    change = components_at(old ^ new, click, connectivity=1)
    if distance[change].max() <= _WHOLE_REACH * depth + _SLACK:
        return change
    return components_at(change & (distance <= _REACH * depth + _SLACK), click, 1)


def _distances(
    mask: NDArray[np.bool_], row: int, col: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the distance of a click from the outline, and of all pixels from it."""
    from scipy.ndimage import distance_transform_edt

    wrong = mask if mask[row, col] else ~mask
    depth = float(distance_transform_edt(np.pad(wrong, 1))[row + 1, col + 1])
    rows, cols = np.ogrid[: mask.shape[0], : mask.shape[1]]
    return depth, np.hypot(rows - row, cols - col)


def _sees(prediction: Prediction, points: NDArray[np.float64]) -> bool:
    """Tell whether all (N, 2) points of the plane lie in the window of a mask."""
    return prediction.window is None or bool(prediction.window.holds(points).all())


def _last(prompt: Prompt) -> tuple[NDArray[np.float64], bool]:
    """Return the last point of a prompt, and whether it is on the object."""
    assert prompt.points is not None and prompt.labels is not None
    return prompt.points[-1], bool(prompt.labels[-1] == POSITIVE)


def _pixel(point: NDArray[np.float64], transform: PlaneTransform) -> tuple[int, int]:
    """Return the low-resolution pixel of a point of the plane."""
    at = transform.to_mask(point - transform.origin)
    row, col = np.clip(np.rint(at), 0, np.array(transform.mask_shape) - 1).astype(int)
    return int(row), int(col)


def _logits_in(
    prediction: Prediction, transform: PlaneTransform
) -> NDArray[np.float32]:
    """Return the logits of a mask in the window of a transform; NaN outside its own."""
    from scipy import ndimage

    own = prediction.transform
    if own.window == transform.window:
        return prediction.logits
    steps = [np.divide(t.shape, t.mask_shape) for t in (own, transform)]
    places = []
    for axis, count in enumerate(transform.mask_shape):
        on_plane = (np.arange(count) + 0.5) * steps[1][axis] + transform.origin[axis]
        place = (on_plane - own.origin[axis]) / steps[0][axis] - 0.5
        last = own.mask_shape[axis] - 1
        is_inside = (place >= -0.5) & (place <= last + 0.5)
        places.append(np.where(is_inside, np.clip(place, 0, last), np.nan))
    rows, cols = own.mask_shape
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    outside = np.isnan(grid).any(axis=0)
    sampled = ndimage.map_coordinates(
        prediction.logits[:rows, :cols], np.nan_to_num(grid), order=1
    )
    sampled[outside] = np.nan
    logits = np.full((transform.mask_size,) * 2, np.nan, np.float32)
    logits[: sampled.shape[0], : sampled.shape[1]] = sampled
    return logits
