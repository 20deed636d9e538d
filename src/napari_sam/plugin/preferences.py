"""Preferences of the plugin: napari's own from 0.9 on, otherwise a JSON file.

The manifest lists them with their defaults, and napari shows them in its dialog.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from napari_sam.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = "napari-sam"


class Preferences:
    """The preferences of the user, by section and name, as in the manifest.

    They are read when they are asked for.
    """

    def __init__(self) -> None:
        self._settings = _napari_settings()

    def get(self, section: str, name: str) -> Any:
        """Return a preference.

        Raises
        ------
        ValueError
            When the file of an older napari is damaged.
        """
        if self._settings is not None:
            return getattr(getattr(self._settings, section), name)
        default = self._defaults[section][name]
        value = _stored().get(section, {}).get(name, default)
        return value if isinstance(value, type(default)) else default

    def set(self, section: str, name: str, value: Any) -> None:
        """Change a preference for this and later sessions."""
        if self._settings is not None:
            setattr(getattr(self._settings, section), name, value)
            return
        stored = _stored()
        stored.setdefault(section, {})[name] = value
        path = preferences_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, stored)

    def on_change(self, section: str, callback: Callable[[Any], None]) -> None:
        """Call a function after a change of a section, where napari tells of it."""
        if self._settings is not None:
            getattr(self._settings, section).events.connect(callback)

    def end_on_change(self, section: str, callback: Callable[[Any], None]) -> None:
        """Do not call the function any more."""
        if self._settings is not None:
            getattr(self._settings, section).events.disconnect(callback)

    @cached_property
    def _defaults(self) -> dict[str, dict[str, Any]]:
        return _defaults()


def read_ahead() -> Thread:
    """Let napari read its settings of plugins, which takes some tenths of a second.

    Returns
    -------
    Thread
        It runs until `Preferences` can be made at once.
    """

    def read() -> None:
        # Who makes them next gets the same error, where it can be shown.
        with suppress(Exception):
            Preferences()

    thread = Thread(target=read, daemon=True)
    thread.start()
    return thread


def preferences_file() -> Path:
    """Return the file of the preferences, for napari before 0.9."""
    napari_file = os.environ.get("NAPARI_CONFIG")
    if napari_file:
        return Path(napari_file).parent / f"{PLUGIN}.json"
    import platformdirs

    return platformdirs.user_config_path(PLUGIN, appauthor=False) / "preferences.json"


def _napari_settings() -> Any:
    """Return napari's settings of the plugin; None before 0.9 and when disabled."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None


def _stored() -> dict[str, dict[str, Any]]:
    path = preferences_file()
    if not path.exists():
        return {}
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise ValueError(f"The preferences {str(path)!r} are damaged: delete the file.")
    return stored


def _defaults() -> dict[str, dict[str, Any]]:
    """Return the defaults in the manifest, which an older npe2 does not read."""
    import yaml

    manifest = files("napari_sam").joinpath("napari.yaml").read_text(encoding="utf-8")
    sections = yaml.safe_load(manifest)["contributions"]["configurations"]
    return {
        section: {
            name: entry["default"] for name, entry in content["properties"].items()
        }
        for section, content in sections.items()
    }
