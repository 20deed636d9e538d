"""YOLO's lines: polygons and boxes in fractions of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from tests.helpers.label_planes import annulus

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (10, 20)


def test_lines_are_classes_and_fractions(tmp_path: Path) -> None:
    path = ns.export_labels(annulus(), tmp_path / "a.txt", "yolo")
    lines = [line.split() for line in path.read_text().splitlines()]
    assert [line[0] for line in lines] == ["0", "0"]
    assert all(0 <= float(word) <= 1 for line in lines for word in line[1:])
    assert all(len(line) % 2 == 1 for line in lines)


@pytest.mark.parametrize(
    "line",
    [
        "0 0.1 0.1 0.2 0.1 0.2 0.3 0.1 0.3",
        "3 0.15 0.2 0.1 0.2",
        "3 0.15 0.2 0.1 0.2 0.87",  # with a score
        "\ufeff3.0\t0.15 0.2 0.1 0.2\r\n\r\n",
    ],
)
def test_polygons_and_boxes(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(line, encoding="utf-8")
    found = ns.import_labels(path, SHAPE).labels
    assert_array_equal(np.argwhere(found), [(1, 2), (1, 3), (2, 2), (2, 3)])


@pytest.mark.parametrize(
    "line", ["cell 0.1 0.2 0.3 0.4", "0 1", "0.5 1 1 1 1", "0 1 1 1 1 1 1 1", "nan 1"]
)
def test_damaged_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"0 0.1 0.1 0.2 0.2\n{line}\n")
    with pytest.raises(ValueError, match=r"a\.txt, line 2 is not a class and"):
        ns.import_labels(path, SHAPE)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ValueError, match=r"a\.txt is no text in UTF-8"):
        ns.import_labels(path, SHAPE)
