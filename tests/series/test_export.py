"""Labels of a series with classes, for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.exchange.labels import import_labels
from tests.helpers.discs import discs
from tests.helpers.series import open_images, save

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.exchange.formats import Format
    from napari_sam.series.image_series import ImageSeries

SHAPE = discs().shape


@pytest.fixture
def series(tmp_path: Path) -> ImageSeries:
    """Two images with labels, one of them done, and one without."""
    series = open_images(tmp_path, "a.tif", "x/b.tif", "new.tif")
    series.add_class("unused", "#000000")
    series.add_class("cell", "#0000ff")
    save(series, "a.tif", discs(), classes={1: "cell"})
    save(series, "x/b.tif", discs() * 3, classes={3: "dirt", 6: "cell"}, status="done")
    return series


def test_coco_is_one_data_set_of_all_images(
    series: ImageSeries, tmp_path: Path
) -> None:
    path = tmp_path / "coco.json"
    assert series.export(path) == {}
    content = json.loads(path.read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.tif", "x/b.tif"]
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert len(set(ids)) == len(ids) == 8
    names = [entry["name"] for entry in content["categories"]]
    assert names[:2] == ["unused", "cell"]
    found = import_labels(path, SHAPE, image="x/b.tif")
    assert np.array_equal(found.labels, discs() * 3)
    assert found.classes == {3: "dirt", 6: "cell", 9: "object", 12: "object"}


@pytest.mark.parametrize(
    ("format", "ending"),
    [
        ("geojson", ".geojson"),
        ("yolo", ".txt"),
        ("labelme", ".json"),
        ("imagej", ".zip"),
    ],
)
def test_other_formats_are_a_folder(
    series: ImageSeries, tmp_path: Path, format: Format, ending: str
) -> None:
    folder = tmp_path / "exported"
    for _ in range(2):
        assert series.export(folder, format) == {}
        found = import_labels(folder / f"x/b.tif{ending}", SHAPE)
        assert np.array_equal(found.labels, discs() * 3)
        if format != "imagej":
            assert (found.classes[3], found.classes[6]) == ("dirt", "cell")


def test_a_status_chooses_images(series: ImageSeries, tmp_path: Path) -> None:
    assert series.export(tmp_path / "done", "geojson", status="done") == {}
    files = [p.name for p in (tmp_path / "done").rglob("*") if p.is_file()]
    assert files == ["b.tif.geojson"]


def test_what_cannot_be_exported_is_listed(series: ImageSeries, tmp_path: Path) -> None:
    series["a.tif"].labels_path.write_bytes(b"damaged")
    assert set(series.export(tmp_path / "coco.json")) == {"a.tif"}
    assert set(series.export(tmp_path / "out.geojson", "geojson")) == {"a.tif"}
    with pytest.raises(ValueError, match="unknown"):
        series.export(tmp_path / "x", "png")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        series.export(tmp_path / "nowhere" / "coco.json")
