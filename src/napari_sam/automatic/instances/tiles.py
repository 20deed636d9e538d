"""Tiles: overlapping windows that cover a plane, and maps blended from theirs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

# Overlap of neighbouring windows, as a fraction of their side.
_OVERLAP = 0.25
# Part of a window next to its inner edges that is not used, where the network does not
# see what comes after.
_UNUSED = 1 / 32
# Places of windows in results that are kept: two axes of some hundred windows.
_KEPT_AXES = 512


@dataclass(frozen=True, slots=True)
class Tiles:
    """Windows of one size that cover a plane, or a part of it.

    Parameters
    ----------
    plane_shape : tuple of int
        (H, W) of the plane.
    side : int
        Side of the windows in pixels of the plane. That of `Window.around` or
        a larger one stands for that window.
    area : Window
        What they cover.
    """

    plane_shape: tuple[int, int]
    side: int
    area: Window

    @property
    def windows(self) -> list[Window | None]:
        """The windows, row by row; None stands for the whole plane."""
        around = Window.around(self.plane_shape)
        if self.side >= around.side:
            return [around]
        height, width = (min(self.side, size) for size in self.plane_shape)
        if (height, width) == self.plane_shape:
            return [None]
        rows, cols = self._starts
        return [Window(row, col, height, width) for row in rows for col in cols]

    def place(self, window: Window | None) -> Window:
        """Return where one of the windows lies; None stands for the whole plane."""
        return Window(0, 0, *self.plane_shape) if window is None else window

    def scale(self, input_size: int) -> float:
        """Return the pixels of the maps of the windows over those of the plane."""
        return min(1.0, input_size / self.place(self.windows[0]).side)

    @property
    def _starts(self) -> tuple[list[int], list[int]]:
        low, shape = self.area.origin, self.area.shape
        rows, cols = (
            _starts(low[axis], shape[axis], self.plane_shape[axis], self.side)
            for axis in (0, 1)
        )
        return rows, cols

    def meeting(self, area: Window) -> list[Window | None]:
        """Return the windows that share pixels with an area."""
        return [w for w in self.windows if w is None or _meet(w, area)]


def _starts(low: int, length: int, size: int, side: int) -> list[int]:
    """Return evenly spaced first pixels of windows along an axis of `size` pixels."""
    if side >= size:
        return [0]
    first = min(low, size - side)
    last = max(min(low + length - side, size - side), first)
    count = ceil((last - first) / (side * (1 - _OVERLAP))) + 1
    return [round(first + i * (last - first) / max(count - 1, 1)) for i in range(count)]


def blocks_of(
    area: Window, side: int, margin: int, scale: float
) -> Iterator[tuple[Window, Window]]:
    """Yield the blocks of an area of the plane, and each with its margin.

    Parameters
    ----------
    area : Window
        The area.
    side, margin : int
        Side of the blocks and their margin in pixels of the maps.
    scale : float
        Pixels of the maps over those of the plane.
    """
    step, around = round(side / scale), round(margin / scale)
    for row in range(0, area.height, step):
        for col in range(0, area.width, step):
            height, width = min(step, area.height - row), min(step, area.width - col)
            owned = Window(area.row + row, area.col + col, height, width)
            low = np.maximum(np.subtract(owned.origin, around), area.origin)
            high = np.minimum(
                np.add(owned.origin, owned.shape) + around,
                np.add(area.origin, area.shape),
            )
            yield owned, Window(*low.tolist(), *(high - low).tolist())


def _meet(one: Window, other: Window) -> bool:
    """Tell whether two windows share pixels."""
    low = np.maximum(one.origin, other.origin)
    high = np.minimum(np.add(one.origin, one.shape), np.add(other.origin, other.shape))
    return bool((low < high).all())


def blend(
    maps: Mapping[Window, NDArray[np.uint8]],
    area: Window,
    plane_shape: tuple[int, int],
    scale: float,
) -> NDArray[np.float32]:
    """Blend the maps of windows, each with less weight towards its inner edges.

    Parameters
    ----------
    maps : mapping
        {window: (3, h, w) uint8}, at any resolution; 255 is 1.
    area : Window
        The part of the plane to compute.
    plane_shape : tuple of int
        (H, W): edges of the plane are no inner edges.
    scale : float
        Pixels of the result over those of the plane, at most 1.

    Returns
    -------
    ndarray
        (3, ceil(h * scale), ceil(w * scale)) float32; 0 where no window is.
    """
    shape = tuple(ceil(size * scale) for size in area.shape)
    total = np.zeros((3, *shape), np.float32)
    weights = np.full(shape, 1e-6, np.float32)
    for window, values in maps.items():
        if not _meet(window, area):
            continue
        axes = [
            _axis(window, area, axis, plane_shape[axis], scale, values.shape[axis + 1])
            for axis in (0, 1)
        ]
        (rows, row_source, row_weight), (cols, col_source, col_weight) = axes
        part = _sample(values, row_source, col_source)
        weight = row_weight[:, None] * col_weight
        total[:, rows, cols] += weight * part
        weights[rows, cols] += weight
    blended: NDArray[np.float32] = total / weights
    return blended


@lru_cache(_KEPT_AXES)
def _axis(
    window: Window, area: Window, axis: int, size: int, scale: float, count: int
) -> tuple[slice, NDArray[np.float64], NDArray[np.float32]]:
    """Return where a window lies in the result along an axis, and its weights.

    The same for all planes of a stack, and kept; not to be changed.

    Returns
    -------
    part : slice
        Pixels of the result.
    source : ndarray
        Their positions in the window's map of `count` pixels.
    weight : ndarray
        Their weights.
    """
    start, side = window.origin[axis], window.shape[axis]
    first, length = area.origin[axis], area.shape[axis]
    centres = (np.arange(ceil(length * scale)) + 0.5) / scale + first
    inside = np.flatnonzero((centres >= start) & (centres < start + side))
    part = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
    at = centres[part] - start
    before = np.full(at.shape, side, float) if start == 0 else at
    after = np.full(at.shape, side, float) if start + side >= size else side - at
    ramp = (np.minimum(before, after) / side - _UNUSED) / (_OVERLAP - _UNUSED)
    weight = np.clip(ramp, 1e-4, 1).astype(np.float32)
    return part, at * count / side - 0.5, weight


def _sample(
    values: NDArray[np.uint8], rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Interpolate (3, h, w) maps at rows and columns, linearly; 255 becomes 1."""
    sampled: NDArray[np.float32] = values.astype(np.float32) / np.float32(255)
    for axis, places in ((1, rows), (2, cols)):
        last = sampled.shape[axis] - 1
        at = np.clip(places, 0, last)
        low = np.minimum(at.astype(int), max(last - 1, 0))
        fraction = (at - low).astype(np.float32)
        fraction = fraction[:, None] if axis == 1 else fraction
        below = np.take(sampled, low, axis) * (1 - fraction)
        sampled = below + np.take(sampled, np.minimum(low + 1, last), axis) * fraction
    return sampled
