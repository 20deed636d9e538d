"""Notifications of napari for errors of the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

if TYPE_CHECKING:
    from collections.abc import Callable


def error_text(error: BaseException) -> str:
    """Return what an error says; for errors without a text, what happened."""
    if str(error).strip():
        return str(error)
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory for this: close other images or programs, or "
            "segment a smaller part."
        )
    return f"The work stopped with {type(error).__name__}: try again."


def notify_errors(action: Callable[[], Any]) -> Callable[[], None]:
    """Wrap an action, so that its errors become notifications."""

    def run() -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            show_error(error_text(error))

    return run
