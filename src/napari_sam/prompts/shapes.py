"""Conversion of napari shapes to prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.prompts.prompt import Prompt, check_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As named by napari. Paths are open even where napari draws them filled.
_CLOSED, _OPEN = ("rectangle", "ellipse", "polygon"), ("line", "path")
SHAPE_TYPES = (*_CLOSED, *_OPEN)

_POINTS_PER_PATH = 5
_TOLERANCE = 1e-9

# Origin (row, col) and (h, w) bool mask.
_MaskCrop = tuple[tuple[int, int], "NDArray[np.bool_]"]


def shape_prompt(
    vertices: NDArray[np.float64], shape_type: str, plane_shape: tuple[int, int]
) -> Prompt:
    """Convert a shape to a prompt.

    Lines and paths become points along them, closed shapes their bounding box.
    Ellipses and polygons also have their interior as a mask, for models that take
    masks.

    Parameters
    ----------
    vertices : ndarray
        (N, 2) as (row, col) on the plane.
    shape_type : str
        As named by napari.
    plane_shape : tuple of int
        (H, W) of the plane, to which masks are cropped.

    Raises
    ------
    ValueError
        When a vertex is not finite, or further away than the size of any image.
    """
    check_positions(vertices, f"The {shape_type}")
    if shape_type in _OPEN:
        return Prompt(points=points_along(vertices))
    crop = None
    if shape_type == "ellipse" and len(vertices) == 4:
        crop = ellipse_mask(vertices, plane_shape)
    elif shape_type == "polygon":
        crop = polygon_mask(vertices, plane_shape)
    if crop is None:
        return Prompt(box=bounding_box(vertices))
    origin, mask = crop
    return Prompt(box=bounding_box(vertices), mask=mask, mask_origin=origin)


def bounding_box(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (row_min, col_min, row_max, col_max) of (N, 2) vertices."""
    return np.concatenate([vertices.min(axis=0), vertices.max(axis=0)])


def points_along(
    vertices: NDArray[np.float64], count: int = _POINTS_PER_PATH
) -> NDArray[np.float64]:
    """Sample points at equal distances along a path of (N, 2) vertices, with ends."""
    steps = np.r_[0, np.linalg.norm(np.diff(vertices, axis=0), axis=1).cumsum()]
    distances = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(distances, steps, vertices[:, a]) for a in (0, 1)], 1)


def polygon_mask(
    vertices: NDArray[np.float64], plane_shape: tuple[int, int]
) -> _MaskCrop | None:
    """Rasterize a polygon: pixels with their centre inside.

    Parameters
    ----------
    vertices : ndarray
        (N, 2) as (row, col).
    plane_shape : tuple of int
        (H, W) of the plane.

    Returns
    -------
    tuple or None
        Origin (row, col) and (h, w) bool mask of the crop around the polygon; None
        when no pixel of the plane lies inside.
    """
    from skimage.draw import polygon2mask

    crop = _crop(vertices, plane_shape)
    if crop is None:
        return None
    origin, shape = crop
    mask: NDArray[np.bool_] = polygon2mask(shape, vertices - origin)
    return (origin, mask) if mask.any() else None


def ellipse_mask(
    corners: NDArray[np.float64], plane_shape: tuple[int, int]
) -> _MaskCrop | None:
    """Rasterize an ellipse, given by the parallelogram that encloses it.

    Parameters
    ----------
    corners : ndarray
        (4, 2) as (row, col), in turn around the parallelogram.
    plane_shape : tuple of int
        (H, W) of the plane.

    Returns
    -------
    tuple or None
        As from `polygon_mask`.
    """
    crop = _crop(corners, plane_shape)
    half_sides = np.stack([corners[1] - corners[0], corners[3] - corners[0]], 1) / 2
    if crop is None or np.linalg.det(half_sides) == 0:
        return None
    origin, shape = crop
    centres = np.moveaxis(np.indices(shape), 0, -1) + origin - corners.mean(axis=0)
    # In these coordinates the ellipse is the unit circle.
    unit = centres @ np.linalg.inv(half_sides).T
    mask: NDArray[np.bool_] = (unit**2).sum(axis=-1) <= 1 + _TOLERANCE
    return (origin, mask) if mask.any() else None


def _crop(
    vertices: NDArray[np.float64], plane_shape: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return origin and shape of the part of the plane around the vertices."""
    low = np.clip(np.floor(vertices.min(axis=0)), 0, plane_shape).astype(int)
    high = np.clip(np.ceil(vertices.max(axis=0)) + 1, 0, plane_shape).astype(int)
    if (low >= high).any():
        return None
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))
