"""Strip with the status of each slice of a pending stack result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sam.plugin import colors
from napari_sam.volume.results import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_sam.volume.results import Status

_WIDTH, _HEIGHT = 120, 18
_COLORS: dict[str, str] = {
    "anchor": colors.BLUE,
    "propagated": colors.GREEN,
    "interpolated": colors.YELLOW,
    "doubtful": colors.ORANGE,
}
_LEGEND = (
    "Slices of the stack, from first to last. Blue: with your prompts. Green: "
    "propagated. Tall orange: doubtful. Tall yellow: interpolated, doubtful too. "
    "Click to go to a slice."
)


class SliceStrip(QWidget):
    """A strip with one bar for each slice that has an object.

    Doubtful slices are twice as tall, for readers who do not see the colours.

    Parameters
    ----------
    on_click : callable
        Takes the index of the clicked slice.
    """

    def __init__(self, on_click: Callable[[int], None]) -> None:
        super().__init__()
        self._on_click = on_click
        self.states: dict[int, Status] = {}
        """The status of each slice that is shown."""
        self._count = 0
        self._current: int | None = None
        self.setToolTip(_LEGEND)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_states(
        self, states: Mapping[int, Status], count: int, current: int | None = None
    ) -> None:
        """Show the status of slices; hide the strip if there are none.

        Parameters
        ----------
        states : mapping
            {slice index: status}.
        count : int
            Number of slices of the stack.
        current : int, optional
            Index of the displayed slice.
        """
        self.states, self._count, self._current = dict(states), count, current
        self.setVisible(bool(states))
        self.update()

    def index_at(self, x: float) -> int:
        """Return the index of the slice at a horizontal position, in pixels."""
        index = int(x / max(self.width(), 1) * self._count)
        return min(max(index, 0), max(self._count - 1, 0))

    def sizeHint(self) -> QSize:
        """Return a low size; the strip expands in width."""
        return QSize(_WIDTH, _HEIGHT)

    def paintEvent(self, _: Any) -> None:
        """Draw a bar for each slice, and a mark under the displayed slice."""
        painter = QPainter(self)
        # A line for the full stack, which shows where in it the objects are.
        painter.fillRect(0, _HEIGHT - 5, self.width(), 1, self.palette().mid().color())
        bottom = _HEIGHT - 4
        for index, state in self.states.items():
            left = round(index * self.width() / self._count)
            right = round((index + 1) * self.width() / self._count)
            height = bottom if state in DOUBTFUL else _HEIGHT // 2 - 2
            width = max(right - left - 1, 1)
            color = QColor(_COLORS[state])
            painter.fillRect(left, bottom - height, width, height, color)
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
