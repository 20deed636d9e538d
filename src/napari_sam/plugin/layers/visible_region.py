"""The part of the displayed plane that the canvas shows."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.window import Window
from napari_sam.plugin.layers.transforms import Sliders, world_affine

if TYPE_CHECKING:
    from napari.components import Camera, ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_sam.plugin.layers.transforms import DisplayedPlane


def camera_of(viewer: ViewerModel) -> Camera:
    """Return the camera; since napari 0.9 it belongs to the scene of the viewer."""
    scene: Any = getattr(viewer, "scene", None)
    camera: Camera = viewer.camera if scene is None else scene.camera
    return camera


def screen_pixel(viewer: ViewerModel, layer: Layer) -> float:
    """Return the side of a pixel of the screen, in pixels of a layer."""
    dims = viewer.dims
    displayed = [axis - dims.ndim for axis in dims.displayed]
    axes = [axis for axis in displayed if axis >= -layer.ndim] or [-1]
    linear = world_affine(layer, Sliders.of(dims))[:-1, :-1]
    size = abs(np.linalg.det(linear[np.ix_(axes, axes)])) ** (1 / len(axes))
    return float(1 / (camera_of(viewer).zoom * size))


def visible_window(
    viewer: ViewerModel, image: Image, plane: DisplayedPlane
) -> Window | None:
    """Return the part of the displayed plane of an image that the canvas shows.

    None when there is no canvas, or the plane is out of sight.
    """
    axes = list(plane.axes)
    corners = np.asarray(image.corner_pixels)[:, axes].astype(float)
    if not (corners[1] > corners[0]).all():
        return None
    size = getattr(getattr(viewer, "canvas", None), "size", None)
    if not image.multiscale:
        pass
    elif size is None:
        corners *= np.asarray(image.downsample_factors)[image.data_level, axes]
    else:
        # What napari loaded of a pyramid is larger than what it shows.
        corners = _corners_in_view(viewer, image, plane, size)
    return _clipped(corners, plane.shape)


def _corners_in_view(
    viewer: ViewerModel, image: Image, plane: DisplayedPlane, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the (2, 2) first and last (row, col) of the plane in view of the camera.

    Parameters
    ----------
    size : tuple of int
        Height and width of the canvas.
    """
    camera, dims = camera_of(viewer), viewer.dims
    affine = world_affine(image, Sliders.of(dims))
    half = np.array(size) / (2 * camera.zoom)
    world = np.tile(np.asarray(dims.point, float), (4, 1))
    signs = np.array(list(product((-1, 1), repeat=2)))
    world[:, list(dims.displayed)] = np.array(camera.center[-2:]) + signs * half
    shifted = world[:, dims.ndim - image.ndim :] - affine[:-1, -1]
    data = np.linalg.solve(affine[:-1, :-1], shifted.T).T[:, list(plane.axes)]
    return np.array([data.min(axis=0), data.max(axis=0)])


def _clipped(
    corners: NDArray[np.float64], plane_shape: tuple[int, int]
) -> Window | None:
    """Return the window between two corners, on the plane."""
    first = np.maximum(np.floor(corners[0] + 0.5), 0).astype(int)
    last = np.minimum(np.ceil(corners[1] - 0.5), np.array(plane_shape) - 1).astype(int)
    if (last < first).any():
        return None
    return Window(*map(int, first), *map(int, last - first + 1))
