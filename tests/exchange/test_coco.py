"""COCO: read back by pycocotools, and the files of other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal
from pycocotools import mask as coder

import napari_sam as ns
from napari_sam.exchange import coco
from tests.helpers.label_planes import annulus, label_planes

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (6, 7)
SQUARE = [2, 1, 4, 1, 4, 3, 2, 3]  # x, y, ...


# pycocotools hands its arrays out in the way of numpy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(labels=label_planes())
def test_pycocotools_reads_the_same_pixels(
    labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "coco.json"
    ns.export_labels(labels, path)
    content = json.loads(path.read_text())
    assert len(content["annotations"]) == len(set(labels.ravel().tolist()) - {0})
    for annotation in content["annotations"]:
        mask = coder.decode(annotation["segmentation"])
        assert_array_equal(mask, labels == annotation["id"])
        assert annotation["area"] == mask.sum()
        box = coder.toBbox(annotation["segmentation"])
        assert_array_equal(annotation["bbox"], box)


def write(path: Path, *annotations: Any, **more: Any) -> Path:
    images = [{"id": 3, "file_name": "a.png", "height": SHAPE[0], "width": SHAPE[1]}]
    items = [{"image_id": 3, "category_id": 1, **item} for item in annotations]
    classes = [{"id": 1, "name": "cell"}]
    content = {"images": images, "annotations": items, "categories": classes, **more}
    path.write_text(json.dumps(content))
    return path


def mask_of(*pixels: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    for rows, cols in pixels:
        mask[rows, cols] = 1
    return mask


SQUARE_MASK = mask_of((slice(1, 3), slice(2, 4)))


@pytest.mark.parametrize(
    "annotation",
    [
        {"segmentation": [SQUARE]},
        {"segmentation": [SQUARE, [3, 2, 4, 2, 4, 3, 3, 3]]},
        {"bbox": [2, 1, 2, 2]},
        {"segmentation": [], "bbox": [2.0, 1.0, 2.0, 2.0]},
        {"segmentation": coder.encode(np.asfortranarray(SQUARE_MASK))},
        {"segmentation": {"size": SHAPE, "counts": [13, 2, 4, 2, 21]}},
    ],
)
def test_every_kind_of_annotation(tmp_path: Path, annotation: dict[str, Any]) -> None:
    code = annotation.get("segmentation")
    if isinstance(code, dict) and isinstance(code["counts"], bytes):
        code["counts"] = code["counts"].decode()
    path = write(tmp_path / "a.json", {"id": 12, **annotation})
    found = ns.import_labels(path)
    assert_array_equal(found.labels, 12 * SQUARE_MASK)
    assert found.classes == {12: "cell"}


def test_results_without_images(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = [{"image_id": 8, "category_id": 1, "bbox": [2, 1, 2, 2], "score": 0.5}]
    path.write_text(json.dumps(results))
    assert_array_equal(ns.import_labels(path, SHAPE).labels, SQUARE_MASK)


def test_one_of_several_images(tmp_path: Path) -> None:
    images = [
        {"id": i, "file_name": f"sub/{i}.tif", "height": 6, "width": 7} for i in (3, 4)
    ]
    annotations = [
        {"id": 1, "image_id": 3, "segmentation": [SQUARE]},
        {"id": 2, "image_id": 4, "bbox": [0, 0, 1, 1]},
    ]
    path = write(tmp_path / "a.json", images=images, annotations=annotations)
    found = ns.import_labels(path, image="/data/4.tif")
    assert_array_equal(np.argwhere(found.labels), [(0, 0)])
    assert found.ignored == (f"{path}: 1 ignored: annotations of other images.",)
    for image in (None, "5.tif"):
        with pytest.raises(ValueError, match=r"has 2 images.*name one of sub/3"):
            ns.import_labels(path, image=image)


def test_ids_that_are_no_labels_are_numbered(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        {"id": 0, "bbox": [0, 0, 1, 1]},
        {"id": "x", "bbox": [1, 1, 1, 1]},
    )
    assert_array_equal(ns.import_labels(path).labels[:2, :2], [[1, 0], [0, 2]])


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        ({"segmentation": {"size": [6, 8], "counts": "a"}}, r"lengths for \[6, 8\]"),
        ({"segmentation": {"size": [6], "counts": "a"}}, r"lengths for \[6\]"),
        ({"segmentation": {"size": SHAPE, "counts": [1, 2]}}, "do not add up to 6 x 7"),
        ({"segmentation": {"size": SHAPE, "counts": [50, -8]}}, "do not add up"),
        ({"segmentation": {"size": SHAPE, "counts": [2**70]}}, "do not add up"),
        ({"segmentation": {"size": SHAPE, "counts": ["a"]}}, "do not add up"),
        ({"segmentation": {"size": SHAPE, "counts": None}}, "do not add up"),
        ({"segmentation": {"size": SHAPE, "counts": ""}}, "do not add up"),
        ({"segmentation": {"size": SHAPE, "counts": "oooooooooo"}}, "do not add up"),
        ({"segmentation": {"size": SHAPE, "counts": "é"}}, "do not add up"),
        ({"segmentation": [[1, 2, 3]]}, "a polygon with a number too few"),
        ({"segmentation": [[1, 2, 3, 4]]}, r"at least 3 \(x, y\)"),
        ({"segmentation": [[1, 2, 3, 4, 5, "a"]]}, r"at least 3 \(x, y\)"),
        ({"segmentation": [[1, 2, 3, 4, 5, 1e300]]}, "coordinates that are no pixels"),
        ({"bbox": [1, 2]}, "no box of four numbers"),
        ({"bbox": [1, 2, 3, None]}, "no box of four numbers"),
        ({"bbox": [1, 2, float("nan"), 2]}, "coordinates that are no pixels"),
        ({}, "only 1 annotations without a segmentation or box"),
    ],
)
def test_damaged_annotations(
    tmp_path: Path, annotation: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "a.json", annotation)
    with pytest.raises(ValueError, match=rf"a\.json.*{sentence}"):
        ns.import_labels(path)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("", "{", '{"annotations": [', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"a\.json is not JSON"):
            ns.import_labels(path)
    path.write_text('{"annotations": [1, null]}')
    with pytest.raises(ValueError, match=r"annotation 1 is no object"):
        ns.import_labels(path, SHAPE)


def test_a_huge_image_in_a_file_needs_no_memory(tmp_path: Path) -> None:
    images = [{"id": 3, "height": 10**9, "width": 10**9}]
    path = write(tmp_path / "a.json", {"bbox": [0, 0, 1, 1]}, images=images)
    with pytest.raises(ValueError, match=r"give shape=\(H, W\) if that is true"):
        ns.import_labels(path)
    segmentation = {"size": [10**9, 10**9], "counts": [0, 10**18]}
    path = write(tmp_path / "a.json", {"segmentation": segmentation}, images=[])
    with pytest.raises(ValueError, match="run lengths for"):
        ns.import_labels(path, SHAPE)


def test_shapes_too_large_for_coco(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco, "_MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="COCO holds up to 100 pixels; export GeoJSON"):
        ns.export_labels(annulus(), tmp_path / "a.json")


def test_the_annulus(tmp_path: Path) -> None:
    path = ns.export_labels(annulus(), tmp_path / "cells.json")
    content = json.loads(path.read_text())
    assert content["images"][0]["file_name"] == "cells"
    assert [item["id"] for item in content["annotations"]] == [5, 9]
