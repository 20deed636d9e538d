"""Labels to the formats of other programs and back."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.exchange.formats import ENDINGS
from tests.helpers.label_planes import annulus, label_planes

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = list(ENDINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exchange")


@pytest.mark.parametrize("format", FORMATS)
@given(labels=label_planes())
def test_round_trip_of_any_labels(
    labels: np.ndarray, format: Any, folder: Path
) -> None:
    path = folder / f"labels{ENDINGS[format]}"
    assert ns.export_labels(labels, path, format) == path
    found = ns.import_labels(path, labels.shape, format=format)
    assert_array_equal(found.labels, labels)
    assert found.ignored == ()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", ["bool", "u1", ">i4", "u8"])
def test_types_of_labels(tmp_path: Path, format: Any, dtype: str) -> None:
    labels = (annulus() > 0).astype(dtype)[:, ::-1]
    path = tmp_path / f"labels{ENDINGS[format]}"
    ns.export_labels(labels, path, format)
    found = ns.import_labels(path, labels.shape).labels
    assert_array_equal(found, labels.astype(int))
    assert found.dtype == np.int32


@pytest.mark.parametrize("format", FORMATS)
def test_ids_beyond_int32(tmp_path: Path, format: Any) -> None:
    labels = np.array([[0, 2**31], [2**40, 7]])
    path = tmp_path / f"labels{ENDINGS[format]}"
    ns.export_labels(labels, path, format)
    found = ns.import_labels(path, (2, 2)).labels
    assert found.dtype == np.int64
    assert_array_equal(found, labels)


@pytest.mark.parametrize("format", FORMATS)
def test_labels_without_an_object(tmp_path: Path, format: Any) -> None:
    path = tmp_path / f"labels{ENDINGS[format]}"
    ns.export_labels(np.zeros((3, 5), int), path, format)
    found = ns.import_labels(path, (3, 5))
    assert not found.labels.any()
    assert found.labels.shape == (3, 5)


@pytest.mark.parametrize("format", ["coco", "labelme"])
def test_the_file_tells_the_shape(tmp_path: Path, format: Any) -> None:
    path = ns.export_labels(annulus(), tmp_path / "cells.json", format)
    assert_array_equal(ns.import_labels(path).labels, annulus())
    with pytest.raises(ValueError, match="for an image of 12 x 14 pixels, and this"):
        ns.import_labels(path, (12, 15))
    assert "part" not in path.read_text()  # of the temporary file


@pytest.mark.parametrize("format", ["geojson", "imagej", "yolo"])
def test_a_file_without_a_shape(tmp_path: Path, format: Any) -> None:
    path = tmp_path / f"labels{ENDINGS[format]}"
    ns.export_labels(annulus(), path, format)
    with pytest.raises(ValueError, match=r"no image size: give shape=\(H, W\)"):
        ns.import_labels(path)


def test_ids_of_yolo_are_kept_beside_the_text(tmp_path: Path) -> None:
    path = tmp_path / "cells.txt"
    beside = tmp_path / "cells.ids.json"
    ns.export_labels(annulus(), path, "yolo")
    assert json.loads(beside.read_text()) == [5, 9]
    ns.export_labels(np.eye(3, dtype=int), path, "yolo")
    assert not beside.exists()
    beside.write_text('{"other": "content"}')
    with pytest.raises(
        ValueError, match=r"ids\.json holds no ids of labels: rename it"
    ):
        ns.export_labels(annulus(), path, "yolo")
    beside.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"ids\.json does not fit"):
        ns.import_labels(path, (3, 3))


def test_a_failed_export_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cells.json"
    path.write_text("old")
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'napari-sam\[exchange"):
        ns.export_labels(annulus(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((2, 3)), "type float64: give integers"),
        (np.zeros((2, 3, 4), int), r"shape \(2, 3, 4\)"),
        (np.zeros((0, 4), int), r"shape \(0, 4\)"),
        ([[1, -1]], "range from -1 to 1: number them from 1"),
    ],
)
def test_labels_that_are_refused(tmp_path: Path, labels: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ns.export_labels(labels, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format 'voc' is unknown: give one of coco"):
        ns.export_labels(annulus(), tmp_path / "a.xml", "voc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="format 'voc' is unknown"):
        ns.import_labels(tmp_path / "a.xml", format="voc")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"no folder .*none: make it first"):
        ns.export_labels(annulus(), tmp_path / "none" / "a.json")
    with pytest.raises(FileNotFoundError):
        ns.import_labels(tmp_path / "none.json")


def test_names_with_other_endings(tmp_path: Path) -> None:
    path = ns.export_labels(annulus(), tmp_path / "cells.labels", "yolo")
    found = ns.import_labels(path, annulus().shape, format="yolo")
    assert_array_equal(found.labels, annulus())
    with pytest.raises(
        ValueError, match=r"cells\.roi becomes a ROI set: name it \.zip"
    ):
        ns.export_labels(annulus(), tmp_path / "cells.roi", "imagej")


def test_another_format_than_asked_for(tmp_path: Path) -> None:
    path = ns.export_labels(annulus(), tmp_path / "a.json", "labelme")
    with pytest.raises(ValueError, match=r"a\.json is not coco"):
        ns.import_labels(path, format="coco")
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"is not ImageJ ROIs, GeoJSON, COCO"):
        ns.import_labels(path, (3, 4))


@pytest.mark.parametrize("shape", [(3,), (0, 4), "ab", (1, 2, 3, 4, 5), 7])
def test_shapes_that_are_refused(tmp_path: Path, shape: Any) -> None:
    path = ns.export_labels(annulus(), tmp_path / "a.json")
    with pytest.raises(ValueError, match="is not a shape: give"):
        ns.import_labels(path, shape)


# -- stacks --------------------------------------------------------------------


@pytest.mark.parametrize("format", ["geojson", "imagej"])
@given(plane=label_planes(), data=st.data())
def test_round_trip_of_stacks(
    plane: np.ndarray, data: st.DataObject, format: Any, folder: Path
) -> None:
    axes = "".join(data.draw(st.permutations("CZT"))[: data.draw(st.integers(1, 2))])
    shape = tuple(data.draw(st.integers(1, 3)) for _ in axes)
    labels = np.stack([np.roll(plane, i) for i in range(np.prod(shape))])
    labels = labels.reshape(*shape, *plane.shape)
    path = folder / f"stack{ENDINGS[format]}"
    ns.export_labels(labels, path, format, axes=f"{axes}YX")
    found = ns.import_labels(path, labels.shape, axes=f"{axes}YX")
    assert_array_equal(found.labels, labels)
    assert found.ignored == ()


@pytest.mark.parametrize("format", ["coco", "labelme", "yolo"])
def test_formats_of_planes_refuse_stacks(tmp_path: Path, format: Any) -> None:
    sentence = (
        r"holds one plane, and the labels have shape \(1, 2, 2\): give one plane, "
    )
    with pytest.raises(ValueError, match=sentence + "or export geojson or imagej"):
        ns.export_labels(np.ones((1, 2, 2), int), tmp_path / "a", format)
    with pytest.raises(ValueError, match="axes MYX have other slices than C, Z, T"):
        ns.export_labels(np.ones((1, 2, 2), int), tmp_path / "a", "geojson", axes="MYX")


def square(z: int | None, left: int, name: str = "", **plane: int) -> dict[str, Any]:
    """A feature of 2 x 2 pixels, with its upper edge on row 1."""
    x, y = (left, left + 2), (1, 3)
    ring = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])]
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [ring]}
    if z is not None:
        geometry["plane"] = {"c": -1, "z": z, **plane}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": name}}


def write(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_positions_are_slices_of_a_stack(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", square(0, 1, "4"), square(2, 4, "4"))
    expected = np.zeros((3, 5, 8), int)
    expected[0, 1:3, 1:3] = expected[2, 1:3, 4:6] = 4
    assert_array_equal(ns.import_labels(path, (3, 5, 8)).labels, expected)
    for z in range(3):
        if z == 1:
            with pytest.raises(ValueError, match="only 2 annotations at other slices"):
                ns.import_labels(path, (5, 8), index={"Z": z})
            continue
        found = ns.import_labels(path, (5, 8), index={"Z": z})
        assert_array_equal(found.labels, expected[z])
        assert found.ignored == (
            f"{path}: 1 ignored: annotations at other slices, times or channels.",
        )
    with pytest.raises(ValueError, match="on several slices, times or channels: give"):
        ns.import_labels(path, (5, 8))


def test_annotations_beyond_a_stack_or_without_a_position(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", square(1, 1), square(9, 4), square(None, 5))
    found = ns.import_labels(path, (3, 5, 8))
    # QuPath gives no plane to objects on the first slice.
    assert np.argwhere(found.labels)[::4].tolist() == [[0, 1, 5], [1, 1, 1]]
    assert [line.partition(": ")[2] for line in found.ignored] == [
        "1 ignored: annotations at other slices, times or channels.",
    ]


def test_no_positions_in_a_stack(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", square(None, 1), square(None, 5))
    with pytest.raises(
        ValueError, match="only 2 annotations without a position along Z"
    ):
        ns.import_labels(path, (3, 5, 8))


def test_axes_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", square(0, 1, t=1), square(0, 4, t=0))
    labels = ns.import_labels(path, (2, 5, 8), axes="tyx").labels
    assert labels[1, 1, 1] == 1
    assert labels[0, 1, 4] == 2
    with pytest.raises(ValueError, match="axes 'TZ' do not fit"):
        ns.import_labels(path, (5, 8), axes="TZ")
    assert ns.import_labels(path, (5, 8), index={"t": np.int64(1)}).labels.any()
    for index in ({"Z": 1.5}, {3: 1}, {"Z": None}):
        with pytest.raises(ValueError, match=r"is not {axis: index}: give"):
            ns.import_labels(path, (5, 8), index=index)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="index Y=1 is not of an axis besides YX"):
        ns.import_labels(path, (5, 8), index={"Y": 1})


# -- what is ignored or changed is said ------------------------------------------


def test_overlaps_and_cropped_objects_are_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.geojson",
        square(None, 1),
        square(None, 1),
        square(None, 2),
        square(None, 7),
        square(None, 30),
    )
    found = ns.import_labels(path, (5, 8))
    assert found.labels[1].tolist() == [0, 2, 3, 3, 0, 0, 0, 4]
    assert [line.partition(": ")[2] for line in found.ignored] == [
        "2 ignored: parts beyond the edge of the image.",
        "6 ignored: pixels of objects under later ones.",
        "2 ignored: objects without a visible pixel on the image.",
    ]


def test_numbers_of_some_objects_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", square(None, 1, "7"), square(None, 4, "b"))
    found = ns.import_labels(path, (5, 8))
    assert sorted(set(found.labels.ravel().tolist())) == [0, 1, 2]
    assert "1 ignored: numbers, as not all objects have one" in found.ignored[0]
    assert found.classes == {2: "b"}
