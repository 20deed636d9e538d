"""What is left from before is not used on an image that is opened later."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.plugin.layers.prompt_layers import next_is_positive
from napari_sam.plugin.widget import SamWidget
from tests.helpers.sessions import press
from tests.helpers.squares import CENTRES, SHAPE, Squares
from tests.helpers.widgets import type_key

LONG = 20_000


def add_image(viewer: ViewerModel, name: str) -> Any:
    data = np.full(SHAPE, 200, np.uint8)
    return viewer.add_image(data, contrast_limits=(0, 255), name=name)


@pytest.fixture
def widget(qtbot: Any) -> Iterator[SamWidget]:
    viewer = ViewerModel()
    add_image(viewer, "first")
    widget = SamWidget(viewer)
    widget.session.model = Squares()
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def click(widget: SamWidget, number: int) -> None:
    points = widget.session.points_layer
    assert points is not None
    widget.session.viewer.layers.selection.active = points
    points.add(CENTRES[number])


def outlined(widget: SamWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)


def test_prompts_are_not_used_on_an_image_that_is_opened(
    widget: SamWidget, qtbot: Any
) -> None:
    session, viewer = widget.session, widget.session.viewer
    click(widget, 0)
    outlined(widget, qtbot)
    later = add_image(viewer, "later")
    assert session.image_layer is later
    qtbot.waitUntil(lambda: session.pending is None, timeout=LONG)
    qtbot.wait(100)
    assert session.live_request() is None
    assert not widget.preview_layer.is_shown
    # They are there again with their image.
    viewer.layers.selection.active = viewer.layers["first"]
    outlined(widget, qtbot)


def test_new_prompts_are_used_on_it(widget: SamWidget, qtbot: Any) -> None:
    session, viewer = widget.session, widget.session.viewer
    click(widget, 0)
    outlined(widget, qtbot)
    viewer.layers.remove("first")
    add_image(viewer, "later")
    click(widget, 1)
    outlined(widget, qtbot)
    assert session.pending is not None
    assert len(session.pending.request.prompts) == 1
    assert session.pending.image is viewer.layers["later"]


def test_an_opened_image_gets_labels_of_its_own(widget: SamWidget, qtbot: Any) -> None:
    session, viewer = widget.session, widget.session.viewer
    click(widget, 0)
    outlined(widget, qtbot)
    type_key(widget, "W")
    first = session.labels_layer
    assert first is not None
    add_image(viewer, "later")
    assert session.labels_layer is None
    assert widget.panel.labels_layer.layer is None
    press(widget.panel.new_prompts)
    click(widget, 1)
    outlined(widget, qtbot)
    type_key(widget, "W")
    second = session.labels_layer
    assert second not in (None, first)
    viewer.layers.selection.active = viewer.layers["first"]
    assert session.labels_layer is first
    assert widget.panel.labels_layer.layer is first
    viewer.layers.selection.active = viewer.layers["later"]
    assert session.labels_layer is second


def test_the_next_points_on_it_are_on_the_object(widget: SamWidget) -> None:
    type_key(widget, "G")
    points = widget.session.points_layer
    assert points is not None
    assert not next_is_positive(points)
    add_image(widget.session.viewer, "later")
    assert next_is_positive(points)


def test_a_new_panel_takes_prompts_of_its_image_only(
    widget: SamWidget, qtbot: Any
) -> None:
    viewer = widget.session.viewer
    widget.panel.live.value = False
    click(widget, 0)
    widget.disconnect_viewer()
    again = SamWidget(viewer)
    assert again.session.points_layer is widget.session.points_layer
    again.disconnect_viewer()
    add_image(viewer, "later")
    other = SamWidget(viewer)
    assert other.session.points_layer is None
    other.disconnect_viewer()
