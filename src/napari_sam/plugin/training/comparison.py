"""Masks from one click on a held-out image, before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam.masks.patch import label_outlines
from napari_sam.plugin.colors import SKY_BLUE, VERMILION, YELLOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.training.request import BeforeAfterComparison

_SIDE, _GAP = 150, 6
_TRUTH, _MODEL = (QColor(colour).getRgb()[:3] for colour in (YELLOW, SKY_BLUE))
# Smaller images are enlarged to this side, so that outlines are thin.
_MIN_PICTURE_SIDE = 300


class ComparisonView(QWidget):
    """Two pictures side by side; hidden while there is nothing to compare."""

    def __init__(self) -> None:
        super().__init__()
        self._comparison: BeforeAfterComparison | None = None
        self._pictures: list[QImage] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "A held-out image, segmented with one click for each object (red). Yellow: "
            "your outline. Blue: the outline of the model"
        )
        self.setVisible(False)

    def show_comparison(self, comparison: BeforeAfterComparison | None) -> None:
        """Show a comparison; hide without one."""
        self._comparison, self._pictures = comparison, []
        if comparison is not None:
            self._pictures = [
                _picture(comparison, labels)
                for labels in (comparison.before, comparison.after)
            ]
        self.setVisible(comparison is not None)
        self.updateGeometry()
        self.update()

    @property
    def titles(self) -> tuple[str, str]:
        """The titles of the pictures."""
        if self._comparison is None:
            return "", ""
        before, after = self._comparison.ious.mean(0)
        return f"Before, one click: {before:.2f}", f"After: {after:.2f}"

    def sizeHint(self) -> QSize:
        """Return the size of two pictures with a title each."""
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
            painter.setPen(QPen(QColor(VERMILION), 1.5))
            for row, col in self._comparison.clicks:
                x, y = left + (col + 0.5) * scale, line + (row + 0.5) * scale
                painter.drawLine(QPointF(x - 3, y), QPointF(x + 3, y))
                painter.drawLine(QPointF(x, y - 3), QPointF(x, y + 3))
        painter.end()


def _picture(comparison: BeforeAfterComparison, model: NDArray[np.int64]) -> QImage:
    """Draw the outlines of the true and the model's labels on the plane."""
    plane = np.atleast_3d(comparison.plane)
    factor = max(1, -(-_MIN_PICTURE_SIDE // max(plane.shape[:2])))
    shown = np.broadcast_to(plane, (*plane.shape[:2], 3))
    shown = shown.repeat(factor, 0).repeat(factor, 1)
    for labels, colour in ((comparison.truth, _TRUTH), (model, _MODEL)):
        fine = labels.repeat(factor, 0).repeat(factor, 1)
        shown[label_outlines(fine)] = colour
    rows, cols = shown.shape[:2]
    image = QImage(shown.tobytes(), cols, rows, 3 * cols, QImage.Format.Format_RGB888)
    return image.copy()  # QImage does not own the bytes
