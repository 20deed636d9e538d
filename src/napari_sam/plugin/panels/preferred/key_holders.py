"""What holds a key in napari, so that two actions never share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_model.types import KeyCode
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app_model.types import KeyBinding

_OURS = "napari_sam."
# Plugins see the viewer through a proxy, whose type tells nothing.
_OWNERS = Viewer, ViewerModel, Image, Labels, Points, Shapes


def parse_key(text: str) -> KeyBinding:
    """Return a key as napari writes it.

    Raises
    ------
    ValueError
        When it is no key, several keys, or one that menus use.
    """
    try:
        key: KeyBinding = coerce_keybinding(text.strip())
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(_no_key(text)) from error
    if len(key.parts) != 1 or key.part0.key in (KeyCode.UNKNOWN, None):
        raise ValueError(_no_key(text))
    if key.part0.ctrl or key.part0.meta:
        raise ValueError(
            f"The key {text!r} is kept for menus: choose a letter, alone or with Shift "
            "or Alt."
        )
    return key


def holder_of(key: KeyBinding, viewer: ViewerModel) -> str:
    """Return the name of what uses a key, other than this plugin; empty if nothing."""
    for action, keys in get_settings().shortcuts.shortcuts.items():
        if key in keys:
            return f"napari ({action.removeprefix('napari:').replace('_', ' ')})"
    keymaps: list[Mapping[object, object]] = [
        viewer.keymap,
        *(owner.class_keymap for owner in _OWNERS),
    ]
    for keymap in keymaps:
        for held, function in keymap.items():
            module = str(getattr(function, "__module__", ""))
            if str(held) == str(key) and not module.startswith(_OURS):
                name = getattr(function, "__name__", "an action")
                return f"{module.split('.')[0]} ({name.replace('_', ' ')})"
    return ""


def _no_key(text: str) -> str:
    return f"{text!r} is not a key: write a letter, such as W or Shift+S."
