"""Boxes to ask about: their room, and where they are on the next slice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Placed = tuple[int, NDArray[np.float64]]

# How much of the measured motion and growth is believed to go on.
_MOTION, _GROWTH = 0.8, 0.5
_FASTEST_GROWTH = 0.3  # of the logarithm of a side, in a slice
# A mask this near to a side of its box, as a share of the margin, touches it; the
# side then moves outwards by this share of the box.
_TOUCH, _WIDEN = 0.5, 0.1
# No more room around an object than this share of its sides is taken over from a user.
_MOST_ROOM = 0.12


def refit_box(
    box: NDArray[np.float64],
    found: NDArray[np.float64],
    plane_shape: tuple[int, int],
    margin: float,
) -> NDArray[np.float64] | None:
    """Where to ask again about an object that has grown or slid out of its box.

    A side that the mask touches moves outwards: by what the mask leaves on the
    opposite side, as the object has most likely slid there and that side follows
    it, or else by a share of the box. A box too large does little harm, as models
    draw the same object in it; one too small cuts the mask, and all slices after
    inherit it.

    Parameters
    ----------
    box : ndarray
        (4,) of the prompt.
    found : ndarray
        (4,) tight box of the mask that came of it.
    plane_shape : tuple of int
        (H, W) of a slice; at its border a mask may touch its box.
    margin : float
        See `expect`.

    Returns
    -------
    ndarray or None
        (4,); None when the mask lies well in its box.
    """
    sides = np.tile(box[2:] - box[:2], 2)
    near = np.maximum(1.0, margin * sides)
    gaps = np.concatenate([found[:2] - box[:2], box[2:] - found[2:]])
    room = np.concatenate([box[:2], np.subtract(plane_shape, 1) - box[2:]])
    left = gaps[[2, 3, 0, 1]]
    slides = (gaps <= near) & (left > 2 * near + 1)
    grows = (gaps < _TOUCH * near) & (room > 0) & ~slides
    if not (slides | grows).any():
        return None
    # No further than half an object at once: beyond may lie another one.
    way = np.where(slides, np.minimum(left - near, sides / 2), 0.0)
    out = way + np.where(grows, _WIDEN * sides, 0.0) - way[[2, 3, 0, 1]]
    refitted: NDArray[np.float64] = box + out * (-1, -1, 1, 1)
    return refitted


def expand_box(
    box: NDArray[np.float64], margin: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """(4,) box with room around it, see `expect`."""
    grow = np.maximum(1.0, margin * np.tile(box[2:] - box[:2], 2))
    larger: NDArray[np.float64] = box + grow * (-1, -1, 1, 1)
    return larger


def user_margin(
    drawn: NDArray[np.float64], found: NDArray[np.float64], margin: float
) -> NDArray[np.float64]:
    """The room that a user left around an object, to be left on other slices too.

    A model may draw less than what the user boxed, as an organ inside; asked about
    a box around that, it would draw even less.

    Parameters
    ----------
    drawn, found : ndarray
        (4,) box of the prompt, and that of the mask which came of it.
    margin : float
        The least, see `expect`.

    Returns
    -------
    ndarray
        (4,) shares of the sides of `found`.
    """
    room = (found - drawn) * (1, 1, -1, -1)
    shares = room / np.tile(np.maximum(found[2:] - found[:2], 1.0), 2)
    limited: NDArray[np.float64] = np.clip(shares, margin, max(margin, _MOST_ROOM))
    return limited


def extrapolate_box(
    track: Sequence[Placed], index: int, heading: Sequence[Placed] | None = None
) -> NDArray[np.float64]:
    """The box of an object on a slice, from those on the slices before.

    Motion and growth of the last slices go on, damped, as of a Kalman filter with
    fixed gains.

    Parameters
    ----------
    track : sequence of (int, ndarray)
        Slices and boxes (4,) on them, in the order of the walk, at least one.
    index : int
        The slice.
    heading : sequence of (int, ndarray), optional
        The whole object on the last slice and where the walk comes to.
    """
    last_index, box = track[-1]
    centre, size = _centre(box), box_size(box)
    steps = abs(index - last_index)
    motion, growth = np.zeros(2), np.zeros(2)
    known = False
    for (i, before), (j, after) in pairwise(track):
        way = abs(j - i)
        move = (_centre(after) - _centre(before)) / way
        grow = np.log(box_size(after) / box_size(before)) / way
        # The latest difference counts most.
        weight = 0.6 if known else 1.0
        motion += weight * (move - motion)
        growth += weight * (grow - growth)
        known = True
    motion, growth = _MOTION * motion, _GROWTH * growth
    if heading is not None:
        (first, start), (end, goal) = heading
        way = abs(end - first)
        straight = (_centre(goal) - _centre(start)) / way
        widening = _towards(box_size(start), box_size(goal), steps / way) / steps
        share = 0.5 if known else 1.0
        motion += share * (straight - motion)
        growth += share * (widening - growth)
    growth = np.clip(growth, -_FASTEST_GROWTH, _FASTEST_GROWTH)
    half = size * np.exp(growth * steps) / 2
    middle = centre + motion * steps
    return np.concatenate([middle - half + 0.5, middle + half - 0.5])


def _towards(
    size: NDArray[np.float64], goal: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Logarithm of the growth of sides on part of the way to a goal.

    The squares of the sides change evenly, as those of an ellipsoid do at least:
    towards its end an object shrinks late, and from its end it grows at once.
    """
    squares = (1 - share) * size**2 + share * goal**2
    growth: NDArray[np.float64] = np.log(squares / size**2) / 2
    return growth


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    middle: NDArray[np.float64] = (box[:2] + box[2:]) / 2
    return middle


def box_size(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sides in pixels; a box runs through the centres of its outermost ones."""
    sides: NDArray[np.float64] = box[2:] - box[:2] + 1
    return sides
