"""Coordinates of prompts in the forms that scripts have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.arrays import as_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = "(row, col) of each point"
_BOX = "(row_min, col_min, row_max, col_max), or the vertices of a shape"


def as_points(points: Any) -> NDArray[np.float64]:
    """Return points as (N, 2) or (K, N, 2) float; a bare (row, col) is one point.

    Raises
    ------
    TypeError, ValueError
        When they are no numbers, or not two for each point.
    """
    array = as_numbers(points, "points", _POINTS)
    if not array.size:
        return np.empty((0, 2))
    if array.shape == (2,):
        array = array[None]
    if array.ndim not in (2, 3) or array.shape[-1] != 2:
        raise ValueError(
            f"Points have shape {array.shape}: give (N, 2) rows and columns of one "
            "plane; of points in a stack, the last two columns."
        )
    return array


def as_labels(labels: Any) -> NDArray[np.float64]:
    """Return labels of points as (N,) or (K, N) float; a bare number is one label.

    Raises
    ------
    TypeError, ValueError
        When they are no numbers.
    """
    return np.atleast_1d(as_numbers(labels, "labels", "1 (object) or 0 for each point"))


def as_box(box: Any, name: str = "The box") -> NDArray[np.float64]:
    """Return a box as (4,) float.

    Parameters
    ----------
    box : array-like
        (4,) as (row_min, col_min, row_max, col_max), or (V, n) vertices of a shape,
        as in the `data` of a Shapes layer, in the last two columns (row, col).
    name : str
        Its name in the error message.

    Raises
    ------
    TypeError, ValueError
        When it is neither, or the vertices are not on one plane.
    """
    array = as_numbers(box, name, _BOX)
    if array.ndim != 2 or len(array) < 2 or array.shape[1] < 2:
        if array.shape != (4,):
            raise ValueError(f"{name} has shape {array.shape}: give {_BOX}.")
        return array
    if (array[:, :-2] != array[0, :-2]).any():
        raise ValueError(
            f"{name} has vertices on several planes: give the shapes of one plane."
        )
    return np.concatenate([array[:, -2:].min(axis=0), array[:, -2:].max(axis=0)])


def as_boxes(boxes: Any) -> list[NDArray[np.float64]]:
    """Return boxes, each as (4,) float.

    Parameters
    ----------
    boxes : array-like
        (4,) or (K, 4); or the vertices of one shape, (V, 2) or (V, 3), or a list of
        those of several shapes, as the `data` of a Shapes layer.

    Raises
    ------
    TypeError, ValueError
        When they are no boxes, or lie on several planes.
    """
    is_list = isinstance(boxes, list | tuple)
    if is_list and any(hasattr(item, "ndim") and item.ndim == 2 for item in boxes):
        return _of_shapes(list(boxes))
    try:
        array = as_numbers(boxes, "boxes", _BOX)
    except ValueError:
        if not is_list:
            raise
        return _of_shapes(list(boxes))
    if not array.size:
        return []
    if array.ndim == 3:
        return _of_shapes(list(array))
    if array.ndim == 2 and array.shape[1] == 4:
        return list(array)
    return [as_box(array)]


def _of_shapes(shapes: list[Any]) -> list[NDArray[np.float64]]:
    """Return the boxes of shapes, or of boxes, which must lie on one plane."""
    boxes = [as_box(shape, f"boxes[{i}]") for i, shape in enumerate(shapes)]
    planes = {
        tuple(np.asarray(shape, float)[0, :-2].tolist())
        for shape in shapes
        if np.ndim(shape) == 2
    }
    if len(planes) > 1:
        raise ValueError(
            f"The boxes are shapes on {len(planes)} planes: give those of one plane."
        )
    return boxes
