"""Notifications of napari for errors of the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

if TYPE_CHECKING:
    from collections.abc import Callable


def notify_errors(action: Callable[[], Any]) -> Callable[[], None]:
    """Wrap an action, so that its errors become notifications."""

    def run() -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            show_error(str(error))

    return run
