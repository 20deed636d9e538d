"""While the user looks, the part of the plane is encoded that a click would need."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.images.window import Window
from napari_sam.plugin.background.prefetch import windows_ahead
from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.widget import SamWidget
from napari_sam.prediction.zoom.options import ZoomHints
from tests.helpers.sessions import press
from tests.plugin.test_zoom import DiscOfWindow

LONG = 20_000
PLANE = 2048, 2048
VIEW = Window(600, 700, 200, 250)


@pytest.fixture
def widget(qtbot: Any) -> Iterator[SamWidget]:
    viewer = ViewerModel()
    viewer.add_image(np.full((512, 512), 100, np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    widget.session.model = DiscOfWindow()
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def test_the_window_around_the_view_is_encoded_ahead() -> None:
    (window,) = windows_ahead(PLANE, DiscOfWindow(), "auto", ZoomHints(visible=VIEW))
    assert window is not None
    assert window.side == 256
    assert window.holds([[700, 825]]).all()


@pytest.mark.parametrize(
    ("zoom", "hints", "expected"),
    [
        ("auto", ZoomHints(), [None]),
        ("off", ZoomHints(visible=VIEW), [None]),
        ("auto", ZoomHints(visible=Window(0, 0, 2048, 2048)), [None]),
        ("auto", ZoomHints(20, Window(0, 0, 2048, 2048)), []),
    ],
    ids=["no canvas", "off", "all in view", "small objects in a large view"],
)
def test_the_plane_or_nothing_is_encoded(
    zoom: Any, hints: ZoomHints, expected: list[Any]
) -> None:
    assert windows_ahead(PLANE, DiscOfWindow(), zoom, hints) == expected


def test_objects_of_known_size_decide() -> None:
    windows = windows_ahead(PLANE, DiscOfWindow(), "auto", ZoomHints(30, VIEW))
    # For objects of that size, and for larger ones.
    assert [window and window.side for window in windows] == [256, 1024]


def encoded(widget: SamWidget) -> list[tuple[int, ...]]:
    return [pixels.shape for pixels in widget.session.load().embedded]  # type: ignore[attr-defined]


def look(widget: SamWidget) -> None:
    session = widget.session
    image = session.settings.require_image()
    image.corner_pixels = np.array([[40, 50], [140, 160]])
    camera_of(session.viewer).center = (0, 90, 105)


def test_a_camera_that_came_to_rest_starts_it(widget: SamWidget, qtbot: Any) -> None:
    session = widget.session
    session.points_layer.add((200, 230))  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: session.result is not None, timeout=LONG)
    result, before = session.result, len(encoded(widget))
    look(widget)
    qtbot.waitUntil(lambda: len(encoded(widget)) > before, timeout=LONG)
    assert encoded(widget)[before:] == [(128, 128)]
    qtbot.wait(100)
    assert session.result is result  # the outline stays where it was


def test_start_encodes_what_is_displayed(widget: SamWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: len(encoded(widget)) == 1, timeout=LONG)


def test_a_closed_widget_leaves_the_camera_alone(widget: SamWidget, qtbot: Any) -> None:
    session = widget.session
    session.points_layer.add((200, 230))  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: session.result is not None, timeout=LONG)
    before = len(encoded(widget))
    widget.disconnect_viewer()
    look(widget)
    qtbot.wait(700)
    assert len(encoded(widget)) == before
