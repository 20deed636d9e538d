"""The panel opens in steps; its keys follow napari's preferences while it is open."""

from collections.abc import Iterator
from typing import Any

import napari.settings
import numpy as np
import pytest

from napari_sam.plugin.preferences import Preferences
from napari_sam.plugin.widget import SamWidget
from tests.helpers.leaks import leftovers
from tests.helpers.squares import SHAPE

pytestmark = pytest.mark.usefixtures("nothing_from_before")

LONG = 60_000


@pytest.fixture
def viewer(make_napari_viewer: Any, qtbot: Any) -> Iterator[Any]:
    viewer = make_napari_viewer()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    yield viewer
    for widget in list(viewer.window.dock_widgets.values()):
        if isinstance(widget, SamWidget):
            viewer.window.remove_dock_widget(widget.native)
    qtbot.wait(1)


def dock(viewer: Any) -> tuple[Any, SamWidget]:
    found: tuple[Any, SamWidget] = viewer.window.add_plugin_dock_widget("napari-sam")
    return found


def keys(viewer: Any) -> set[str]:
    return {str(key) for key in viewer.keymap}


def test_it_opens_by_itself(viewer: Any, qtbot: Any) -> None:
    _, widget = dock(viewer)
    assert not keys(viewer)  # no step was done yet
    opening = widget[0]
    assert opening.value == "Opening ..."
    qtbot.waitUntil(lambda: "W" in keys(viewer), timeout=LONG)
    qtbot.waitUntil(lambda: len(widget) == 1 and widget[0] is not opening)
    assert widget[0] is widget.panel


def test_who_asks_gets_it_at_once(viewer: Any) -> None:
    _, widget = dock(viewer)
    assert widget.session.image_layer is viewer.layers[0]
    assert widget[0] is widget.panel
    assert "W" in keys(viewer)


def test_closed_before_it_was_open(viewer: Any, qtbot: Any) -> None:
    opened, widget = dock(viewer)
    opened.title.close_button.click()
    del opened, widget
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)
    assert not keys(viewer)


@pytest.mark.canvas
def test_hidden_while_it_opens(viewer: Any, qtbot: Any) -> None:
    viewer.window.show()
    opened, widget = dock(viewer)
    qtbot.waitUntil(opened.isVisible)
    opened.setVisible(False)  # as napari's menu entry
    assert widget.panel is widget[0]
    assert not keys(viewer)
    opened.setVisible(True)
    assert "W" in keys(viewer)


@pytest.fixture
def preferences() -> Iterator[Preferences]:
    """Preferences that are as before after the test."""
    preferences = Preferences()
    yield preferences
    preferences.set("keys", "accept", "W")


def test_a_key_changed_in_the_preferences_acts_in_the_open_panel(
    viewer: Any, preferences: Preferences, qtbot: Any
) -> None:
    opened, widget = dock(viewer)
    assert widget.panel.accept.text == "Accept (W)"
    preferences.set("keys", "accept", "H")
    if not hasattr(napari.settings, "get_plugin_settings"):
        # Older than 0.9, napari does not tell of changes.
        viewer.window.remove_dock_widget(opened)
        _, widget = dock(viewer)
    qtbot.waitUntil(lambda: widget.panel.accept.text == "Accept (H)", timeout=LONG)
    assert "H" in keys(viewer)
    qtbot.waitUntil(lambda: "W" not in keys(viewer), timeout=LONG)
