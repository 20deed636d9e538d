"""The list of images as Qt shows it: only the rows that are visible are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QFont

from napari_sam.series.storage.state import STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.series.image_series import ImageSeries
    from napari_sam.series.item import SeriesItem

ALL, UNFINISHED = "all", "unfinished"
FILTERS = (ALL, UNFINISHED, *STATUSES)
COLUMNS = ("Status", "Image", "Objects")
NAME = COLUMNS.index("Image")
MARKS = {
    "new": "○ new",
    "started": "◐ started",
    "done": "● done",
    "needs review": "◆ needs review",
    "skipped": "◌ skipped",
}
PROBLEM = "▲ unusable"


class ImageTable(QAbstractTableModel):
    """The images of a series that a filter selects.

    Attributes
    ----------
    series : ImageSeries or None
        The images.
    current : str
        Name of the image that is open, in bold.
    """

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.series: ImageSeries | None = None
        self.current = ""
        self._problems: dict[str, str] = {}
        self._items: Sequence[SeriesItem] = ()
        self._rows: dict[str, int] = {}

    def show(self, series: ImageSeries, text: str = "", which: str = ALL) -> None:
        """Show the images with a text in their name or note, and of a status."""
        self.beginResetModel()
        if series is not self.series:
            self._problems = {}
        self.series = series
        status = which if which in STATUSES else None
        found = series.find(text, status)
        if which == UNFINISHED:
            found = [item for item in found if item.is_unfinished]
        self._items = found
        self._rows = {item.name: row for row, item in enumerate(found)}
        self.endResetModel()

    def row_of(self, name: str) -> int | None:
        """Return the row of an image; None when the filter leaves it out."""
        return self._rows.get(name)

    def name_at(self, row: int) -> str:
        """Return the name of the image of a row."""
        return self._items[row].name

    def update_image(self, name: str) -> None:
        """Show the state of an image again."""
        row = self.row_of(name)
        if row is not None:
            last = len(COLUMNS) - 1
            self.dataChanged.emit(self.index(row, 0), self.index(row, last))

    def note_problem(self, name: str, problem: str) -> None:
        """Show that an image cannot be opened, and why."""
        self._problems[name] = problem
        self.update_image(name)

    def set_current(self, name: str) -> None:
        """Show an image in bold."""
        before, self.current = self.current, name
        for changed in (before, name):
            self.update_image(changed)

    # -- what Qt asks ------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of images."""
        return 0 if parent is not None and parent.isValid() else len(self._items)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = 0
    ) -> Any:
        """Return the heading of a column."""
        is_text = role == Qt.ItemDataRole.DisplayRole
        if is_text and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return what a cell shows."""
        item = self._items[index.row()]
        problem = self._problems.get(item.name) or item.problem
        if role == Qt.ItemDataRole.DisplayRole:
            return _cells(item, problem)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (item.name, problem, item.state.note)))
        if role == Qt.ItemDataRole.FontRole and item.name == self.current:
            font = QFont()
            font.setBold(True)
            return font
        return None


def _cells(item: SeriesItem, problem: str) -> tuple[str, str, str]:
    mark = PROBLEM if problem and not item.has_labels else MARKS[item.status]
    objects = "" if item.objects is None else str(item.objects)
    return mark, item.name, objects


def counts_text(series: ImageSeries) -> str:
    """Return how far the series is: "37 of 200 done, 3 to review, 1:40 per image"."""
    counts = series.counts
    parts = [f"{counts['done']} of {len(series)} done"]
    if counts["needs review"]:
        parts.append(f"{counts['needs review']} to review")
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} skipped")
    problems = len(series.problems)
    if problems:
        parts.append(f"{problems} cannot be used")
    seconds = series.seconds_per_image
    if seconds:
        minutes, rest = divmod(round(seconds), 60)
        parts.append(f"{minutes}:{rest:02} per image")
    return ", ".join(parts)
