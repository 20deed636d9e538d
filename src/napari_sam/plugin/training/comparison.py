"""Pictures of a held-back image: what one click gave before training, and gives now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam.masks.patch import label_outlines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.training.request import BeforeAfterComparison

_SIDE = 150
_GAP = 6
# What the user drew, and what the model answers (Okabe & Ito 2008).
_TRUTH, _ANSWER = (240, 228, 66), (86, 180, 233)
_CLICK = "#D55E00"
# Pictures are drawn this much finer than the image at least, so that outlines are thin.
_LEAST_SIDE = 300


class ComparisonView(QWidget):
    """Shows two pictures side by side; hidden while there is nothing to compare."""

    def __init__(self) -> None:
        super().__init__()
        self._comparison: BeforeAfterComparison | None = None
        self._pictures: list[QImage] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "A part that was not trained on, asked with one click for each object "
            "(red). Yellow: your outline. Blue: what the model answers"
        )
        self.setVisible(False)

    def show_comparison(self, comparison: BeforeAfterComparison | None) -> None:
        """Show these answers; hide without any."""
        self._comparison, self._pictures = comparison, []
        if comparison is not None:
            self._pictures = [
                _picture(comparison, answer)
                for answer in (comparison.before, comparison.after)
            ]
        self.setVisible(comparison is not None)
        self.updateGeometry()
        self.update()

    @property
    def titles(self) -> tuple[str, str]:
        """What is above the pictures."""
        if self._comparison is None:
            return "", ""
        before, after = self._comparison.ious.mean(0)
        return f"Before, one click: {before:.2f}", f"After: {after:.2f}"

    def sizeHint(self) -> QSize:
        """Room for two pictures with a line of text above."""
        height = _SIDE
        if self._comparison is not None:
            rows, cols = self._comparison.truth.shape
            height = min(2 * _SIDE, round(_SIDE * rows / cols))
        return QSize(2 * _SIDE + _GAP, height + self.fontMetrics().height())

    def paintEvent(self, _: Any) -> None:
        """Draw both pictures with their clicks."""
        if self._comparison is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        line = painter.fontMetrics().height()
        rows, cols = self._comparison.truth.shape
        width = (self.width() - _GAP) / 2
        scale = min(width / cols, (self.height() - line) / rows)
        for number, picture in enumerate(self._pictures):
            left = number * (width + _GAP)
            painter.setPen(self.palette().windowText().color())
            painter.drawText(
                QPointF(left, painter.fontMetrics().ascent()), self.titles[number]
            )
            painter.drawImage(QRectF(left, line, cols * scale, rows * scale), picture)
            painter.setPen(QPen(QColor(_CLICK), 1.5))
            for row, col in self._comparison.clicks:
                x, y = left + (col + 0.5) * scale, line + (row + 0.5) * scale
                painter.drawLine(QPointF(x - 3, y), QPointF(x + 3, y))
                painter.drawLine(QPointF(x, y - 3), QPointF(x, y + 3))
        painter.end()


def _picture(comparison: BeforeAfterComparison, answer: NDArray[np.int64]) -> QImage:
    """The plane with the outlines of truth and answer."""
    plane = np.atleast_3d(comparison.plane)
    factor = max(1, -(-_LEAST_SIDE // max(plane.shape[:2])))
    shown = np.broadcast_to(plane, (*plane.shape[:2], 3))
    shown = shown.repeat(factor, 0).repeat(factor, 1)
    for labels, colour in ((comparison.truth, _TRUTH), (answer, _ANSWER)):
        fine = labels.repeat(factor, 0).repeat(factor, 1)
        shown[label_outlines(fine)] = colour
    rows, cols = shown.shape[:2]
    image = QImage(shown.tobytes(), cols, rows, 3 * cols, QImage.Format.Format_RGB888)
    return image.copy()  # of its own memory: the bytes above go
