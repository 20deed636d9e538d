"""Box prompts for the next slice: motion and growth, refitting and margins."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    SliceBox = tuple[int, NDArray[np.float64]]

# Damping: fraction of the measured motion and growth that continues.
_MOTION_GAIN, _GROWTH_GAIN = 0.8, 0.5
# Weight of the newest difference against the average of the older ones.
_NEWEST_WEIGHT = 0.6
# Weight of the straight line to the goal once there is measured motion.
_GOAL_WEIGHT = 0.5
_MAX_LOG_GROWTH = 0.3  # logarithm of a side, per slice
# A mask touches a side of its box when it is closer than this fraction of the margin;
# the side then moves outwards by this fraction of the box.
_TOUCH_FRACTION, _WIDEN_FRACTION = 0.5, 0.1
# Largest margin that is adopted from a user's box, as a fraction of the sides.
_MAX_USER_MARGIN = 0.12


def refit_box(
    box: NDArray[np.float64],
    mask_box: NDArray[np.float64],
    plane_shape: tuple[int, int],
    margin: float,
    *,
    has_full_size: bool = False,
) -> NDArray[np.float64] | None:
    """Move the sides of a box prompt that its mask touches.

    A side that the mask touches moves outwards. If there is more room on the
    opposite side the object has moved, and both sides follow it; otherwise it has
    grown, and the side moves by a fraction of the box. A box that is too large does
    little harm because models find the same object in it. A box that is too small
    cuts the mask, and the error continues on all later slices.

    Parameters
    ----------
    box : ndarray
        (4,) box of the prompt: (row_min, col_min, row_max, col_max).
    mask_box : ndarray
        (4,) tight box of the resulting mask.
    plane_shape : tuple of int
        (H, W) of a slice; at its border a mask may touch its box.
    margin : float
        Margin of the box as a fraction of its sides.
    has_full_size : bool
        Whether the box is as large as the object must be, see `enlarge_box`. Then it
        has grown only where its mask touches both sides along an axis: one side is
        often touched, and asking again costs as much as the first time.

    Returns
    -------
    ndarray or None
        (4,) box for a new prompt; None when the mask does not touch its box.
    """
    sides = np.tile(box[2:] - box[:2], 2)
    near = np.maximum(1.0, margin * sides)
    gaps = np.concatenate([mask_box[:2] - box[:2], box[2:] - mask_box[2:]])
    room = np.concatenate([box[:2], np.subtract(plane_shape, 1) - box[2:]])
    opposite = gaps[[2, 3, 0, 1]]
    moves = (gaps <= near) & (opposite > 2 * near + 1)
    cut = (gaps < _TOUCH_FRACTION * near) & (room > 0) & ~moves
    grows = cut & cut[[2, 3, 0, 1]] if has_full_size else cut
    if not (moves | grows).any():
        return None
    # At most half an object at once: further out there may be another one.
    shift = np.where(moves, np.minimum(opposite - near, sides / 2), 0.0)
    outwards = shift + np.where(cut, _WIDEN_FRACTION * sides, 0.0)
    outwards -= shift[[2, 3, 0, 1]]
    refitted: NDArray[np.float64] = box + outwards * (-1, -1, 1, 1)
    return refitted


def expand_box(
    box: NDArray[np.float64], margin: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Expand a (4,) box by a fraction of its sides, and by one pixel at least."""
    added = np.maximum(1.0, margin * np.tile(box[2:] - box[:2], 2))
    expanded: NDArray[np.float64] = box + added * (-1, -1, 1, 1)
    return expanded


def user_margin(
    user_box: NDArray[np.float64], mask_box: NDArray[np.float64], margin: float
) -> NDArray[np.float64]:
    """Measure the margin that a user left around an object, for the other slices.

    A model may segment less than the user's box, for example an organ inside it. From
    a tight box around that mask it would segment even less on the next slice.

    Parameters
    ----------
    user_box, mask_box : ndarray
        (4,) box of the prompt, and tight box of the resulting mask.
    margin : float
        Smallest margin, as a fraction of the sides.

    Returns
    -------
    ndarray
        (4,) margins as fractions of the sides of `mask_box`.
    """
    room = (mask_box - user_box) * (1, 1, -1, -1)
    fractions = room / np.tile(np.maximum(mask_box[2:] - mask_box[:2], 1.0), 2)
    highest = max(margin, _MAX_USER_MARGIN)
    limited: NDArray[np.float64] = np.clip(fractions, margin, highest)
    return limited


