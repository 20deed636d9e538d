"""Window: a rectangle of a plane that is encoded on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_sam.checks.arrays import as_numbers
from napari_sam.checks.values import describe

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

# An object is cut off when it comes this close to the edge of a window: in pixels, or
# as a fraction of the window's side where that is less.
_EDGE_DISTANCE, _EDGE_FRACTION = 20.0, 0.05


class Window(NamedTuple):
    """A rectangle of a plane, in pixels.

    Parameters
    ----------
    row, col : int
        Its first pixel.
    height, width : int
        Number of rows and columns.
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def origin(self) -> tuple[int, int]:
        """(row, col) of the first pixel."""
        return self.row, self.col

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def side(self) -> int:
        """The longer side."""
        return max(self.height, self.width)

    @classmethod
    def around(cls, plane_shape: tuple[int, int]) -> Self:
        """Return the window of twice the size of a plane, with the plane in its middle.

        See `mirror` for what lies beyond the border.
        """
        height, width = plane_shape
        return cls(-(height // 2), -(width // 2), 2 * height, 2 * width)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the plane."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.col, self.col + self.width),
        )

    def holds(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Tell for (..., 2) points whether they lie in the window."""
        rows_cols = np.asarray(points, float) - self.origin
        inside = (rows_cols >= -0.5) & (rows_cols < np.array(self.shape) - 0.5)
        held: NDArray[np.bool_] = np.asarray(inside.all(axis=-1))
        return held

    def cuts(self, box: NDArray[np.float64], plane_shape: tuple[int, int]) -> bool:
        """Tell whether an object may continue beyond the edges of the window.

        Parameters
        ----------
        box : ndarray
            (4,) box of the object in pixels of the plane.
        plane_shape : tuple of int
            (H, W); no object continues beyond the border of the plane.
        """
        first, size = np.array(self.origin), np.array(self.shape)
        near = np.minimum(_EDGE_DISTANCE, _EDGE_FRACTION * size)
        low = (first > 0) & (box[:2] - first <= near)
        stop = first + size
        high = (stop < np.array(plane_shape)) & (stop - 1 - box[2:] <= near)
        return bool((low | high).any())


def mirror(pixels: NDArray[Any]) -> NDArray[Any]:
    """Continue a plane beyond its border by its mirror image, to `Window.around`.

    Parameters
    ----------
    pixels : ndarray
        (H, W) or (H, W, channels).

    Returns
    -------
    ndarray
        (2 H, 2 W) or (2 H, 2 W, channels).
    """
    sides = [(size // 2, size - size // 2) for size in pixels.shape[:2]]
    mirrored: NDArray[Any] = np.pad(
        pixels, [*sides, *[(0, 0)] * (pixels.ndim - 2)], mode="symmetric"
    )
    return mirrored


def check_window(window: Any, plane_shape: tuple[int, int]) -> Window:
    """Check a window, and convert it.

    Parameters
    ----------
    window : sequence of int
        (row, col, height, width).
    plane_shape : tuple of int
        (H, W) of the plane.

    Raises
    ------
    ValueError
        When it is not four integers, or does not lie on the plane.
    """
    what = "integers (row, col, height, width)"
    values = as_numbers(window, "window", what)
    if values.shape != (4,) or (values % 1).any():
        raise ValueError(f"The window is {describe(window)}: give {what}.")
    checked = Window(*values.astype(int).tolist())
    stops = checked.row + checked.height, checked.col + checked.width
    is_inside = min(checked.origin) >= 0 and (np.array(stops) <= plane_shape).all()
    if min(checked.shape) < 1 or not is_inside:
        raise ValueError(
            f"The window {tuple(checked)} does not lie on the plane of "
            f"{plane_shape[0]} x {plane_shape[1]} pixels: give (row, col, height, "
            "width) of a part of it."
        )
    return checked
