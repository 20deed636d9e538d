"""Annotation files that napari opens, and Labels layers that it saves as them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.notifications import notification_manager
from napari_builtins.io import napari_write_points, napari_write_shapes
from npe2 import PluginManifest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.exchange.prompts import read_prompts
from napari_sam.plugin.annotation_files import get_reader, write_labels
from napari_sam.prompts.selection import ImageSelection
from tests.helpers.label_planes import annulus

if TYPE_CHECKING:
    from pathlib import Path


def save(layer: Labels, path: Path) -> None:
    """Write a layer like `layer.save`, which needs plugin discovery."""
    data, meta, _ = layer.as_layer_data_tuple()
    assert write_labels(str(path), data, meta) == [str(path)]


def test_the_manifest_names_the_endings() -> None:
    writers = PluginManifest.from_distribution("napari-sam").contributions.writers
    assert {end for writer in writers for end in writer.filename_extensions} == {
        *(".geojson", ".zip", ".json", ".zarr")
    }


@pytest.mark.parametrize("levels", [1, 2])
def test_a_plane(tmp_path: Path, levels: int) -> None:
    data: Any = [annulus(), annulus()[::2, ::2]] if levels == 2 else annulus()
    save(Labels(data, multiscale=levels == 2), tmp_path / "a.geojson")
    found = ns.import_labels(tmp_path / "a.geojson", annulus().shape)
    assert_array_equal(found.labels, annulus())


@pytest.mark.parametrize("names", [None, ("t", "y", "x"), ("time", "y", "x")])
def test_a_stack_and_the_names_of_its_axes(tmp_path: Path, names: Any) -> None:
    stack = np.stack([annulus(), np.roll(annulus(), 1)])
    kwargs = {} if names is None else {"axis_labels": names}
    save(Labels(stack, **kwargs), tmp_path / "a.geojson")
    axes = "TYX" if names == ("t", "y", "x") else "ZYX"
    found = ns.import_labels(tmp_path / "a.geojson", stack.shape, axes=axes)
    assert_array_equal(found.labels, stack)


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="coco holds one plane"):
        save(Labels(np.stack([annulus()] * 2)), tmp_path / "a.json")


# -- opening -------------------------------------------------------------------


def opened(path: Path) -> tuple[ViewerModel, list[str]]:
    """Open a file as napari does; return the viewer, and what was said."""
    before = len(notification_manager.records)
    reader = get_reader(str(path))
    assert reader is not None
    viewer = ViewerModel()
    for layer in reader(str(path)):
        viewer.add_layer(Layer.create(*layer))
    return viewer, [str(r.message) for r in notification_manager.records[before:]]


def feature(kind: str, coordinates: Any, name: str = "", **more: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates, **more},
        "properties": {"name": name},
    }


RING = [[10, 4], [20, 4], [20, 14], [10, 14], [10, 4]]
HOLE = [[13, 7], [15, 7], [15, 9], [13, 9], [13, 7]]


def write(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_geometries_become_shapes_and_points(tmp_path: Path) -> None:
    path = write(
        tmp_path / "cells.geojson",
        feature("Polygon", [RING, HOLE], "7"),
        feature("LineString", [[1, 1], [2, 2]]),
        feature("LineString", [[1, 1], [2, 2], [3, 1]]),
        feature("MultiPoint", [[5.5, 6.5], [7.5, 8.5]], "negative"),
    )
    viewer, said = opened(path)
    shapes, points = viewer.layers
    assert (shapes.name, points.name) == ("cells", "cells points")
    assert list(shapes.shape_type) == ["polygon", "line", "path"]
    assert_array_equal(shapes.data[0].min(axis=0), (3.5, 9.5))
    assert list(shapes.features["object"]) == [7, None, None]
    assert_array_equal(points.data, [(6, 5), (8, 7)])
    assert list(points.features["polarity"]) == ["negative", "negative"]
    assert said == [f"{path}: 1 ignored: holes, which shapes do not have."]


def test_positions_become_axes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "cells.geojson",
        feature("Polygon", [RING], plane={"c": -1, "z": 3, "t": 0}),
        feature("Point", [5.5, 6.5], plane={"c": -1, "z": 2, "t": 0}),
        feature("Point", [5.5, 7.5]),
    )
    shapes, points = opened(path)[0].layers
    assert shapes.ndim == points.ndim == 3
    assert set(shapes.data[0][:, 0]) == {3}
    assert_array_equal(points.data, [(2, 6, 5), (0, 7, 5)])


@pytest.mark.parametrize("ending", [".zip", ".roi"])
def test_rois_with_islands(tmp_path: Path, ending: str) -> None:
    roifile = pytest.importorskip("roifile")
    path = ns.export_labels(annulus(), tmp_path / "a.zip", "imagej")
    if ending == ".roi":
        roi = roifile.roiread(path)[0]
        path = tmp_path / "a.roi"
        roi.tofile(path)
    (shapes,) = opened(path)[0].layers
    # Three parts of one label, and a second label in the hole.
    assert len(shapes.data) == (4 if ending == ".zip" else 3)


def test_layers_that_are_saved_again_are_the_same_prompts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.geojson", feature("Polygon", [RING]), feature("Point", [30, 30])
    )
    viewer, _ = opened(path)
    files = []
    for layer, save_layer in zip(
        viewer.layers, (napari_write_shapes, napari_write_points), strict=True
    ):
        files.append(tmp_path / f"{layer.name}.csv")
        save_layer(str(files[-1]), *layer.as_layer_data_tuple()[:2])
    selection = ImageSelection.of_stack((50, 60))
    expected = read_prompts(path, selection).objects
    found = read_prompts(files, selection).objects
    for number, slices in expected.items():
        assert found[number][0].kinds == slices[0].kinds
        assert_array_equal(found[number][0].box, slices[0].box)
        assert_array_equal(found[number][0].points, slices[0].points)


@pytest.mark.parametrize("format", ["labelme"])
def test_files_with_a_size_become_labels(tmp_path: Path, format: Any) -> None:
    path = ns.export_labels(annulus(), tmp_path / "a.json", format)
    (labels,) = opened(path)[0].layers
    assert_array_equal(labels.data, annulus())


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    other, archive = tmp_path / "a.json", tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "")
    for content in ("{}", "[]", "{", '[{"box": [1, 2, 3, 4]}]'):
        other.write_text(content)
        assert get_reader(str(other)) is None
    for path in (
        str(archive),
        str(tmp_path),
        [str(other)],
        str(tmp_path / "none.json"),
    ):
        assert get_reader(path) is None
