"""The keys of the panel, as the preferences say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam.plugin.panels.preferred.key_holders import holder_of, parse_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel
    from qtpy.QtCore import QObject

    from napari_sam.plugin.preferences import Preferences

_SECTION = "keys"
_TYPING_MS = 600
# In texts, a key stands in parentheses, alone or before what it does.
_IN_TEXT = re.compile(r"\(((?:Shift\+)?[A-Z])(?=[) ])")


class PreferredKeys:
    """The key of each action; the default one where the preferred one cannot be used.

    Parameters
    ----------
    preferences : Preferences
        With the preferred keys; followed while the panel is open.
    viewer : ViewerModel
        The viewer on which the keys are bound.
    defaults : mapping
        {action: key}.
    parent : QObject
        Owner of a timer.

    Attributes
    ----------
    changed : Signal
        Emitted after the user chose another key.
    """

    changed = Signal()

    def __init__(
        self,
        preferences: Preferences,
        viewer: ViewerModel,
        defaults: Mapping[str, str],
        parent: QObject,
    ) -> None:
        self._preferences, self._viewer, self._defaults = preferences, viewer, defaults
        self._keys = dict(defaults)
        # napari changes a preference with each typed letter.
        self._typing = QTimer(parent)
        self._typing.setSingleShot(True)
        self._typing.setInterval(_TYPING_MS)
        self._typing.timeout.connect(self._follow)
        self._take_over()
        preferences.on_change(_SECTION, self._on_change)

    def __getitem__(self, action: str) -> str:
        return self._keys[action]

    def close(self) -> None:
        """Follow the preferences no longer."""
        self._preferences.end_on_change(_SECTION, self._on_change)
        self._typing.stop()

    def in_text(self, text: str) -> str:
        """Return a text that names default keys with those of the user."""
        mine = {key: self._keys[action] for action, key in self._defaults.items()}
        return _IN_TEXT.sub(lambda match: f"({mine.get(match[1], match[1])}", text)

    def _on_change(self, _: Any) -> None:
        self._typing.start()

    def _follow(self) -> None:
        if self._take_over():
            self.changed.emit()

    def _take_over(self) -> bool:
        """Take the preferred keys, except those that are held by something else.

        Returns
        -------
        bool
            Whether a key is another one now.
        """
        before, problems = dict(self._keys), []
        wanted = {name: self._preferences.get(_SECTION, name) for name in before}
        for action, text in wanted.items():
            if text == self._keys[action]:
                continue
            others = {key: name for name, key in wanted.items() if name != action}
            try:
                self._keys[action] = self._usable(text, others)
            except ValueError as error:
                problems.append(
                    f"{error} {before[action]} stays the key of this action."
                )
        for problem in problems:
            show_error(problem)
        return before != self._keys

    def _usable(self, text: str, others: Mapping[str, str]) -> str:
        """Return a key as napari writes it, or say what holds it."""
        key = parse_key(text)
        holder = holder_of(key, self._viewer)
        if str(key) in others:
            holder = f"this plugin ({others[str(key)].replace('_', ' ')})"
        if holder:
            raise ValueError(f"The key {key} is used by {holder}.")
        return str(key)
