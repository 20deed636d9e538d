"""The life of a panel: that of its dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QWidget

T = TypeVar("T")


def docked_widgets(viewer: napari.Viewer, kind: type[T]) -> list[T]:
    """Return the widgets of a type that are docked in the window of a viewer."""
    window = getattr(viewer, "window", None)  # a viewer without Qt has none
    docked = {} if window is None else window.dock_widgets
    return [widget for name in docked if isinstance(widget := docked[name], kind)]


class DockLife(QObject):
    """Tells when the dock of a panel is closed, hidden or shown.

    When a dock is closed, napari only takes the panel out of it, and the panel would
    live on, out of sight.

    Parameters
    ----------
    panel : QWidget
        The panel, which owns this object.
    """

    closed = Signal()
    visible_changed = Signal(bool)

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._panel = panel
        self._dock: QDockWidget | None = None
        panel.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the panel from dock to dock."""
        moved = event is not None and event.type() == QEvent.Type.ParentChange
        if moved and watched is self._panel:
            parent = self._panel.parent()
            if isinstance(parent, QDockWidget):
                self._dock = parent
                action = parent.toggleViewAction()
                assert action is not None
                action.toggled.connect(self._on_toggled)
            elif self._dock is not None:
                # Later, as the panel may be on its way to another dock.
                QTimer.singleShot(0, self._check)
        return False

    def _check(self) -> None:
        if self._panel.parent() is None and self._dock is not None:
            self._dock = None
            self.closed.emit()

    def _on_toggled(self, _: bool) -> None:
        # A dock behind another tab, or in a minimised window, is not hidden.
        if self._dock is not None and self._dock is self._panel.parent():
            self.visible_changed.emit(not self._dock.isHidden())
