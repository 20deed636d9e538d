"""Classes, tables and exports from the dock Image series."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam.plugin.series.dock import SeriesWidget
from napari_sam.plugin.series.label_classes import classes_of, put_class, put_classes
from tests.helpers.series_dock import (
    LONG,
    is_at_rest,
    labels_of,
    open_dock,
    open_folder,
    paint,
    press,
)


@pytest.fixture
def dock(qtbot: Any, tmp_path: Path) -> Iterator[SeriesWidget]:
    """The dock on two images, without a window."""
    widget = SeriesWidget(ViewerModel())
    open_folder(widget, tmp_path, qtbot, "a.tif", "b.tif")
    yield widget
    widget.close_series()


def classes(dock: SeriesWidget, name: str) -> dict[int, str]:
    assert dock.annotation is not None
    item = dock.annotation.series[name]
    item.refresh()
    return dict(item.classes)


def click(dock: SeriesWidget, button: Any, qtbot: Any, name: str = "") -> None:
    if name:
        dock.panel.classes.named.value = name
    button.native.click()
    qtbot.waitUntil(lambda: is_at_rest(dock), timeout=LONG)


def test_classes_from_adding_to_undo(
    dock: SeriesWidget, tmp_path: Path, qtbot: Any
) -> None:
    panel = dock.panel.classes
    for name in ("round", "long"):
        click(dock, panel.add, qtbot, name)
        assert panel.of_new.value == name
    paint(dock, (10, 10), 4)
    panel.of_new.value = "round"
    paint(dock, (30, 30), 5)
    assert classes_of(labels_of(dock)) == {4: "long", 5: "round"}
    panel.of_selected.value = "long"
    assert classes_of(labels_of(dock)) == {4: "long", 5: "long"}
    press(dock, "next_image", qtbot)
    assert classes(dock, "a.tif") == {4: "long", 5: "long"}
    paint(dock, (10, 10), 1)  # of the class "round", and not saved yet
    click(dock, panel.rename, qtbot, "long")  # both become one
    assert classes(dock, "b.tif") == {1: "long"}
    assert classes_of(labels_of(dock)) == {1: "long"}
    assert panel.of_new.value == "long"
    click(dock, panel.rename, qtbot, "cell")
    assert classes(dock, "a.tif") == {4: "cell", 5: "cell"}
    click(dock, panel.undo, qtbot)
    click(dock, panel.undo, qtbot)
    assert not panel.undo.enabled
    assert classes(dock, "a.tif") == {4: "long", 5: "long"}
    assert classes_of(labels_of(dock)) == {1: "round"}
    assert dock.annotation is not None
    assert list(dock.annotation.series.classes) == ["round", "long"]


def test_classes_edited_in_the_features_table_are_saved(
    dock: SeriesWidget, qtbot: Any
) -> None:
    paint(dock, (10, 10), 2)
    put_class(labels_of(dock), 2, "odd")
    press(dock, "next_image", qtbot)
    assert classes(dock, "a.tif") == {2: "odd"}
    press(dock, "previous_image", qtbot)
    assert labels_of(dock).features["class"].tolist() == ["", "", "odd"]
    assert dock.panel.classes.of_new.value == "(none)"


def test_objects_have_the_colour_of_their_class(dock: SeriesWidget, qtbot: Any) -> None:
    panel = dock.panel.classes
    click(dock, panel.add, qtbot, "disc")
    paint(dock, (10, 10), 3)
    before = labels_of(dock).get_color(3)
    panel.colored.value = True
    red, green, blue = (round(255 * x) for x in labels_of(dock).get_color(3)[:3])
    assert f"#{red:02x}{green:02x}{blue:02x}" == "#e69f00"
    panel.colored.value = False
    np.testing.assert_array_equal(labels_of(dock).get_color(3), before)


def test_table_and_export(
    dock: SeriesWidget, tmp_path: Path, qtbot: Any, monkeypatch: Any
) -> None:
    click(dock, dock.panel.classes.add, qtbot, "disc")
    paint(dock, (10, 10), 3)
    results, dialog = dock.panel.results, "qtpy.QtWidgets.QFileDialog."
    target = tmp_path / "objects.csv"
    monkeypatch.setattr(dialog + "getSaveFileName", lambda *_: (str(target), ""))
    click(dock, results.table, qtbot)
    (row,) = csv.DictReader(target.read_text(encoding="utf-8").splitlines())
    assert (row["image"], row["object"], row["class"]) == ("a.tif", "3", "disc")
    target = tmp_path / "coco.json"
    click(dock, results.export, qtbot)
    (found,) = json.loads(target.read_text(encoding="utf-8"))["annotations"]
    assert found["area"] == np.count_nonzero(labels_of(dock).data)
    results.format.value, results.status.value = "labelme", "done"
    monkeypatch.setattr(
        dialog + "getExistingDirectory", lambda *_: str(tmp_path / "labelme")
    )
    click(dock, results.export, qtbot)
    assert not list(tmp_path.glob("labelme/*"))
    assert dock.panel.status.value.startswith("The labels were written to")


def test_class_column_leaves_other_columns() -> None:
    labels = Labels(np.zeros((3, 3), int), features={"mine": [1, 2, 3]})
    put_classes(labels, {2: "A"})
    assert classes_of(labels) == {2: "A"}
    assert labels.features["mine"].tolist() == [1, 2, 3]
    put_classes(labels, {7: "B"})
    assert classes_of(labels) == {7: "B"}
    assert labels.features["index"].tolist() == list(range(8))


def test_a_class_for_features_of_another_kind_is_refused() -> None:
    labels = Labels(np.zeros((3, 3), int), features={"index": ["a", "b"]})
    with pytest.raises(ValueError, match=r"'index' .* holds no label numbers"):
        put_class(labels, 2, "A")
    assert labels.features.columns.tolist() == ["index"]


def test_dock_in_a_window_has_the_menu_title(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    widget = open_dock(viewer)
    assert not widget.panel.buttons["next_image"].enabled
    widget.close_series()
