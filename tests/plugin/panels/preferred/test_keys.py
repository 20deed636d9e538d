"""Keys follow the preferences, and never take a key from something else."""

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject

from napari_sam.plugin.panels.key_bindings import KeyBindings
from napari_sam.plugin.panels.preferred.key_holders import holder_of, parse_key
from napari_sam.plugin.panels.preferred.keys import PreferredKeys
from napari_sam.plugin.preferences import Preferences


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


DEFAULTS = {"accept": "W", "discard": "Q", "switch_points": "G"}


def chosen_keys(preferences: FakePreferences) -> tuple[PreferredKeys, QObject]:
    """Return the keys and the owner of their timer."""
    parent = QObject()
    return PreferredKeys(preferences, ViewerModel(), DEFAULTS, parent), parent


def last_said() -> str:
    records = notification_manager.records
    return str(records[-1].message) if records else ""


def test_a_changed_key_acts_at_once(qtbot: Any) -> None:
    preferences, viewer, pressed = FakePreferences(), ViewerModel(), Mock()
    keys, parent = chosen_keys(preferences)
    bindings = KeyBindings(viewer, dict.fromkeys(DEFAULTS, pressed), keys)
    keys.changed.connect(bindings.bind_anew)
    assert {str(key) for key in viewer.keymap} == {"W", "Q", "G"}
    preferences.set("keys", "accept", "Alt+H")
    qtbot.waitUntil(lambda: "Alt+H" in map(str, viewer.keymap))
    assert {str(key) for key in viewer.keymap} == {"Alt+H", "Q", "G"}
    assert keys.in_text("Accept (W), (G switches), (X)") == (
        "Accept (Alt+H), (G switches), (X)"
    )
    bindings.close()
    keys.close()
    assert preferences.callbacks == []
    del parent


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
    preferences = FakePreferences()
    chosen, parent = chosen_keys(preferences)
    preferences.set("keys", "accept", key)
    qtbot.waitUntil(lambda: problem in last_said())
    assert last_said().endswith("W stays the key of this action.")
    assert (chosen["accept"], chosen["discard"]) == ("W", "Q")
    chosen.close()
    del parent


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


def test_two_keys_can_be_exchanged_before_the_panel_opens(qtbot: Any) -> None:
    keys, parent = chosen_keys(FakePreferences(accept="Q", discard="W"))
    assert (keys["accept"], keys["discard"]) == ("Q", "W")
    assert keys.in_text("Accept (W), Discard (Q)") == "Accept (Q), Discard (W)"
    del parent
