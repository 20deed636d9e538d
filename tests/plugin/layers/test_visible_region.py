"""The part of the plane that the canvas shows, of plain images and of pyramids."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_sam.images.window import Window
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.layers.visible_region import camera_of, visible_window

SHAPE = 1024, 1536
CENTRE = 400, 900
PLACES: list[dict[str, Any]] = [
    {},
    {"scale": (0.5, 0.25), "translate": (30, -20)},
    {"rotate": 30},
]


def seen(viewer: ViewerModel, image: Image) -> Window | None:
    return visible_window(viewer, image, displayed_plane(image, viewer.dims))


def test_the_region_is_clipped_to_the_plane() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, *SHAPE)), contrast_limits=(0, 1))
    image.corner_pixels = np.array([[0, 10, 900], [0, 60, 1535]])
    assert seen(viewer, image) == Window(10, 900, 51, 636)


def test_an_image_out_of_sight_is_not_visible() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE), contrast_limits=(0, 1))
    image.corner_pixels = np.array([[0, 1535], [900, 1535]])
    assert seen(viewer, image) is None


@pytest.mark.parametrize("place", PLACES, ids=["plain", "scaled", "rotated"])
def test_a_pyramid_shows_the_same_region_as_an_image(
    make_napari_viewer: Any, qtbot: Any, place: dict[str, Any]
) -> None:
    viewer = make_napari_viewer(show=True)
    plane = np.zeros(SHAPE, np.uint8)
    levels = [plane, plane[::2, ::2], plane[::4, ::4]]
    limits = {"contrast_limits": (0, 255), **place}
    image = viewer.add_image(plane, **limits)
    pyramid = viewer.add_image(levels, multiscale=True, **limits)
    camera = camera_of(viewer)
    for zoom in (1, 8, 20, 4):
        camera.center = (0, *image.data_to_world(CENTRE))
        camera.zoom = zoom / image.scale[-1]
        qtbot.wait(200)
        window = seen(viewer, image)
        assert window is not None
        # napari's own figure for the image, which is not a pyramid.
        first, last = np.array(image.corner_pixels)
        assert window == Window(*first, *(last - first + 1))
        if not hasattr(viewer, "canvas"):
            continue  # before 0.9 napari tells no more than what it loaded
        other = seen(viewer, pyramid)
        assert other is not None
        np.testing.assert_allclose(other, window, atol=3)
