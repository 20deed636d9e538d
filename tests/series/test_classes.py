"""Classes of a series: colours, classes of objects, rename and merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_sam.series.opening import open_series
from napari_sam.series.storage.lock import LockedError
from napari_sam.series.storage.project import COLORS
from tests.helpers.discs import discs
from tests.helpers.series import open_images, save

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.series.image_series import ImageSeries


@pytest.fixture
def series(tmp_path: Path) -> ImageSeries:
    """Two images with objects of the classes A, B and C."""
    series = open_images(tmp_path, "1.tif", "2.tif", "3.tif")
    for name in "ABC":
        series.add_class(name)
    save(series, "1.tif", discs(), classes={1: "A", 2: "B", 3: "C"})
    save(series, "2.tif", discs(), classes={1: "B"})
    return series


def test_classes_have_colours_and_are_kept(series: ImageSeries) -> None:
    assert dict(series.classes) == dict(zip("ABC", COLORS, strict=False))
    series.add_class("B", "#ABCDEF")
    again = open_series(series.output)
    assert list(again.classes) == ["A", "B", "C"]
    assert again.classes["B"] == "#abcdef"
    for name, color in [("", None), ("D", "red"), ("D", "#12345")]:
        with pytest.raises(ValueError, match=r"name|colour"):
            series.add_class(name, color)
    assert list(open_series(series.output).classes) == ["A", "B", "C"]


def test_a_class_added_by_another_process_stays(series: ImageSeries) -> None:
    open_series(series.output).add_class("theirs")
    series.add_class("ours")
    assert {"theirs", "ours"} <= set(open_series(series.output).classes)


def test_the_class_of_an_object_is_changed(series: ImageSeries) -> None:
    with series.edit("2.tif") as editor:
        editor.set_classes({1: "C", 4: "A"})
    item = open_series(series.output)["2.tif"]
    assert item.classes == {1: "C", 4: "A"}
    assert item.status == "started"


def test_a_class_is_renamed_everywhere(series: ImageSeries) -> None:
    series.rename_class("B", "cell")
    again = open_series(series.output)
    assert list(again.classes) == ["A", "cell", "C"]
    assert again.classes["cell"] == COLORS[1]
    assert again["1.tif"].classes == {1: "A", 2: "cell", 3: "C"}
    assert again["2.tif"].classes == {1: "cell"}
    with pytest.raises(ValueError, match="merge"):
        series.rename_class("A", "C")
    with pytest.raises(ValueError, match="no class 'B'"):
        series.rename_class("B", "D")


@pytest.mark.parametrize("names", [["B"], ["B", "A"], ["A", "B"]])
def test_classes_are_merged(series: ImageSeries, names: list[str]) -> None:
    series.merge_classes(names, "A")
    again = open_series(series.output)
    assert list(again.classes) == ["A", "C"]
    assert again["1.tif"].classes == {1: "A", 2: "A", 3: "C"}
    assert again["2.tif"].classes == {1: "A"}


def test_all_images_change_or_none(series: ImageSeries) -> None:
    with series.edit("2.tif"), pytest.raises(LockedError, match=r"2\.tif"):
        series.rename_class("B", "D")
    again = open_series(series.output)
    assert again["1.tif"].classes == {1: "A", 2: "B", 3: "C"}
    assert not again["1.tif"].lock_path.exists()
    series.rename_class("B", "E")
    assert set(series["1.tif"].classes.values()) == {"A", "E", "C"}


def test_a_merge_is_taken_back(series: ImageSeries) -> None:
    before = dict(series.classes)
    change = series.merge_classes(["A", "B"], "D")
    assert list(series.classes) == ["D", "C"]
    assert series["1.tif"].classes == {1: "D", 2: "D", 3: "C"}
    series.add_class("E", "#123456")
    with series.edit("2.tif") as editor:
        editor.set_classes({1: "C"})  # since then: it stays
    series.undo_classes(change)
    assert dict(series.classes) == {**before, "E": "#123456"}
    assert series["1.tif"].classes == {1: "A", 2: "B", 3: "C"}
    assert series["2.tif"].classes == {1: "C"}
    assert dict(open_series(series.output).classes) == dict(series.classes)
