"""Scroll area that never squeezes its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


# Pixels that other docks in the same area leave to the content.
_LEAST_HEIGHT = 150


class VerticalScrollArea(QScrollArea):
    """A scroll area as wide as its content, and as high if there is room.

    A plain QScrollArea, or magicgui's scrollable container, shrinks to a few pixels
    in width and adds a horizontal bar.

    Parameters
    ----------
    content : QWidget
        The widget that scrolls.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        content.installEventFilter(self)
        self._content = content

    def sizeHint(self) -> QSize:
        """Return the size of the content, the scroll bar and the theme's border."""
        hint, viewport = self._content.sizeHint(), self.viewport()
        border = 0 if viewport is None else self.height() - viewport.height()
        return QSize(hint.width() + self._bar_width(), hint.height() + border)

    def minimumSizeHint(self) -> QSize:
        """Return the minimum width of the content, and the least height."""
        width = self._content.minimumSizeHint().width() + self._bar_width()
        return QSize(width, min(self._content.sizeHint().height(), _LEAST_HEIGHT))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of the content."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def _bar_width(self) -> int:
        bar = self.verticalScrollBar()
        return 0 if bar is None else bar.sizeHint().width()
