"""Folders of cellpose, StarDist and nnU-Net, both ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from hypothesis import given
from numpy.testing import assert_array_equal

from napari_sam.exchange.folders import (
    FOLDER_FORMATS,
    FolderReader,
    FolderWriter,
    flat_names,
)
from napari_sam.images.reading.image_file import ImageFile
from tests.helpers.discs import PLANE, discs
from tests.helpers.label_planes import label_planes

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = ImageFile(PLANE, "YX")
CLASSES = {1: "long", 2: "round"}


@pytest.mark.parametrize("format", ["cellpose", "stardist"])
@given(labels=label_planes())
def test_labels_come_back(
    labels: np.ndarray, format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("folder")
    image = ImageFile(np.zeros(labels.shape, np.uint8), "YX")
    FolderWriter(path, format).add("a", image, labels, {})  # type: ignore[arg-type]
    reader = FolderReader(path)
    assert reader.format == format
    found = reader.read("a")
    assert found is not None
    assert_array_equal(found.labels, labels)
    assert reader.read("b") is None


def test_files_are_where_the_programs_look(tmp_path: Path) -> None:
    for kind in FOLDER_FORMATS:
        writer = FolderWriter(tmp_path / kind, kind, ["round", "long"])
        writer.add("a", IMAGE, discs(), CLASSES)
        writer.finish()
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")}
    assert files == {
        *("cellpose/a.tif", "cellpose/a_masks.tif"),
        *("stardist/images/a.tif", "stardist/masks/a.tif"),
        *("nnunet/imagesTr/a_0000.tif", "nnunet/labelsTr/a.tif"),
        "nnunet/dataset.json",
    }
    assert_array_equal(tifffile.imread(tmp_path / "cellpose/a.tif"), PLANE)


def test_nnunet_holds_classes(tmp_path: Path) -> None:
    labels = discs()
    labels[labels == 3] = 0
    labels[:2, :2], labels[:2, 2:4] = 1, 7  # touches another one, without a class
    writer = FolderWriter(tmp_path, "nnunet", ["round", "long"])
    writer.add("a", IMAGE, labels, CLASSES)
    writer.finish()
    dataset = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    numbers = {"background": 0, "round": 1, "long": 2, "object": 3}
    assert dataset["labels"] == numbers
    assert (dataset["numTraining"], dataset["file_ending"]) == (1, ".tif")
    semantic = tifffile.imread(tmp_path / "labelsTr" / "a.tif")
    for label, name in {**CLASSES, 7: "object"}.items():
        assert (semantic[labels == label] == numbers[name]).all()
    found = FolderReader(tmp_path).read("a")
    assert found is not None
    assert_array_equal(found.labels > 0, labels > 0)
    assert sorted(set(found.classes.values())) == ["long", "object", "round"]


def test_objects_that_nnunet_merges_are_counted(tmp_path: Path) -> None:
    labels = np.zeros(PLANE.shape, int)
    labels[2:9, 2:5], labels[2:9, 5:9], labels[20:22, 20:22] = 1, 2, 3
    writer = FolderWriter(tmp_path, "nnunet")
    writer.add("a", IMAGE, labels, {})
    writer.finish()
    assert writer.merged == 1
    dataset = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert dataset["description"].startswith("1 objects touch")


def test_stacks_and_channels_for_nnunet(tmp_path: Path) -> None:
    image = ImageFile(
        np.zeros((2, 3, 8, 9), np.uint16),
        "CZYX",
        dict(zip("ZYX", (2.0, 0.5, 0.5), strict=True)),
        dict.fromkeys("ZYX", "µm"),
    )
    labels = np.ones((2, 3, 8, 9), int)
    writer = FolderWriter(tmp_path, "nnunet")
    writer.add("a", image.select(C=1), labels[0], {})
    writer.finish()
    side = json.loads((tmp_path / "labelsTr" / "a.json").read_text(encoding="utf-8"))
    assert side["spacing"] == [2.0, 0.5, 0.5]
    colour = ImageFile(np.zeros((8, 9, 3), np.uint8), "YXS")
    writer.add("b", colour, labels[0, 0], {})
    writer.finish()
    assert len(list((tmp_path / "imagesTr").glob("b_*.tif"))) == 3
    dataset = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert len(dataset["channel_names"]) == 3


def test_pickled_masks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a_seg.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"save the masks as\s*TIFF"):
        FolderReader(tmp_path).read("a")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no labels"):
        FolderReader(tmp_path)


def test_flat_names_are_unique() -> None:
    names = ["day1/c7.tif", "day2/c7.tif", "x.tif", "x.png", "X y.ome.tif", "ä.tif"]
    found = flat_names(names)
    assert found["day1/c7.tif"] == "day1_c7"
    assert found["X y.ome.tif"] == "X_y"
    assert found["x.png"] == "x_png"
    assert len({name.casefold() for name in found.values()}) == len(names)
