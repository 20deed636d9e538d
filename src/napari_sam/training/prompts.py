"""Prompts sampled from the true masks of objects, as users would give them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_to_box, mask_to_window
from napari_sam.prompts.prompt import NEGATIVE, POSITIVE, Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.training.options import Start

# Largest jitter as a fraction of the object's side, but at least one pixel: jitter
# for large objects is too much for small ones.
_MAX_JITTER_FRACTION = 0.2
# Clicks keep a random minimum distance from the outline, at most this fraction of the
# distance of the innermost pixel.
_MAX_DEPTH_FRACTION = 0.95


def sample_first_prompt(
    truth: NDArray[np.bool_],
    start: Start,
    rng: np.random.Generator,
    *,
    box_jitter: float = 20.0,
) -> Prompt:
    """Sample the first prompt of an object.

    Parameters
    ----------
    truth : ndarray
        (H, W) bool, the mask of the object; not empty.
    start : {"click", "clicks", "box"}
        A positive click, a positive and a negative click, or a box.
    rng : Generator
        Random numbers.
    box_jitter : float
        See `sample_box`.
    """
    if start == "box":
        return Prompt(box=sample_box(truth, rng, box_jitter))
    prompt = Prompt(points=[sample_inside_point(truth, rng)], labels=[POSITIVE])
    if start == "click":
        return prompt
    outside = sample_outside_point(truth, rng)
    if outside is None:  # the object fills the plane
        return add_click(prompt, sample_inside_point(truth, rng), POSITIVE)
    return add_click(prompt, outside, NEGATIVE)


def add_click(prompt: Prompt, point: NDArray[np.float64], label: int) -> Prompt:
    """Add a click, (2,) as (row, col), to a prompt."""
    if prompt.points is None:
        return replace(prompt, points=[point], labels=[label])
    points = np.concatenate([prompt.points, [point]])
    return replace(prompt, points=points, labels=[*prompt.labels, label])


def sample_inside_point(
    truth: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sample a pixel of a mask, anywhere between its outline and its centre.

    Parameters
    ----------
    truth : ndarray
        (H, W) bool, not empty.
    rng : Generator
        Random numbers.

    Returns
    -------
    ndarray
        (2,) as (row, col).
    """
    window = mask_to_window(truth)
    assert window is not None, "an empty mask has no pixel to click on"
    return _sample_interior(truth[window], rng) + _origin(window)


def sample_outside_point(
    truth: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Sample a background pixel near a mask, as used to exclude a neighbour.

    Returns
    -------
    ndarray or None
        (2,) as (row, col), at most `max_outside_distance` pixels from the mask; None
        when the mask fills the plane.
    """
    from scipy.ndimage import distance_transform_edt

    limit = max_outside_distance(truth)
    window = _expanded_window(truth, limit)
    distance = distance_transform_edt(~truth[window])
    pixels = np.argwhere((distance > 0) & (distance <= limit))
    if not len(pixels):
        return None
    point: NDArray[np.float64] = rng.choice(pixels) + _origin(window)
    return point


def max_outside_distance(truth: NDArray[np.bool_]) -> int:
    """Return the largest distance of negative clicks from an object, in pixels."""
    return max(3, round(0.3 * float(np.sqrt(np.count_nonzero(truth)))))


def sample_box(
    truth: NDArray[np.bool_], rng: np.random.Generator, jitter: float = 20.0
) -> NDArray[np.float64]:
    """Sample a box around a mask, with each side moved outwards at random.

    MedSAM was trained on boxes with a jitter of 0 to 20 pixels (Ma et al. 2024,
    "Segment anything in medical images"), SAM with 10 % of the side, 20 pixels at
    most (Kirillov et al. 2023, appendix A).

    Parameters
    ----------
    truth : ndarray
        (H, W) bool, not empty.
    rng : Generator
        Random numbers.
    jitter : float
        Maximum distance in pixels of a side from the tight box; for small objects a
        fifth of their side, at least one pixel.

    Returns
    -------
    ndarray
        (row_min, col_min, row_max, col_max), within the plane.
    """
    tight = mask_to_box(truth)
    assert tight is not None, "an empty mask has no box"
    sides = np.tile(tight[2:] - tight[:2] + 1, 2)
    limit = np.minimum(jitter, np.maximum(1, _MAX_JITTER_FRACTION * sides))
    moved = tight + rng.uniform(0, 1, 4) * limit * [-1, -1, 1, 1]
    last = np.subtract(truth.shape, 1)
    box: NDArray[np.float64] = np.clip(moved, 0, np.tile(last, 2))
    return box


def sample_error_click(
    truth: NDArray[np.bool_], mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Sample a corrective click where a mask is wrong.

    Parameters
    ----------
    truth, mask : ndarray
        (H, W) bool; `truth` is not empty.
    rng : Generator
        Random numbers.

    Returns
    -------
    point : ndarray
        (2,) as (row, col).
    label : int
        1 where the mask misses a part of the object, 0 where it covers background.
        Without errors, a positive click inside the object.
    """
    error = truth ^ mask
    window = mask_to_window(error)
    if window is None:
        return sample_inside_point(truth, rng), POSITIVE
    point = _sample_interior(error[window], rng) + _origin(window)
    row, col = point.astype(int)
    return point, POSITIVE if truth[row, col] else NEGATIVE


def _sample_interior(
    mask: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sample a pixel at a random minimum distance from the outline of a mask."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    deep = depth >= rng.uniform(0, _MAX_DEPTH_FRACTION) * depth.max()
    point: NDArray[np.float64] = rng.choice(np.argwhere(deep & mask)).astype(float)
    return point


def _expanded_window(truth: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the window of a mask with a margin on all sides, within the plane."""
    window = mask_to_window(truth)
    assert window is not None, "an empty mask has no window"
    rows, cols = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(window, truth.shape, strict=True)
    )
    return rows, cols


def _origin(window: tuple[slice, slice]) -> NDArray[np.float64]:
    return np.array([side.start for side in window], float)
