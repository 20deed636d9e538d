"""Objects are measured in the layer's units; the table goes to an object."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_sam.plugin.panels.measurement_table import ObjectTable
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.widget import SamWidget
from tests.helpers.sessions import FIRST, SECOND, draw, press, written

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.models import BrightPredictor


def two_balls(session: SamSession) -> SamSession:
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    session.propagate()
    session.commit()
    return session


def test_measures_volumes_slices_and_scores(session: SamSession) -> None:
    two_balls(session)
    labels = written(session)
    for row in session.measure():
        mine = labels == row.label
        assert row.voxels == mine.sum()
        assert row.volume == 2 * mine.sum()  # the slices lie 2 apart
        slices = np.unique(np.nonzero(mine)[0])
        assert (row.first_slice, row.last_slice) == (slices[0], slices[-1])
        assert row.lowest_score == 0.9
        assert row.unit == "pixel"


def test_scores_of_undone_objects_are_ignored(session: SamSession) -> None:
    two_balls(session)
    session.labels_layer.undo()
    session.labels_layer.data_setitem(tuple(np.array([[1], [1], [1]])), np.array([1]))
    (row,) = session.measure()
    assert (row.label, row.voxels, row.lowest_score) == (1, 1, None)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)], ids=str)
def test_slices_count_along_the_slider_of_the_view(
    session: SamSession, order: tuple[int, ...]
) -> None:
    two_balls(session)
    axis = order[0]
    session.viewer.dims.order = order
    session.viewer.dims.set_current_step(axis, 4)
    rows = {row.label: row for row in session.measure()}
    places = np.nonzero(written(session) == 2)[axis]
    assert (rows[2].first_slice, rows[2].last_slice) == (places.min(), places.max())


def test_measures_the_displayed_time_point_in_physical_units(
    bright: BrightPredictor,
) -> None:
    viewer = ViewerModel()
    data = np.zeros((2, 3, 5, 6), np.uint8)
    data[1, :, 1:3, 1:5] = 9
    layer = viewer.add_labels(data, scale=(10, 2, 0.5, 0.5))
    if hasattr(viewer.dims, "units"):
        layer.units = ("s", "um", "um", "um")
    session = SamSession(viewer, bright)
    session.labels_layer = layer
    viewer.dims.set_current_step(0, 0)
    assert session.measure() == []
    viewer.dims.set_current_step(0, 1)
    (row,) = session.measure()
    assert row.volume == 3 * 2 * 4 * 2 * 0.5 * 0.5
    assert row.unit == ("µm" if hasattr(viewer.dims, "units") else "pixel")


def test_measuring_without_labels_is_refused(session: SamSession) -> None:
    with pytest.raises(ValueError, match="no labels yet: accept an object first"):
        session.measure()


def test_table_goes_to_objects_and_is_saved(
    stack: np.ndarray,
    bright: BrightPredictor,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack, name="balls", contrast_limits=(0, 255), scale=(2, 1, 1))
    viewer.dims.set_current_step(0, 4)
    widget = SamWidget(viewer)
    widget.panel.live.value = False
    qtbot.addWidget(widget.native)
    widget.session.model = bright
    assert "labels layer first" in widget.panel.measure.tooltip
    press(widget.panel.new_prompts)
    labels = two_balls(widget.session).labels_layer
    viewer.dims.set_current_step(0, 0)
    widget.panel.labels_layer.select(labels)
    press(widget.panel.measure)

    def tables() -> list[ObjectTable]:
        return widget.native.findChildren(ObjectTable)

    qtbot.waitUntil(lambda: bool(tables()), timeout=20_000)
    (window,) = tables()
    table = window.table
    assert [table.item(0, c).text() for c in (0, 2)] == ["1", "1 to 7"]
    table.cellClicked.emit(1, 0)
    assert labels.selected_label == 2
    assert viewer.dims.current_step[0] == 4
    path = tmp_path / "objects.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.save.click()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2"]
    voxels = (written(widget.session) == 1).sum()
    assert float(rows[0]["volume (pixel^3)"]) == 2 * voxels
    window.close()
    widget.disconnect_viewer()
