"""Edges of boxes stay thin on the screen when the user zooms in."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Shapes

from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import corners, press

LONG = 20_000


@pytest.fixture
def widget(qtbot: Any) -> Iterator[SamWidget]:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((1000, 1000), np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    widget.session.model = BrightPredictor()
    widget.panel.live.value = False
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def boxes(widget: SamWidget) -> Shapes:
    layer = widget.session.shapes_layer
    assert layer is not None
    return layer


def zoom_in(widget: SamWidget, side: int, zoom: float = 5.0) -> None:
    image = widget.session.settings.require_image()
    image.corner_pixels = np.array([[0, 0], [side - 1, side - 1]])
    camera_of(widget.session.viewer).zoom = zoom


def test_boxes_drawn_before_and_after_get_thin_edges(
    widget: SamWidget, qtbot: Any
) -> None:
    layer = boxes(widget)
    layer.add_rectangles(corners((100, 100, 200, 200)))
    assert layer.edge_width == [4]
    zoom_in(widget, 250)
    qtbot.waitUntil(lambda: layer.edge_width == [1], timeout=LONG)
    layer.add_rectangles(corners((10, 10, 20, 20)))
    assert layer.edge_width == [1, 1]
    assert len(layer.data) == 2


def test_a_width_of_the_user_stays(widget: SamWidget, qtbot: Any) -> None:
    layer = boxes(widget)
    layer.current_edge_width = 3
    zoom_in(widget, 250)
    qtbot.wait(400)
    assert layer.current_edge_width == 3


def test_layers_of_the_user_stay(widget: SamWidget) -> None:
    layer = widget.session.viewer.add_shapes(ndim=2, edge_width=7)
    widget.session.shapes_layer = layer
    zoom_in(widget, 250)
    widget._box_lines.fit()
    assert layer.current_edge_width == 7
