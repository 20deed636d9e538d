"""`open_series`: folders, lists, tables, and what is in them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.series.opening import open_series
from napari_sam.series.storage.listing import natural_key
from tests.helpers.discs import discs
from tests.helpers.old_parts import write_old_parts
from tests.helpers.series import open_images, save, write_images

if TYPE_CHECKING:
    from pathlib import Path


def names(series: object) -> list[str]:
    return [item.name for item in series]  # type: ignore[attr-defined]


def test_a_folder_lists_its_images_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    series = open_images(tmp_path, "c10.tif", "c9.tif", "day2/c9.tif", "B1.TIF")
    assert names(series) == ["B1.TIF", "c9.tif", "c10.tif", "day2/c9.tif"]
    assert {item.status for item in series} == {"new"}
    paths = {item.labels_path for item in series}
    assert len(paths) == 4
    assert all(path.is_relative_to(tmp_path / "out") for path in paths)


def test_other_files_are_listed_with_a_reason(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "a.tif")
    (images / "notes.txt").write_text("?")
    (images / "broken.tif").write_bytes(b"II*\0no image at all")
    (images / "empty.png").touch()
    (images / ".hidden.tif").touch()
    (images / "gone.tif").symlink_to(images / "nowhere.tif")
    series = open_series(images, tmp_path / "out")
    assert names(series) == ["a.tif", "broken.tif", "empty.png", "gone.tif"]
    assert list(series.ignored) == ["notes.txt"]
    assert set(series.problems) == {"empty.png", "gone.tif"}
    for name in ("broken.tif", "empty.png", "gone.tif"):
        with pytest.raises((ValueError, OSError), match=r"broken|empty|gone"):
            series[name].read()


@pytest.mark.parametrize("place", ["images/out", "images", "."])
def test_the_files_of_a_series_are_no_images(tmp_path: Path, place: str) -> None:
    images = write_images(tmp_path / "images", "a.tif", "sub/b.tif", "a.labels.tif")
    for _ in range(2):
        series = open_series(images, tmp_path / place)
        assert names(series) == ["a.labels.tif", "a.tif", "sub/b.tif"]
        for item in series:
            save(series, item.name, discs())
    assert not series.ignored


def test_a_pattern_chooses_files(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "a.tif", "a_mask.tif", "x/b.tif")
    found = open_series(images, tmp_path / "out", pattern="[!_].tif")
    assert names(found) == ["a.tif", "x/b.tif"]
    assert names(open_series(images, tmp_path / "o2", pattern="x/*.tif")) == ["x/b.tif"]


def test_lists_and_tables_name_images(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "a.tif", "x/b.tif", "c.tif")
    wanted = [images / "x" / "b.tif", images / "a.tif", images / "missing.tif"]
    series = open_series(wanted, tmp_path / "out")
    assert names(series) == ["a.tif", "missing.tif", "x/b.tif"]
    assert set(series.problems) == {"missing.tif"}
    table = images / "table.csv"
    table.write_text("no,image\n1,x/b.tif\n2,a.tif\n")
    assert names(open_series(table, tmp_path / "out2")) == ["a.tif", "x/b.tif"]
    table.write_text("x/b.tif\na.tif\n")
    with pytest.raises(ValueError, match="header"):
        open_series(table, tmp_path / "out3")
    with pytest.raises(ValueError, match="empty"):
        open_series([], tmp_path / "out4")


def test_a_series_is_opened_again_by_its_own_folder(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", index={"c": 1})
    save(series, "b.tif", discs(), status="done")
    again = open_series(tmp_path / "out")
    assert names(again) == names(series)
    assert again["b.tif"].status == "done"
    assert again["a.tif"].choice.index == {"C": 1}
    with pytest.raises(ValueError, match="output"):
        open_series(tmp_path / "images")


def test_series_and_images_can_be_moved_together(tmp_path: Path) -> None:
    save(open_images(tmp_path / "old", "a.tif"), "a.tif", discs())
    os.rename(tmp_path / "old", tmp_path / "new")
    moved = open_series(tmp_path / "new" / "out")
    assert not moved.problems
    assert np.array_equal(moved["a.tif"].read_labels(), discs())
    assert moved["a.tif"].read().used.shape == discs().shape


def test_images_that_come_and_go(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif")
    save(series, "b.tif", discs())
    (tmp_path / "images" / "b.tif").unlink()
    series = open_images(tmp_path, "c.tif")
    assert names(series) == ["a.tif", "b.tif", "c.tif"]
    assert set(series.problems) == {"b.tif"}
    assert series["b.tif"].status == "started"


def test_other_images_or_choices_are_refused(tmp_path: Path) -> None:
    open_images(tmp_path, "a.tif")
    other = write_images(tmp_path / "other", "z.tif")
    with pytest.raises(ValueError, match="another output"):
        open_series(other, tmp_path / "out")
    with pytest.raises(ValueError, match="other choices"):
        open_series(tmp_path / "images", tmp_path / "out", index={"T": 1})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_series(tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 9, "images": []}',
        '{"format": 1, "root": ".", "images": ["../a.tif"]}',
        '{"format": 1, "root": ".", "images": ["/etc/a.tif"]}',
        '{"format": 1, "root": ".", "images": [], "classes": [{"name": "x"}]}',
    ],
)
def test_a_damaged_project_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    open_images(tmp_path, "a.tif")
    path = tmp_path / "out" / "series.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"series\.json"):
        open_series(tmp_path / "images", tmp_path / "out")
    assert path.read_text() == content


def test_the_files_are_for_humans(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif")
    save(series, "a.tif", discs(), note="blurred", classes={2: "cell"})
    state = json.loads((tmp_path / "out" / "a.tif.state.json").read_text())
    assert state["image"] == "a.tif"
    assert state["note"] == "blurred"
    assert state["classes"] == {"2": "cell"}
    project = json.loads((tmp_path / "out" / "series.json").read_text())
    assert (project["root"], project["images"]) == ("../images", ["a.tif"])


def test_folders_of_two_people_merge(tmp_path: Path) -> None:
    for person, name in (("one", "a.tif"), ("two", "b.tif")):
        images = write_images(tmp_path / "images", "a.tif", "b.tif")
        save(open_series(images, tmp_path / person), name, discs(), status="done")
    for path in (tmp_path / "two").glob("b.tif.*"):
        os.rename(path, tmp_path / "one" / path.name)
    merged = open_series(tmp_path / "one")
    assert merged.counts["done"] == 2
    assert not merged.problems


def test_ten_thousand_names_sort_as_numbers() -> None:
    wanted = [f"a{i}.tif" for i in range(10_000)]
    assert sorted(sorted(wanted), key=natural_key) == wanted


def test_files_of_killed_processes_go_when_a_series_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = open_images(tmp_path, "a.tif", "day2/b.tif")
    for name in ("a.tif", "day2/b.tif"):
        series[name].labels_path.parent.mkdir(parents=True, exist_ok=True)
    old = write_old_parts(monkeypatch, tmp_path / "out", tmp_path / "out" / "day2")
    open_series(tmp_path / "out")
    assert not any(part.exists() for part in old)
