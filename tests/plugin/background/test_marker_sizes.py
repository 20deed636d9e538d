"""Points and edges of boxes keep their size on the screen when the user zooms."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points, Shapes

from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import corners, press

LONG = 20_000
SCALE = 0.5


@pytest.fixture
def widget(qtbot: Any) -> Iterator[SamWidget]:
    viewer = ViewerModel()
    image = np.zeros((1000, 1000), np.uint8)
    viewer.add_image(image, contrast_limits=(0, 255), scale=(SCALE, SCALE))
    widget = SamWidget(viewer)
    widget.session.model = BrightPredictor()
    widget.panel.live.value = False
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def layers(widget: SamWidget) -> tuple[Points, Shapes]:
    session = widget.session
    assert session.points_layer is not None
    assert session.shapes_layer is not None
    return session.points_layer, session.shapes_layer


def zoom(widget: SamWidget, pixels: float) -> None:
    """Show each pixel of the image with this many pixels of the screen."""
    camera_of(widget.session.viewer).zoom = pixels / SCALE


@pytest.mark.parametrize("pixels", [0.1, 4, 40])
def test_markers_drawn_before_and_after_have_one_size_on_the_screen(
    widget: SamWidget, qtbot: Any, pixels: float
) -> None:
    points, shapes = layers(widget)
    shapes.add_rectangles(corners((100, 100, 200, 200)))
    points.add([(100, 100), (150, 150)])
    zoom(widget, pixels)
    width, size = 2 / pixels, 10 / pixels
    qtbot.waitUntil(lambda: shapes.edge_width == [width], timeout=LONG)
    shapes.add_rectangles(corners((10, 10, 20, 20)))
    points.add([(300, 300)])
    assert shapes.edge_width == [width, width]
    np.testing.assert_allclose(np.asarray(points.size), [size] * 3)
    assert points.canvas_size_limits == (10, 10)


def test_sizes_of_the_user_stay(widget: SamWidget, qtbot: Any) -> None:
    points, shapes = layers(widget)
    shapes.current_edge_width = 3
    points.current_size = 7
    zoom(widget, 5)
    qtbot.wait(400)
    assert shapes.current_edge_width == 3
    assert points.current_size == 7


def test_layers_of_the_user_stay(widget: SamWidget) -> None:
    viewer = widget.session.viewer
    shapes = viewer.add_shapes(ndim=2, edge_width=7)
    points = viewer.add_points(ndim=2, size=9)
    widget.session.shapes_layer, widget.session.points_layer = shapes, points
    zoom(widget, 5)
    widget.connected._marker_sizes.fit()
    assert shapes.current_edge_width == 7
    assert points.current_size == 9
