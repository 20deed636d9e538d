"""Sizes in a panel that follow its font."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QWidget

_FONT_EVENTS = {
    QEvent.Type.FontChange,
    QEvent.Type.Polish,
    QEvent.Type.Show,
    QEvent.Type.StyleChange,
}


class FontFit(QObject):
    """Aligns the labelled rows of a panel, and keeps room for a text.

    napari sets font and theme when the panel is docked and whenever the user changes
    them.

    Parameters
    ----------
    panel : QWidget
        The panel, which owns this object.
    text : QLabel
        A label whose text changes.
    lines : int
        Lines of text that have room in it.
    """

    def __init__(self, panel: QWidget, text: QLabel, lines: int) -> None:
        super().__init__(panel)
        self._panel, self._text, self._lines = panel, text, lines
        panel.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Adapt the sizes to another font."""
        if event is not None and event.type() in _FONT_EVENTS:
            self.fit()
        return False

    def fit(self) -> None:
        """Set the sizes."""
        self._text.ensurePolished()
        self._text.setMinimumHeight(
            self._lines * self._text.fontMetrics().lineSpacing()
        )
        labels = list(row_labels(self._panel))
        for label in labels:
            label.ensurePolished()
        width = max((label.sizeHint().width() for label in labels), default=0)
        for label in labels:
            label.setMinimumWidth(width)


def row_labels(panel: QWidget) -> Iterator[QLabel]:
    """Yield the label of each row of a label and one control."""
    for label in panel.findChildren(QLabel):
        parent = label.parentWidget()
        layout = None if parent is None else parent.layout()
        if layout is None or layout.count() != 2:
            continue
        first = layout.itemAt(0)
        if first is not None and first.widget() is label:
            yield label
