"""Windows in which objects of a stack are followed from slice to slice."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_to_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.zoom.grid import WindowGrid
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt

# Range of the side of a window over that of its object; objects of 1/16 to 1/2 of a
# window are segmented well. An object that leaves the range gets another window. The
# range is wide, so that windows do not change to and fro: they start at 7.
_MIN_RATIO, _MAX_RATIO = 4.0, 20.0
# A user who sets the factor wants the window of that side, unless nothing fits in it.
_MIN_SET_RATIO = 1.5
# Distance of an object from the edges of a new window, and of the one it is in, as
# fractions of the side. A mask within 1/20 counts as cut off, see `Window.cuts`.
_NEW_MARGIN, _KEPT_MARGIN = 0.09, 1 / 16
# The same as fraction of the object.
_OBJECT_MARGIN = 3 / 8


@dataclass(frozen=True, slots=True)
class ObjectWindows:
    """Choice of windows for the objects of a stack.

    All windows lie on one grid, so that objects near each other share them. An object
    stays in its window until it comes close to the edge of it, or changes its size by
    a factor: every change of the window costs another encoding, and a change of the
    scale also changes what the model sees.

    Parameters
    ----------
    grid : WindowGrid
        The windows of a slice.
    zoom : "auto", "off" or float
        See `napari_sam.prediction.zoom.choice.choose_windows`.
    """

    grid: WindowGrid
    zoom: Zoom

    @property
    def can_zoom(self) -> bool:
        """Whether there are windows other than the whole plane."""
        return self.zoom != "off" and bool(self.grid.sides)

    def side_for(self, size: float) -> int | None:
        """Return the side of the windows of an object; None for the whole plane.

        Parameters
        ----------
        size : float
            Its longer side on the slices where it is known, in pixels.
        """
        if self.zoom == "off":
            return None
        if self.zoom == "auto":
            return self.grid.side_for(size)
        longest = max(self.grid.plane_shape)
        side = max(round(longest / self.zoom), ceil(size))
        return side if side < longest else None

    def side_on_slice(self, size: float, largest: float) -> int | None:
        """Return the side for a prompted slice, that of the whole object if possible.

        Parameters
        ----------
        size : float
            Longer side of the object on this slice.
        largest : float
            The same where the object is largest. At its scale, a slice on which the
            object is very small would not be seen.
        """
        side = self.side_for(largest)
        length = max(self.grid.plane_shape) if side is None else side
        if self.zoom == "auto" and length > _MAX_RATIO * size:
            return self.side_for(size)
        return side

    def around(self, box: NDArray[np.float64], side: int | None) -> Window | None:
        """Return the window of a side around the box of an object."""
        if side is None:
            return None
        size = box_length(box)
        # `around_object` keeps a distance of 3/8 of what it is given.
        wanted = max(_NEW_MARGIN * side, _OBJECT_MARGIN * size)
        added = (wanted - _OBJECT_MARGIN * size) / (1 + 2 * _OBJECT_MARGIN)
        low, high = box[:2] - added, box[2:] + added
        return self.grid.around_object(low, high, side)

    def follow(
        self, box: NDArray[np.float64], side: int | None, last: Window | None
    ) -> Window | None:
        """Return the window for the next slice of an object.

        Parameters
        ----------
        box : ndarray
            (4,) box of the object as it is expected there.
        side : int or None
            Side of its windows so far; objects on the whole plane stay on it.
        last : Window, optional
            The window in which it was found last.
        """
        if side is None:
            return None
        fitting = self._fitting_side(box_length(box), side)
        if last is not None and fitting == last.side and self._keeps(last, box):
            return last
        return self.around(box, fitting)

    def beyond(self, box: NDArray[np.float64], window: Window) -> Window | None:
        """Return the window for a mask that its window cuts.

        One of the same side around the mask, where that does not cut it; otherwise of
        the next side.
        """
        side = window.side
        moved = self.around(box, side)
        if (
            moved is not None
            and moved != window
            and box_length(box) * self._min_ratio <= side
            and not moved.cuts(box, self.grid.plane_shape)
        ):
            return moved
        return self.around(box, self.grid.at_least(side + 1))

    @property
    def _min_ratio(self) -> float:
        return _MIN_RATIO if self.zoom == "auto" else _MIN_SET_RATIO

    def _fitting_side(self, size: float, side: int) -> int | None:
        """Return the side, or another one where the object has outgrown it."""
        if side < self._min_ratio * size:
            return self.grid.at_least(max(side + 1, self._min_ratio * size))
        if self.zoom == "auto" and side > _MAX_RATIO * size:
            smaller = self.grid.side_for(size)
            return side if smaller is None else min(side, smaller)
        return side

    def _keeps(self, window: Window, box: NDArray[np.float64]) -> bool:
        """Tell whether a window holds a box at a distance from its edges."""
        margin = max(_KEPT_MARGIN * window.side, _OBJECT_MARGIN * box_length(box))
        last = np.subtract(self.grid.plane_shape, 1)
        low = np.maximum(box[:2] - margin, 0)
        high = np.minimum(box[2:] + margin, last)
        stop = np.add(window.origin, window.shape) - 1
        return bool((low >= window.origin).all() and (high <= stop).all())


def box_length(box: NDArray[np.float64]) -> float:
    """Return the longer side of a (4,) box, in pixels."""
    return float((box[2:] - box[:2]).max()) + 1


def prompt_size(prompt: Prompt) -> float | None:
    """Return the longer side of what a prompt shows of its object; None for clicks."""
    if prompt.box is not None:
        return box_length(prompt.box)
    if prompt.mask is None or prompt.mask.dtype != bool:
        return None
    box = mask_to_box(prompt.mask)
    return None if box is None else box_length(box)
