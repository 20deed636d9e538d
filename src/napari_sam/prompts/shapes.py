"""Drawn outlines as masks and points of a plane, and labels as outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDING = 1e-9
# Points sampled along a line or path.
_POINTS_ON_PATH = 5

Crop = tuple[tuple[int, int], "NDArray[np.bool_]"]


def box_around(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(row_min, col_min, row_max, col_max) of (N, 2) vertices."""
    return np.concatenate([vertices.min(axis=0), vertices.max(axis=0)])


def points_along(
    vertices: NDArray[np.float64], count: int = _POINTS_ON_PATH
) -> NDArray[np.float64]:
    """Points at equal distances along a path of (N, 2) vertices, both ends included."""
    steps = np.r_[0, np.linalg.norm(np.diff(vertices, axis=0), axis=1).cumsum()]
    along = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(along, steps, vertices[:, a]) for a in (0, 1)], axis=1)


def polygon_mask(vertices: NDArray[np.float64], shape: tuple[int, int]) -> Crop | None:
    """Pixels whose centres lie inside a polygon.

    Parameters
    ----------
    vertices : ndarray
        (N, 2) as (row, col).
    shape : tuple of int
        (H, W) of the plane.

    Returns
    -------
    tuple or None
        Origin (row, col) and (h, w) bool mask of the crop around the polygon;
        None when no pixel of the plane lies inside.
    """
    from skimage.draw import polygon2mask

    crop = _crop(vertices, shape)
    if crop is None:
        return None
    origin, size = crop
    mask: NDArray[np.bool_] = polygon2mask(size, vertices - origin)
    return (origin, mask) if mask.any() else None


def ellipse_mask(corners: NDArray[np.float64], shape: tuple[int, int]) -> Crop | None:
    """Pixels whose centres lie inside the ellipse that touches a parallelogram's sides.

    Parameters
    ----------
    corners : ndarray
        (4, 2) as (row, col), in turn around the parallelogram.
    shape : tuple of int
        (H, W) of the plane.

    Returns
    -------
    tuple or None
        As `polygon_mask`.
    """
    crop = _crop(corners, shape)
    half = np.stack([corners[1] - corners[0], corners[3] - corners[0]], axis=1) / 2
    if crop is None or abs(np.linalg.det(half)) == 0:
        return None
    origin, size = crop
    centres = np.moveaxis(np.indices(size), 0, -1) + origin - corners.mean(axis=0)
    unit = centres @ np.linalg.inv(half).T
    mask: NDArray[np.bool_] = (unit**2).sum(axis=-1) <= 1 + _ROUNDING
    return (origin, mask) if mask.any() else None


def _crop(
    vertices: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Origin and size of the part of the plane that holds the vertices."""
    low = np.clip(np.floor(vertices.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(vertices.max(axis=0)) + 1, 0, shape).astype(int)
    if (low >= high).any():
        return None
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def shape_prompt(
    vertices: NDArray[np.float64], kind: str, shape: tuple[int, int]
) -> Prompt:
    """Lines and paths give points along them, closed shapes their box.

    Ellipses and polygons give their inside as a mask as well, for models that
    know masks.

    Parameters
    ----------
    vertices : ndarray
        (N, 2) as (row, col) on the plane.
    kind : str
        As napari names shapes.
    shape : tuple of int
        (H, W) of the plane, that masks are cut to.
    """
    if kind in ("line", "path"):
        return Prompt(points=points_along(vertices))
    crop = None
    if kind == "ellipse" and len(vertices) == 4:
        crop = ellipse_mask(vertices, shape)
    elif kind == "polygon":
        crop = polygon_mask(vertices, shape)
    if crop is None:
        return Prompt(box=box_around(vertices))
    origin, mask = crop
    return Prompt(box=box_around(vertices), mask=mask, mask_origin=origin)
