"""A window with what the objects measure; a row leads to its object."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import Dims
    from qtpy.QtWidgets import QWidget

    from napari_sam.masks.measurements import ObjectMeasurement
    from napari_sam.plugin.state.label_measurement import LabelMeasurementJob


class ObjectTable(QDialog):
    """Shows measurements, sorted by any column, and saves them.

    Parameters
    ----------
    rows : sequence of ObjectMeasurement
        Of one labels layer.
    name : str
        Of the layer.
    on_pick : callable
        Takes the measurement of a row that is clicked.
    refused : callable
        Takes an action and returns one that shows its error as a sentence.
    parent : QWidget
        The window it belongs to.
    """

    def __init__(
        self,
        rows: Sequence[ObjectMeasurement],
        name: str,
        on_pick: Callable[[ObjectMeasurement], None],
        refused: Callable[[Callable[[], Any]], Callable[[], None]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Objects of {name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._rows, self._on_pick, self._name = list(rows), on_pick, name
        self.table = self._filled()
        self.save = QPushButton("Save as CSV ...")
        self.save.clicked.connect(refused(self._save))
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Click on a row to select its label and go there."))
        layout.addWidget(self.table)
        layout.addWidget(self.save)
        self.resize(560, 360)

    def _filled(self) -> QTableWidget:
        columns = _columns(self._rows)
        table = QTableWidget(len(self._rows), len(columns))
        table.setHorizontalHeaderLabels(columns)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        numbers = table.verticalHeader()
        assert numbers is not None
        numbers.setVisible(False)
        for number, row in enumerate(self._rows):
            for column, value in enumerate(_values(row)):
                item = QTableWidgetItem()
                # Numbers, so that they are sorted as such.
                item.setData(Qt.ItemDataRole.DisplayRole, value)
                item.setData(Qt.ItemDataRole.UserRole, number)
                table.setItem(number, column, item)
        table.setSortingEnabled(True)
        table.sortItems(0)
        table.resizeColumnsToContents()
        table.cellClicked.connect(self._picked)
        return table

    def _picked(self, plane_index: int, _: int) -> None:
        item = self.table.item(plane_index, 0)
        if item is not None:
            self._on_pick(self._rows[item.data(Qt.ItemDataRole.UserRole)])

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", f"{self._name}.csv", "CSV (*.csv)"
        )
        if path:
            write_csv(self._rows, path)


def show_table(
    asked: LabelMeasurementJob,
    dims: Dims,
    refused: Callable[[Callable[[], Any]], Callable[[], None]],
    parent: QWidget,
    rows: Sequence[ObjectMeasurement],
) -> ObjectTable:
    """Open a window with the answer to what was asked; a row leads to its object."""

    def pick(row: ObjectMeasurement) -> None:
        refused(lambda: asked.show(row, dims))()

    table = ObjectTable(rows, asked.labels.name, pick, refused, parent)
    table.show()
    return table


def _columns(rows: Sequence[ObjectMeasurement]) -> list[str]:
    unit = rows[0].unit if rows else "pixel"
    if rows and len(rows[0].centroid) == 2:
        return ["Label", f"Area ({unit}²)", "Score"]
    return ["Label", f"Volume ({unit}³)", "LayerSlices", "Lowest score", "On slice"]


def _values(row: ObjectMeasurement) -> list[Any]:
    size = float(f"{row.volume:.6g}")
    score = "" if row.lowest_score is None else round(row.lowest_score, 3)
    if len(row.centroid) == 2:
        return [row.label, size, score]
    slices = f"{row.first_slice} to {row.last_slice}"
    lowest = "" if row.lowest_slice is None else row.lowest_slice
    return [row.label, size, slices, score, lowest]
