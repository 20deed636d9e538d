"""Plot of the training loss and of the IoU on held-out images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam.plugin.colors import GREEN, ORANGE, SKY_BLUE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.training.options import TrainingProgress

_SIZE = (260, 130)
_MARGIN = 4
# Each point of the loss curve is the mean of at most this many steps.
_MAX_AVERAGED_STEPS = 25
_LOSS = "#999999"
KINDS = {
    "click": (SKY_BLUE, "one click"),
    "clicks": (GREEN, "several clicks"),
    "box": (ORANGE, "box"),
}
"""Colour and name of each kind of first prompt."""


class TrainingPlot(QWidget):
    """Plots loss and IoU on the held-out images against the training steps."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.scores: list[tuple[int, dict[str, float]]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Grey: loss of the training steps. Lines with dots: overlap (IoU, 0 to 1) "
            "on the held-out images, for each kind of prompt"
        )

    def clear(self) -> None:
        """Remove all points."""
        self.losses, self.scores = [], []
        self.update()

    def append(self, progress: TrainingProgress) -> None:
        """Add the loss of a step, or the scores of a validation."""
        if progress.phase == "train" and progress.loss is not None:
            self.losses.append(progress.loss)
        known = self.scores[-1][1] if self.scores else {}
        if progress.scores and dict(progress.scores) != known:
            self.scores.append((max(0, len(self.losses) - 1), dict(progress.scores)))
        self.update()

    def sizeHint(self) -> QSize:
        """Return the preferred size."""
        return QSize(*_SIZE)

    def paintEvent(self, _: Any) -> None:
        """Draw the axes, the loss, and a line for each kind of prompt."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = painter.fontMetrics().height()
        area = QRectF(
            _MARGIN, line, self.width() - 2 * _MARGIN, self.height() - 2 * line
        )
        painter.setPen(self.palette().mid().color())
        painter.drawRect(area)
        last = max(len(self.losses) - 1, 1)
        smooth = _means(np.array(self.losses))
        if len(smooth):
            heights = smooth / max(smooth.max(), 1e-6)
            steps = np.linspace(0, last, len(smooth)) / last
            self._draw(painter, area, steps, heights, _LOSS, dots=False)
        for kind, (colour, _name) in KINDS.items():
            points = [(s / last, ious[kind]) for s, ious in self.scores if kind in ious]
            if points:
                steps, heights = np.array(points).T
                self._draw(painter, area, steps, heights, colour, dots=True)
        self._write(painter, area)
        painter.end()

    def _draw(
        self,
        painter: QPainter,
        area: QRectF,
        steps: NDArray[np.float64],
        heights: NDArray[np.float64],
        colour: str,
        *,
        dots: bool,
    ) -> None:
        points = [
            QPointF(
                area.left() + step * area.width(), area.bottom() - high * area.height()
            )
            for step, high in zip(steps, heights, strict=True)
        ]
        painter.setPen(QPen(QColor(colour), 1.5))
        painter.drawPolyline(QPolygonF(points))
        if dots:
            painter.setBrush(QColor(colour))
            for point in points:
                painter.drawEllipse(point, 2, 2)
            painter.setBrush(Qt.BrushStyle.NoBrush)

    def _write(self, painter: QPainter, area: QRectF) -> None:
        """Write names and last values above the plot, the scales below."""
        kinds = self.scores[-1][1] if self.scores else {}
        parts = [(_LOSS, "loss" if not self.losses else f"loss {self.losses[-1]:.2f}")]
        parts += [
            (colour, f"{name} {kinds[kind]:.2f}")
            for kind, (colour, name) in KINDS.items()
            if kind in kinds
        ]
        left, metrics = area.left(), painter.fontMetrics()
        for colour, text in parts:
            painter.setPen(QColor(colour))
            painter.drawText(QPointF(left, area.top() - metrics.descent()), text)
            left += metrics.horizontalAdvance(text + "  ")
        painter.setPen(self.palette().windowText().color())
        below = area.bottom() + metrics.ascent()
        painter.drawText(QPointF(area.left(), below), f"{len(self.losses)} steps")
        scale = "overlap from 0 to 1"
        right = area.right() - metrics.horizontalAdvance(scale)
        painter.drawText(QPointF(right, below), scale)


def _means(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means of consecutive steps, which show the trend."""
    steps = min(_MAX_AVERAGED_STEPS, max(1, len(losses) // 8))
    count = len(losses) // steps
    means: NDArray[np.float64] = losses[: count * steps].reshape(-1, steps).mean(1)
    return means
