"""Controls that scroll where the window is too low for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class VerticalScrollArea(QScrollArea):
    """As wide as what it holds and as high if there is room; else it scrolls.

    Without it a low window, or large letters, would squeeze the controls until
    nobody can read them.

    Parameters
    ----------
    held : QWidget
        Shown in it.
    """

    def __init__(self, held: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(held)
        held.installEventFilter(self)
        self._held = held

    def sizeHint(self) -> QSize:
        """Of what it holds, with the bar and what the theme puts around."""
        hint, viewport = self._held.sizeHint(), self.viewport()
        around = 0 if viewport is None else self.height() - viewport.height()
        return QSize(hint.width() + self._bar_width(), hint.height() + around)

    def minimumSizeHint(self) -> QSize:
        """As wide as what it holds must be; as low as may be."""
        width = self._held.minimumSizeHint().width() + self._bar_width()
        return QSize(width, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """What it holds has become larger or smaller: so has this."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def _bar_width(self) -> int:
        bar = self.verticalScrollBar()
        return 0 if bar is None else bar.sizeHint().width()
