"""Choice of windows: where to look for the object that a prompt means."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_to_box

if TYPE_CHECKING:
    from napari_sam.images.window import Window
    from napari_sam.prediction.zoom.grid import WindowGrid
    from napari_sam.prediction.zoom.options import Zoom, ZoomHints
    from napari_sam.prompts.prompt import Prompt

# Windows that a click is tried in, and the largest factor from the smallest to the top
# one for which one less is enough: objects of 1/16 to 1/2 of a window are segmented
# well. In planes of more than 8,000 pixels sizes may fall between the windows; then the
# answer is asked once more in the window that fits it.
_MAX_WINDOWS, _MAX_FACTOR_OF_TWO = 3, 4.5
# Sides between two powers of two take the nearer one.
_ROUND_DOWN = 0.7
# An object of known size is looked for in a window of its size and one for objects of
# this many times the size.
_OTHER_SIZE = 4.0


def choose_windows(
    prompt: Prompt, grid: WindowGrid, zoom: Zoom, hints: ZoomHints
) -> tuple[Window | None, ...]:
    """Choose the windows of a plane in which to look for the object of a prompt.

    A box or a mask gives the size of the object, so one window is enough. A click does
    not: windows of several sizes around it are tried, and the best answer counts.

    Parameters
    ----------
    prompt : Prompt
        In pixels of the plane.
    grid : WindowGrid
        The windows of the plane.
    zoom : "auto", "off" or float
        With "auto" windows fit the object; a factor is the side of the plane over that
        of the window.
    hints : ZoomHints
        What is known about objects of clicks.

    Returns
    -------
    tuple of Window or None
        None stands for the whole plane.
    """
    if zoom == "off" or not prompt.kinds:
        return (None,)
    corners = _corners(prompt)
    if corners is None:
        return (None,)
    low, high = corners
    if zoom != "auto":
        side = max(round(max(grid.plane_shape) / zoom), ceil((high - low).max() + 1))
        window = grid.around_points(low, high, side)
        return (None if window is None or window.shape == grid.plane_shape else window,)
    if prompt.kinds != {"point"}:
        return (grid.around_object(low, high, grid.side_for((high - low).max() + 1)),)
    return click_windows(low, high, grid, hints)


def click_windows(
    low: np.ndarray, high: np.ndarray, grid: WindowGrid, hints: ZoomHints
) -> tuple[Window | None, ...]:
    """Choose windows for points, smallest first.

    Parameters
    ----------
    low, high : ndarray
        (2,) box of the points on the object.
    grid, hints
        See `choose_windows`.
    """
    extent = float((high - low).max() + 1)
    size = hints.object_size
    windows: list[Window | None] = []
    if size is not None:
        size = max(size, extent)
        for factor in (1.0, _OTHER_SIZE):
            half = (size - extent) / 2
            side = grid.side_for(factor * size)
            windows.append(grid.around_object(low - half, high + half, side))
    else:
        for side in _spread_sides(grid, hints.visible):
            if side is None or side >= 2 * extent:
                windows.append(grid.around_points(low, high, side))
    return tuple(dict.fromkeys(windows)) or (None,)


def _spread_sides(grid: WindowGrid, visible: Window | None) -> list[int | None]:
    """Return sides from the smallest window to what is visible, or to the plane."""
    top = None if visible is None else grid.at_least(visible.side)
    largest = max(grid.plane_shape) if top is None else top
    factor = largest / grid.smallest
    if not grid.sides or factor <= 1:
        return [top]
    steps = _MAX_WINDOWS - (2 if factor <= _MAX_FACTOR_OF_TWO else 1)
    inner = [
        grid.at_least(grid.smallest * factor ** (i / steps) * _ROUND_DOWN)
        for i in range(steps)
    ]
    return [*inner, top]


def _corners(prompt: Prompt) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the corners of all that is on the object; None for logits alone."""
    points = [prompt.positives]
    if prompt.box is not None:
        points.append(prompt.box.reshape(2, 2))
    elif prompt.mask is not None and prompt.mask.dtype == bool:
        box = mask_to_box(prompt.mask)
        if box is not None:
            points.append(box.reshape(2, 2) + prompt.mask_origin)
    joined = np.concatenate(points)
    if not len(joined):
        return None
    return joined.min(axis=0), joined.max(axis=0)
