"""A strip that shows the state of each slice of a stack; a click goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam.volume.results import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_sam.volume.results import Status

_HEIGHT = 18
# Colours that colour-blind people tell apart (Okabe & Ito 2008); what is to be looked
# at is twice as high as well.
_COLOURS: dict[str, str] = {
    "anchor": "#0072B2",
    "propagated": "#009E73",
    "interpolated": "#F0E442",
    "doubtful": "#E69F00",
}
_LEGEND = (
    "Slices of the stack, from first to last. Blue: from your prompts; green: "
    "followed; tall orange: doubtful; tall yellow: bridged. Click to go there."
)


class SliceStrip(QWidget):
    """Shows where the objects of a waiting stack are, and where to doubt them.

    Parameters
    ----------
    on_click : callable
        Takes the slice that was clicked.
    """

    def __init__(self, on_click: Callable[[int], None]) -> None:
        super().__init__()
        self._on_click = on_click
        self._states: Mapping[int, Status] = {}
        self._count = 0
        self._current: int | None = None
        self.setToolTip(_LEGEND)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_states(
        self, states: Mapping[int, Status], count: int, current: int | None = None
    ) -> None:
        """Show these states of a stack of so many slices; hide without any."""
        self._states, self._count, self._current = states, count, current
        self.setVisible(bool(states))
        self.update()

    @property
    def states(self) -> dict[int, Status]:
        """What is shown."""
        return dict(self._states)

    def index_at(self, x: float) -> int:
        """The slice under a horizontal position, in pixels."""
        share = x / max(self.width(), 1)
        return min(max(int(share * self._count), 0), max(self._count - 1, 0))

    def sizeHint(self) -> QSize:
        """As wide as there is room, and low."""
        return QSize(120, _HEIGHT)

    def paintEvent(self, _: Any) -> None:
        """Draw a bar for each slice and a mark under the displayed one."""
        painter = QPainter(self)
        # The whole stack, so that one sees where in it the objects are.
        painter.fillRect(0, _HEIGHT - 5, self.width(), 1, self.palette().mid().color())
        for index, state in self._states.items():
            left = round(index * self.width() / self._count)
            right = round((index + 1) * self.width() / self._count)
            height = _HEIGHT - 4 if state in DOUBTFUL else _HEIGHT // 2 - 2
            bottom = _HEIGHT - 4
            painter.fillRect(
                left,
                bottom - height,
                max(right - left - 1, 1),
                height,
                QColor(_COLOURS[state]),
            )
        if self._current is not None and self._count:
            left = round(self._current * self.width() / self._count)
            width = max(round(self.width() / self._count), 3)
            mark = self.palette().windowText().color()
            painter.fillRect(left, _HEIGHT - 3, width, 3, mark)
        painter.end()

    def mousePressEvent(self, event: Any) -> None:
        """Go to the slice under the mouse."""
        if self._count:
            self._on_click(self.index_at(event.position().x()))
