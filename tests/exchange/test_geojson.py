"""GeoJSON: read back by shapely, and the features of QuPath."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal
from shapely import contains_xy
from shapely.geometry import shape as geometry_of

import napari_sam as ns
from tests.helpers.label_planes import label_planes

if TYPE_CHECKING:
    from pathlib import Path

RING = [[2, 1], [4, 1], [4, 3], [2, 3], [2, 1]]
SHAPE = (6, 7)


@given(labels=label_planes())
def test_shapely_reads_the_same_pixels(
    labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "labels.geojson"
    ns.export_labels(labels, path, "geojson")
    rows, cols = np.indices(labels.shape) + 0.5
    painted = np.zeros_like(labels)
    for feature in json.loads(path.read_text())["features"]:
        geometry = geometry_of(feature["geometry"])
        assert geometry.is_valid
        inside = contains_xy(geometry, cols, rows)
        assert geometry.area == inside.sum()
        painted[inside] = int(feature["properties"]["name"])
    assert_array_equal(painted, labels)


def feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": "e9bf4a8e-3dd1-4be0-9f0b-1f1ad1e1ea5e",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **properties},
    }


SQUARE = feature("Polygon", [RING], classification={"name": "Tumor", "color": [1, 2]})


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [SQUARE]},
        [SQUARE],
        SQUARE,
        SQUARE["geometry"],
        {"type": "GeometryCollection", "geometries": [SQUARE["geometry"]]},
        feature("MultiPolygon", [[RING]]),
        feature("Polygon", [[[*xy, 0.0] for xy in RING]]),
        feature("Polygon", [[[x - 0.4, y + 0.4] for x, y in RING]]),
    ],
)
def test_every_form(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    found = ns.import_labels(path, SHAPE).labels
    assert_array_equal(np.argwhere(found), [(1, 2), (1, 3), (2, 2), (2, 3)])


def test_classes(tmp_path: Path) -> None:
    derived = feature("Polygon", [RING], classification={"names": ["Tumor", "CD8"]})
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([SQUARE, derived]))
    found = ns.import_labels(path, SHAPE)
    assert found.classes == {1: "Tumor", 2: "Tumor: CD8"}


def test_overlapping_parts_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(feature("MultiPolygon", [[RING], [RING]])))
    assert (ns.import_labels(path, SHAPE).labels > 0).sum() == 4


def test_what_is_ignored(tmp_path: Path) -> None:
    cell = {**SQUARE, "nucleusGeometry": SQUARE["geometry"]}
    features = [
        cell,
        feature("Point", [1, 1]),
        feature("LineString", [[1, 1], [2, 2]]),
        feature("Polygon", []),
        {"type": "Feature", "geometry": None},
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(features))
    ignored = ns.import_labels(path, SHAPE).ignored
    assert [line.partition(": ")[2] for line in ignored] == [
        "1 ignored: nuclei inside cells.",
        "2 ignored: points or lines, which have no area.",
        "1 ignored: empty geometries.",
        "1 ignored: features without a geometry.",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (feature("Circle", [RING]), "a geometry 'Circle': export a polygon"),
        (feature("Polygon", [RING[:2]]), r"no list of at least 3 \(x, y\)"),
        (feature("Polygon", [[["a", 1]] * 4]), r"no list of at least 3 \(x, y\)"),
        (feature("Polygon", [[[1]] * 4]), r"no list of at least 3 \(x, y\)"),
        (feature("Polygon", ["abc"]), r"no list of at least 3 \(x, y\)"),
        (feature("MultiPolygon", [[]]), "a polygon without a ring"),
        (feature("MultiPolygon", [7]), "a polygon without a ring"),
        (feature("Polygon", [[[1, 1e30], *RING]]), "coordinates that are no pixels"),
        ({"type": "FeatureCollection", "features": [3]}, "is no object"),
    ],
)
def test_damaged_features(tmp_path: Path, content: Any, sentence: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"a\.geojson, feature 1.*{sentence}"):
        ns.import_labels(path, SHAPE)
