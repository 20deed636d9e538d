"""Window with a table of object measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_sam.masks.measurements import write_csv
from napari_sam.plugin.notifications import notify_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import Dims
    from qtpy.QtWidgets import QWidget

    from napari_sam.masks.measurements import ObjectMeasurement
    from napari_sam.plugin.labels.measurement import LabelMeasurementJob


class ObjectTable(QDialog):
    """A table of measurements, which can be sorted and saved.

    napari's own Features table takes the row number as the label, and so needs a row
    for each label up to the largest one. It does not move the sliders either.

    Parameters
    ----------
    rows : sequence of ObjectMeasurement
        The objects of one labels layer.
    name : str
        Name of the layer.
    on_select : callable
        Takes the measurement of the clicked row.
    parent : QWidget
        Parent window.
    """

    def __init__(
        self,
        rows: Sequence[ObjectMeasurement],
        name: str,
        on_select: Callable[[ObjectMeasurement], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Objects of {name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._rows, self._on_select, self._name = list(rows), on_select, name
        self.table = self._make_table()
        self.save = QPushButton("Save as CSV ...")
        self.save.clicked.connect(notify_errors(self._save))
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Click a row to select its label and go to it."))
        layout.addWidget(self.table)
        layout.addWidget(self.save)
        self.resize(560, 360)

    def _make_table(self) -> QTableWidget:
        columns = _columns(self._rows)
        table = QTableWidget(len(self._rows), len(columns))
        table.setHorizontalHeaderLabels(columns)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        row_header = table.verticalHeader()
        assert row_header is not None
        row_header.setVisible(False)
        for index, row in enumerate(self._rows):
            for column, value in enumerate(_values(row)):
                item = QTableWidgetItem()
                # Data, not text, so that numbers are sorted as numbers.
                item.setData(Qt.ItemDataRole.DisplayRole, value)
                item.setData(Qt.ItemDataRole.UserRole, index)
                table.setItem(index, column, item)
        table.setSortingEnabled(True)
        table.sortItems(0)
        table.resizeColumnsToContents()
        table.cellClicked.connect(self._on_click)
        return table

    def _on_click(self, table_row: int, _: int) -> None:
        item = self.table.item(table_row, 0)
        if item is not None:
            self._on_select(self._rows[item.data(Qt.ItemDataRole.UserRole)])

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", f"{self._name}.csv", "CSV (*.csv)"
        )
        if path:
            write_csv(self._rows, path)


def show_table(
    job: LabelMeasurementJob,
    dims: Dims,
    parent: QWidget,
    rows: Sequence[ObjectMeasurement],
) -> ObjectTable:
    """Open a window with measurements. Clicking a row moves the viewer to its object.

    Parameters
    ----------
    job : LabelMeasurementJob
        The job that made the measurements.
    dims : Dims
        The dims of the viewer.
    parent : QWidget
        Parent window.
    rows : sequence of ObjectMeasurement
        The measurements.
    """

    def select(row: ObjectMeasurement) -> None:
        notify_errors(lambda: job.show(row, dims))()

    table = ObjectTable(rows, job.labels.name, select, parent)
    table.show()
    return table


def _columns(rows: Sequence[ObjectMeasurement]) -> list[str]:
    unit = rows[0].unit if rows else "pixel"
    if rows and len(rows[0].centroid) == 2:
        return ["Label", f"Area ({unit}²)", "Score"]
    return ["Label", f"Volume ({unit}³)", "Slices", "Lowest score", "On slice"]


def _values(row: ObjectMeasurement) -> list[Any]:
    size = float(f"{row.volume:.6g}")
    score = "" if row.lowest_score is None else round(row.lowest_score, 3)
    if len(row.centroid) == 2:
        return [row.label, size, score]
    slices = f"{row.first_slice} to {row.last_slice}"
    lowest = "" if row.lowest_slice is None else row.lowest_slice
    return [row.label, size, slices, score, lowest]
