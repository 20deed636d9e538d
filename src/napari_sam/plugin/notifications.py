"""Errors and results as notifications of napari."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

if TYPE_CHECKING:
    from collections.abc import Callable


def setter(owner: Any, name: str) -> Callable[[Any], None]:
    """Set an attribute, as a function."""

    def set_value(value: Any) -> None:
        setattr(owner, name, value)

    return set_value


def notify_errors(action: Callable[[], Any]) -> Callable[[], None]:
    """Show the sentence of a refused action as a notification."""

    def run() -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            show_error(str(error))

    return run
