"""Classes of labels, out to other programs and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.exchange.labels import export_labels, import_labels
from tests.helpers.discs import discs

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.exchange.formats import Format

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("coco", "a.json"),
        ("geojson", "a.geojson"),
        ("labelme", "a.json"),
        ("yolo", "a.txt"),
    ],
)
@given(names=st.lists(NAMES.map(str.strip).filter(bool), min_size=4, max_size=4))
def test_classes_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    format: Format,
    file: str,
    names: list[str],
) -> None:
    path = tmp_path_factory.mktemp("classes") / file
    classes = dict(enumerate(names, 1))
    export_labels(discs(), path, format, classes=classes)
    found = import_labels(path, discs().shape)
    assert np.array_equal(found.labels, discs())
    assert found.classes == classes


@pytest.mark.parametrize("format", ["coco", "yolo"])
def test_labels_without_a_class_get_one(tmp_path: Path, format: Format) -> None:
    path = tmp_path / ("a.json" if format == "coco" else "a.txt")
    export_labels(discs(), path, format, classes={2: "cell"})
    classes = import_labels(path, discs().shape).classes
    assert classes == {1: "object", 2: "cell", 3: "object", 4: "object"}


def test_colours_number_the_classes_and_are_shown_by_qupath(tmp_path: Path) -> None:
    colors = {"b": "#010203", "a": "#ffffff"}
    options = {"classes": {1: "a", 2: "b", 3: "c"}, "colors": colors}
    export_labels(discs(), tmp_path / "a.json", "coco", **options)
    categories = json.loads((tmp_path / "a.json").read_text())["categories"]
    assert [entry["name"] for entry in categories] == ["b", "a", "c", "object"]
    export_labels(discs(), tmp_path / "a.geojson", "geojson", **options)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    shown = [feature["properties"].get("classification") for feature in features]
    assert shown[1] == {"name": "b", "color": [1, 2, 3]}
    assert shown[2:] == [{"name": "c"}, None]


def test_data_of_other_classes_is_not_replaced(tmp_path: Path) -> None:
    data = tmp_path / "data.yaml"
    data.write_text("train: images\nnames:\n  0: dog\n")
    with pytest.raises(ValueError, match=r"data\.yaml"):
        export_labels(discs(), tmp_path / "a.txt", "yolo", classes={1: "cat"})
    assert sorted(tmp_path.iterdir()) == [data]
    export_labels(discs() == 1, tmp_path / "a.txt", "yolo", classes={1: "dog"})
    assert import_labels(tmp_path / "a.txt", discs().shape).classes == {1: "dog"}
