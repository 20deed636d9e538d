"""Planes with numbered objects, and windows around these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.training.data import TrainingImage


@dataclass(frozen=True, eq=False)
class LabelledPlane:
    """A plane with objects that are numbered from 1.

    Parameters
    ----------
    pixels : ndarray
        (H, W) or (H, W, 3) uint8.
    labels : ndarray
        (H, W) int32.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]

    @classmethod
    def of(cls, image: TrainingImage) -> Self:
        """Return a training image with its objects numbered from 1."""
        objects = np.array([0, *image.objects()])
        return cls(image.plane, np.searchsorted(objects, image.labels).astype(np.int32))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.labels.shape
        return height, width

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) box of each object."""
        from scipy import ndimage

        return np.array(
            [
                [*(part.start for part in box), *(part.stop - 1 for part in box)]
                for box in ndimage.find_objects(self.labels)
            ],
            float,
        )

    @cached_property
    def diameter(self) -> float:
        """Median diameter of circles with the areas of the objects, in pixels."""
        areas = np.bincount(self.labels.ravel())[1:]
        return float(2 * np.sqrt(np.median(areas) / np.pi))

    def window_around(
        self, number: int, side: int, place: tuple[float, float] = (0.5, 0.5)
    ) -> Window:
        """Return a window with an object in it.

        Parameters
        ----------
        number : int
            The object.
        side : int
            Side of the window; the plane may be narrower.
        place : tuple of float
            Where the window lies between the last and the first position that show all
            of the object, along both axes: 0 to 1.
        """
        box, corner, shape = self.boxes[number - 1], [], []
        for axis, size in enumerate(self.shape):
            length = min(side, size)
            low, high = sorted((box[axis + 2] + 1 - length, box[axis]))
            start = round(low + place[axis] * (high - low))
            corner.append(int(np.clip(start, 0, size - length)))
            shape.append(length)
        return Window(*corner, *shape)

    def shows(self, window: Window, number: int) -> bool:
        """Tell whether a window shows all of an object."""
        box = self.boxes[number - 1]
        is_inside = window.holds(box.reshape(2, 2)).all()
        return bool(is_inside) and not window.cuts(box, self.shape)

    def covering_windows(
        self, order: Sequence[int], side: int
    ) -> Iterator[tuple[Window, list[int]]]:
        """Yield windows until each object was in one, and the objects new in it.

        Parameters
        ----------
        order : sequence of int
            All objects; each window is around the first that is left.
        side : int
            Side of the windows.
        """
        rest = list(order)
        while rest:
            window = self.window_around(rest[0], side)
            shown = [i for i in rest if i == rest[0] or self.shows(window, i)]
            rest = [i for i in rest if i not in shown]
            yield window, shown
