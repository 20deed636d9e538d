"""Keys follow the preferences, and never take a key from something else."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject

from napari_sam.plugin.panels.preferred.key_holders import holder_of, parse_key
from napari_sam.plugin.panels.preferred.keys import PreferredKeys
from napari_sam.plugin.preferences import Preferences
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.widgets import open_widget


class FakePreferences:
    """Preferences in memory, which tell of changes as napari 0.9 does."""

    def __init__(self, **keys: str) -> None:
        self.real, self.keys = Preferences(), keys
        self.callbacks: list[Callable[[Any], None]] = []

    def get(self, section: str, name: str) -> Any:
        real = self.real.get(section, name)
        return self.keys.get(name, real) if section == "keys" else real

    def set(self, section: str, name: str, value: Any) -> None:
        assert section == "keys"
        self.keys[name] = value
        for callback in self.callbacks:
            callback(None)

    def on_change(self, _: str, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def end_on_change(self, _: str, callback: Callable[[Any], None]) -> None:
        self.callbacks.remove(callback)


@pytest.fixture
def preferences(monkeypatch: Any) -> FakePreferences:
    fake = FakePreferences()
    monkeypatch.setattr("napari_sam.plugin.widget.Preferences", lambda: fake)
    return fake


@pytest.fixture
def widget(
    qtbot: Any, preferences: FakePreferences, stack: np.ndarray
) -> Iterator[SamWidget]:
    widget = open_widget(stack, BrightPredictor())
    yield widget
    widget.disconnect_viewer()
    assert preferences.callbacks == []


def keys(widget: SamWidget) -> set[str]:
    return {str(key) for key in widget.session.viewer.keymap}


def last_said() -> str:
    records = notification_manager.records
    return str(records[-1].message) if records else ""


def test_a_changed_key_acts_at_once(
    widget: SamWidget, preferences: FakePreferences, qtbot: Any
) -> None:
    assert "W" in keys(widget)
    preferences.set("keys", "accept", "Alt+H")
    qtbot.waitUntil(lambda: "Alt+H" in keys(widget))
    assert "W" not in keys(widget)
    assert widget.panel.accept.text == "Accept (Alt+H)"
    preferences.set("keys", "switch_points", "H")
    qtbot.waitUntil(lambda: "H" in keys(widget))
    assert "(H switches" in widget.panel.positive.tooltip


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("P", "used by napari (activate labels paint mode)"),
        ("Q", "used by this plugin (discard)"),
        ("Ctrl+S", "kept for menus"),
        ("foo", "is not a key"),
        ("", "is not a key"),
    ],
)
def test_a_key_of_something_else_is_refused_with_its_name(
    qtbot: Any, key: str, problem: str
) -> None:
    preferences, parent = FakePreferences(), QObject()
    defaults = {"accept": "W", "discard": "Q"}
    chosen = PreferredKeys(preferences, ViewerModel(), defaults, parent)
    preferences.set("keys", "accept", key)
    qtbot.waitUntil(lambda: problem in last_said())
    assert last_said().endswith("W stays the key of this action.")
    assert (chosen["accept"], chosen["discard"]) == ("W", "Q")
    chosen.close()


def test_keys_of_other_plugins_are_named() -> None:
    viewer = ViewerModel()

    def count_cells(_: Any) -> None:
        pass

    count_cells.__module__ = "other_plugin.widget"
    viewer.bind_key("Shift-K", count_cells)
    assert holder_of(parse_key("Shift+K"), viewer) == "other_plugin (count cells)"
    assert holder_of(parse_key("K"), viewer) == ""


def test_keys_bound_to_a_layer_type_are_named() -> None:
    Labels.bind_key("Alt-K", len)
    try:
        assert holder_of(parse_key("Alt+K"), ViewerModel()) == "builtins (len)"
    finally:
        Labels.bind_key("Alt-K", None)


def test_two_keys_can_be_exchanged_before_the_panel_opens(
    qtbot: Any, preferences: FakePreferences, stack: np.ndarray
) -> None:
    preferences.keys.update(accept="Q", discard="W")
    widget = open_widget(stack, BrightPredictor())
    assert widget.panel.accept.text == "Accept (Q)"
    assert widget.panel.discard.text == "Discard (W)"
    assert "Accept (Q)" not in widget.panel.discard.tooltip
    widget.disconnect_viewer()
