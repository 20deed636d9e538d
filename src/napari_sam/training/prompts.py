"""Prompts as users give them, drawn at random from the true masks of objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_to_box, mask_to_window
from napari_sam.prompts.prompt import NEGATIVE, POSITIVE, Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.training.options import Start

# Boxes are drawn wider than their object by this share of its side at most, or by
# one pixel: jitter that suits large objects would swallow small ones.
_LARGEST_SHARE = 0.2
# Clicks keep at least this share of the way from the outline to the innermost pixel
# at most: from anywhere inside to nearly the centre.
_DEEPEST = 0.95


def sample_first_prompt(
    truth: NDArray[np.bool_],
    start: Start,
    rng: np.random.Generator,
    *,
    box_jitter: float = 20.0,
) -> Prompt:
    """Draw the first prompt for an object.

    Parameters
    ----------
    truth : ndarray
        (H, W) bool, the object on its plane; not empty.
    start : {"click", "clicks", "box"}
        What is given: a click inside, a click inside and one on the background near
        the outline, or a box.
    rng : Generator
        Source of all chance.
    box_jitter : float
        See `jittered_box`.
    """
    if start == "box":
        return Prompt(box=jittered_box(truth, rng, box_jitter))
    inside = Prompt(points=[inside_point(truth, rng)], labels=[POSITIVE])
    if start == "click":
        return inside
    outside = outside_point(truth, rng)
    if outside is None:  # the object fills the plane
        return add_click(inside, inside_point(truth, rng), POSITIVE)
    return add_click(inside, outside, NEGATIVE)


def add_click(prompt: Prompt, point: NDArray[np.float64], label: int) -> Prompt:
    """Add a click, (2,) as (row, col), to a prompt."""
    if prompt.points is None:
        return replace(prompt, points=[point], labels=[label])
    points = np.concatenate([prompt.points, [point]])
    return replace(prompt, points=points, labels=[*prompt.labels, label])


def inside_point(
    truth: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a pixel of a mask, anywhere from its outline to its innermost part.

    Parameters
    ----------
    truth : ndarray
        (H, W) bool, not empty.
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray
        (2,) as (row, col).
    """
    window = mask_to_window(truth)
    assert window is not None, "an empty mask has no pixel to click on"
    return _deep_pixel(truth[window], rng) + _corner(window)


def innermost(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixel farthest from the outline of a mask, (2,) as (row, col)."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(depth.argmax(), depth.shape), float)


def outside_point(
    truth: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Draw a background pixel near a mask, as one excludes a neighbour.

    Returns
    -------
    ndarray or None
        (2,) as (row, col), at most `reach` pixels from the mask; None when the mask
        fills the plane.
    """
    from scipy.ndimage import distance_transform_edt

    window = _widened(truth, reach(truth))
    distance = distance_transform_edt(~truth[window])
    near = np.argwhere((distance > 0) & (distance <= reach(truth)))
    if not len(near):
        return None
    chosen: NDArray[np.float64] = rng.choice(near) + _corner(window)
    return chosen


def reach(truth: NDArray[np.bool_]) -> int:
    """How far from an object its negative clicks lie at most, in pixels."""
    return max(3, round(0.3 * float(np.sqrt(np.count_nonzero(truth)))))


def jittered_box(
    truth: NDArray[np.bool_], rng: np.random.Generator, jitter: float = 20.0
) -> NDArray[np.float64]:
    """Draw a box around a mask, each side further out by a chance of its own.

    Boxes 0 to 20 pixels wide of the object are what MedSAM was trained with (Ma et
    al. 2024, "Segment anything in medical images"), and 10 % of the side, 20 pixels
    at most, what SAM was (Kirillov et al. 2023, appendix A).

    Parameters
    ----------
    truth : ndarray
        (H, W) bool, not empty.
    rng : Generator
        Source of chance.
    jitter : float
        Most pixels that a side lies outside of the tight box; small objects get a
        fifth of their side, at least a pixel.

    Returns
    -------
    ndarray
        (row_min, col_min, row_max, col_max), within the plane.
    """
    tight = mask_to_box(truth)
    assert tight is not None, "an empty mask has no box"
    sides = np.tile(tight[2:] - tight[:2] + 1, 2)
    limit = np.minimum(jitter, np.maximum(1, _LARGEST_SHARE * sides))
    moved = tight + rng.uniform(0, 1, 4) * limit * [-1, -1, 1, 1]
    last = np.subtract(truth.shape, 1)
    box: NDArray[np.float64] = np.clip(moved, 0, np.tile(last, 2))
    return box


def sample_error_click(
    truth: NDArray[np.bool_], answer: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Click where a mask is wrong, more likely in the middle of a large mistake.

    Parameters
    ----------
    truth, answer : ndarray
        (H, W) bool; `truth` is not empty.
    rng : Generator
        Source of chance.

    Returns
    -------
    point : ndarray
        (2,) as (row, col).
    label : int
        1 where something is missing, 0 where there is too much. Where nothing is
        wrong, a click inside the object.
    """
    wrong = truth ^ answer
    window = mask_to_window(wrong)
    if window is None:
        return inside_point(truth, rng), POSITIVE
    point = _deep_pixel(wrong[window], rng) + _corner(window)
    row, col = point.astype(int)
    return point, POSITIVE if truth[row, col] else NEGATIVE


def _deep_pixel(
    region: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Pixel whose distance from the outline is at least a random share of the most."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    deep = depth >= rng.uniform(0, _DEEPEST) * depth.max()
    chosen: NDArray[np.float64] = rng.choice(np.argwhere(deep & region)).astype(float)
    return chosen


def _widened(truth: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Window of a mask, wider on all sides, within the plane."""
    window = mask_to_window(truth)
    assert window is not None, "an empty mask has no window"
    rows, cols = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(window, truth.shape, strict=True)
    )
    return rows, cols


def _corner(window: tuple[slice, slice]) -> NDArray[np.float64]:
    return np.array([side.start for side in window], float)