def extrapolate_box(
    boxes: Sequence[SliceBox],
    slice_index: int,
    goal: tuple[SliceBox, SliceBox] | None = None,
    *,
    slice_step: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Predict the box of an object on a slice from the slices before.

    Motion and growth of the last slices continue, damped, as in a Kalman filter with
    fixed gains. Towards a goal they are mixed with the straight line to it.

    Parameters
    ----------
    boxes : sequence of (int, ndarray)
        Slices and (4,) boxes on them, in the order of the propagation; at least one.
    slice_index : int
        The slice to predict.
    goal : ((int, ndarray), (int, ndarray)), optional
        Slice and box of the whole object: on the last slice, and on the prompted
        slice at the end of the propagation.
    slice_step : ndarray, optional
        (2,) distance between slices in pixels, along rows and columns. With it, the
        object grows towards the goal as a ball through both does: from a prompt near
        its end much at first. Without it, growth is limited as measured growth is.

    Returns
    -------
    ndarray
        (4,) box.
    """
    last_index, box = boxes[-1]
    centre, size = _centre(box), box_size(box)
    steps = abs(slice_index - last_index)
    motion, growth = np.zeros(2), np.zeros(2)
    is_measured = False
    for (i, before), (j, after) in pairwise(boxes):
        distance = abs(j - i)
        move = (_centre(after) - _centre(before)) / distance
        grow = np.log(box_size(after) / box_size(before)) / distance
        weight = _NEWEST_WEIGHT if is_measured else 1.0
        motion += weight * (move - motion)
        growth += weight * (grow - growth)
        is_measured = True
    motion, growth = _MOTION_GAIN * motion, _GROWTH_GAIN * growth
    if slice_step is not None:
        growth = _limited(growth)
    if goal is not None:
        (first, start_box), (last, end_box) = goal
        distance = abs(last - first)
        straight = (_centre(end_box) - _centre(start_box)) / distance
        sizes = box_size(start_box), box_size(end_box)
        bulge = 0.0 if slice_step is None else 2 * distance * slice_step
        widening = _log_growth(*sizes, steps / distance, bulge) / steps
        weight = _GOAL_WEIGHT if is_measured else 1.0
        motion += weight * (straight - motion)
        growth += weight * (widening - growth)
    if slice_step is None:
        growth = _limited(growth)
    half = size * np.exp(growth * steps) / 2
    middle = centre + motion * steps
    return np.concatenate([middle - half + 0.5, middle + half - 0.5])


def enlarge_box(
    box: NDArray[np.float64], least: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Enlarge a (4,) box around its centre to at least a (height, width)."""
    added = np.maximum(least - box_size(box), 0) / 2
    enlarged: NDArray[np.float64] = box + np.tile(added, 2) * (-1, -1, 1, 1)
    return enlarged


def box_size(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (height, width) in pixels; a box runs through the outermost centres."""
    sides: NDArray[np.float64] = box[2:] - box[:2] + 1
    return sides


def _log_growth(
    size: NDArray[np.float64],
    goal: NDArray[np.float64],
    fraction: float,
    bulge: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.float64]:
    """Compute the logarithmic growth of sides at a fraction of the distance to a goal.

    The squares of the sides of an ellipsoid change linearly and by a part that is
    largest in between; `bulge` is its diameter for a ball with both at its poles.
    Nothing becomes larger than both: tubes, which are longer than wide, stay as they
    are.
    """
    squares = (1 - fraction) * size**2 + fraction * goal**2
    squares = squares + fraction * (1 - fraction) * bulge**2
    limited = np.minimum(squares, np.maximum(size, goal) ** 2)
    growth: NDArray[np.float64] = np.log(limited / size**2) / 2
    return growth


def _limited(growth: NDArray[np.float64]) -> NDArray[np.float64]:
    limited: NDArray[np.float64] = np.clip(growth, -_MAX_LOG_GROWTH, _MAX_LOG_GROWTH)
    return limited


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    middle: NDArray[np.float64] = (box[:2] + box[2:]) / 2
    return middle
