"""Grid of windows: their sizes, and positions that neighbouring objects share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.window import Window

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.prediction.protocol import PredictorLike

# Sides of windows are the smallest one times powers of this: neighbours of somewhat
# different size share windows, and these fall on whole pixels of pyramid levels.
_FACTOR = 2
# A window above this fraction of the plane's longer side gains nothing: the plane.
_WHOLE_FRACTION = 0.6
# Side of a window over that of its object. From 6 to 16 the masks are equally good
# (docs/zoom.md); towards 7 neighbours can share a window.
_OBJECT_RATIO = 7.0
# In the smallest window, objects are tiny above this ratio.
_TINY_RATIO = 10.0
# Windows lie at multiples of this fraction of their side, if possible at multiples of
# `_BOX_STRIDE` or `_CLICK_STRIDE` of it, which objects next to each other share.
_STEPS_PER_SIDE = 4
_BOX_STRIDE, _CLICK_STRIDE = 3, 2
# Distance of an object from the edges of its window, as a fraction of its size, and of
# a click as a fraction of the window's side.
_BOX_MARGIN, _CLICK_MARGIN = 3 / 8, 1 / 4


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of a plane. None stands for the whole plane.

    Parameters
    ----------
    plane_shape : tuple of int
        (H, W) of the plane.
    smallest : int
        Side of the smallest window.
    smallest_for_clicks : int, optional
        Side of the window for clicks on objects that are tiny in the smallest one.
    """

    plane_shape: tuple[int, int]
    smallest: int
    smallest_for_clicks: int | None = None

    @classmethod
    def of(cls, predictor: PredictorLike, plane_shape: tuple[int, int]) -> Self:
        """Return the windows of a plane for a model."""
        smallest = predictor.smallest_window
        return cls(plane_shape, smallest, predictor.smallest_click_window)

    def side_for_click(self, size: float) -> int | None:
        """Return the side of the window for a click on an object of this size."""
        side, tiny = self.side_for(size), self.smallest_for_clicks
        is_tiny = side == self.smallest and _TINY_RATIO * size < self.smallest
        return tiny if is_tiny and tiny is not None else side

    @property
    def sides(self) -> list[int]:
        """Sides of the windows, ascending; without the plane itself."""
        sides: list[int] = []
        side = self.smallest
        while side < _WHOLE_FRACTION * max(self.plane_shape):
            sides.append(side)
            side *= _FACTOR
        return sides

    def side_for(self, size: float) -> int | None:
        """Return the side of the window for an object of this size in pixels."""
        return self.at_least(_OBJECT_RATIO * size)

    def at_least(self, length: float) -> int | None:
        """Return the smallest side that is not below a length."""
        return next((side for side in self.sides if side >= length), None)

    def around_object(
        self, low: NDArray[np.float64], high: NDArray[np.float64], side: int | None
    ) -> Window | None:
        """Return the window around an object, with space on all sides.

        Parameters
        ----------
        low, high : ndarray
            (2,) first and last (row, col) of the object.
        side : int or None
            Side of the window.
        """
        margin = _BOX_MARGIN * float((high - low).max() + 1)
        return self._window(low, high, side, margin, _BOX_STRIDE)

    def around_points(
        self, low: NDArray[np.float64], high: NDArray[np.float64], side: int | None
    ) -> Window | None:
        """Return the window around points of an object of unknown size."""
        margin = 0.0 if side is None else _CLICK_MARGIN * side
        return self._window(low, high, side, margin, _CLICK_STRIDE)

    def _window(
        self,
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        side: int | None,
        margin: float,
        stride: int,
    ) -> Window | None:
        if side is None:
            return None
        row, col = (
            _start(low[axis], high[axis], size, side, margin, stride)
            for axis, size in enumerate(self.plane_shape)
        )
        height, width = (min(side, size) for size in self.plane_shape)
        return Window(row, col, height, width)


def _start(
    low: float, high: float, size: int, side: int, margin: float, stride: int
) -> int:
    """Return the first pixel of a window along one axis of `size` pixels."""
    last = size - side
    if last <= 0:
        return 0
    step = max(1, side // _STEPS_PER_SIDE)
    centred = (low + high) / 2 - (side - 1) / 2
    first = int(np.clip(centred - side, 0, last)) // step
    # The end of the axis is a position as well, whatever its number.
    starts = [k * step for k in range(first, last // step + 1)][: 3 * _STEPS_PER_SIDE]
    starts = [*starts, last]
    needed = max(low - margin, 0), min(high + margin, size - 1)
    fitting = [s for s in starts if s <= needed[0] and needed[1] <= s + side - 1]
    shared = [s for s in fitting if s == last or (s // step) % stride == 0]
    return min(shared or fitting or starts, key=lambda s: (abs(s - centred), s))
