"""labelme: masks read as labelme reads them, and every type of shape."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal
from PIL import Image

import napari_sam as ns
from tests.helpers.label_planes import label_planes

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (20, 24)


def decode(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def encode(mask: Any, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8)).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


@given(labels=label_planes())
def test_masks_lie_in_their_boxes(
    labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "labelme.json"
    ns.export_labels(labels, path, "labelme")
    painted = np.zeros_like(labels)
    for shape in json.loads(path.read_text())["shapes"]:
        (x0, y0), (x1, y1) = shape["points"]  # both pixels are inside
        mask = decode(shape["mask"]) > 0
        painted[y0 : y1 + 1, x0 : x1 + 1][mask] = shape["group_id"]
    assert_array_equal(painted, labels)


def imported(path: Path, *shapes: dict[str, Any], **more: Any) -> Any:
    whole = [{"label": "cell", "group_id": None, **shape} for shape in shapes]
    content = {"shapes": whole, "imageHeight": SHAPE[0], "imageWidth": SHAPE[1], **more}
    path.write_text(json.dumps(content))
    return ns.import_labels(path)


@pytest.mark.parametrize(
    "shape",
    [
        {"points": [[2, 1], [4, 1], [4, 3], [2, 3]]},  # of versions without types
        {"shape_type": "polygon", "points": [[2, 1], [4, 1], [4, 3], [2, 3]]},
        {"shape_type": "rectangle", "points": [[2, 1], [4, 3]]},
        {"shape_type": "rectangle", "points": [[4, 1], [2, 3]]},
        {"shape_type": "rectangle", "points": [[2, 1], [4, 1], [4, 3], [2, 3]]},
        {
            "shape_type": "mask",
            "points": [[2, 1], [3, 2]],
            "mask": encode([[9] * 2] * 2),
        },
    ],
)
def test_areas(tmp_path: Path, shape: dict[str, Any]) -> None:
    found = imported(tmp_path / "a.json", shape)
    assert_array_equal(np.argwhere(found.labels), [(1, 2), (1, 3), (2, 2), (2, 3)])
    assert found.classes == {1: "cell"}


def test_a_circle(tmp_path: Path) -> None:
    circle = {"shape_type": "circle", "points": [[10, 9], [10, 3]]}
    mask = imported(tmp_path / "a.json", circle).labels > 0
    rows, cols = np.nonzero(mask)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (3, 14, 4, 15)


def test_a_group_is_one_object(tmp_path: Path) -> None:
    parts = [
        {"shape_type": "rectangle", "points": [[x, 1], [x + 2, 3]], "group_id": 6}
        for x in (1, 8)
    ]
    labels = imported(tmp_path / "a.json", *parts).labels
    assert (labels == 6).sum() == 8


def test_what_is_ignored(tmp_path: Path) -> None:
    found = imported(
        tmp_path / "a.json",
        {"shape_type": "rectangle", "points": [[2, 1], [4, 3]]},
        {"shape_type": "point", "points": [[2, 1]]},
        {"shape_type": "linestrip", "points": [[2, 1], [3, 1]]},
        {"shape_type": "cuboid", "points": [[2, 1], [3, 1]]},
    )
    assert [line.partition(": ")[2] for line in found.ignored] == [
        "2 ignored: points or lines, which have no area.",
        "1 ignored: shapes of the unknown type 'cuboid'.",
    ]


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"points": [[1, 2]]}, r"no list of at least 3 \(x, y\)"),
        ({"points": None}, r"no list of at least 3 \(x, y\)"),
        ({"shape_type": "mask", "points": [[1, 2], [3, 4]]}, "no readable mask"),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "é"},
            "no readable mask",
        ),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": "aaaa"},
            "no readable mask",
        ),
        (
            {"shape_type": "mask", "points": [[1, 2], [3, 4]], "mask": encode([[1]])},
            r"its mask has \(1, 1\) pixels",
        ),
        (
            {
                "shape_type": "mask",
                "points": [[1, 2], [1, 2]],
                "mask": encode([[1]], "TIFF"),
            },
            "no readable mask",
        ),
    ],
)
def test_damaged_shapes(tmp_path: Path, shape: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"a\.json, shape 1 .*{sentence}"):
        imported(tmp_path / "a.json", shape)


def test_masks_beyond_the_image_are_cropped(tmp_path: Path) -> None:
    mask = {
        "shape_type": "mask",
        "points": [[-1, -1], [1, 0]],
        "mask": encode([[1] * 3] * 2),
    }
    far = {"shape_type": "mask", "points": [[50, 50], [50, 50]], "mask": encode([[1]])}
    found = imported(tmp_path / "a.json", mask, far)
    assert_array_equal(np.argwhere(found.labels), [(0, 0), (0, 1)])
    assert "2 ignored: parts beyond the edge" in found.ignored[0]
