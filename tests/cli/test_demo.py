"""`napari-sam demo`: files, lines, and the IoU of the default model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam import samples
from napari_sam.cli.demo import overlay, run_demo
from napari_sam.images.reading.read import read_image
from napari_sam.masks.patch import mask_iou
from tests.helpers.models import World

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor
    from tests.helpers.scenes import Scene

NAMES = ["coins_boxes", "coins_clicks", "cell_click", "head_ventricles"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parent") / "made" / "by the demo"


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[str]:
    return list(run_demo(World(), folder))


def test_each_step_has_a_line(lines: list[str], folder: Path) -> None:
    assert "model world" in lines[0]
    assert str(folder) in lines[0]
    for word in ("coins, boxes: 22 objects", "coins, clicks", "cell", "head"):
        assert any(line.startswith(word) for line in lines)
    assert any("mean IoU 0." in line for line in lines)


def test_labels_and_pictures_are_written(lines: list[str], folder: Path) -> None:
    from skimage import io

    expected = {f"{n}_{kind}" for n in NAMES for kind in ("labels.tif", "overlay.png")}
    assert {path.name for path in folder.iterdir()} == expected
    assert read_image(folder / "coins_boxes_labels.tif").data.max() == 22
    head = read_image(folder / "head_ventricles_labels.tif")
    volume, spacing = samples.head()
    assert (head.axes, head.unit, head.data.shape) == ("ZYX", "mm", volume.shape)
    assert head.spacing == pytest.approx(dict(zip("ZYX", spacing, strict=True)))
    rows, cols = samples.coins().shape
    picture = io.imread(folder / "coins_boxes_overlay.png")
    assert picture.shape == (2 * rows, 2 * cols, 3)


def test_second_run_replaces_the_files(lines: list[str], folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    # The first two lines are enough: the folder is there, the coins are written.
    steps = run_demo(World(), folder)
    next(steps)
    next(steps)
    steps.close()
    assert {path.name for path in folder.iterdir()} == before


def test_overlay_draws_coloured_outlines() -> None:
    gray = np.full((6, 7), 90, np.uint8)
    labels = np.zeros((6, 7), np.int32)
    labels[1:4, 2:6] = 3
    picture = overlay(gray, labels)
    assert (picture.shape, picture.dtype) == ((12, 14, 3), np.uint8)
    coloured = (picture != 90).any(axis=-1)
    large = np.kron(labels, np.ones((2, 2), int)) > 0
    assert coloured.any()
    assert not (coloured & ~large).any()
    assert not coloured[4:6, 6:10].any()  # the middle shows the image
    assert_array_equal(overlay(gray, np.zeros_like(labels)), np.full((12, 14, 3), 90))


@pytest.mark.weights
def test_iou_of_coin_boxes_with_the_default_model(
    default_predictor: Predictor, coins: Scene
) -> None:
    labels = ns.segment(
        samples.coins(), boxes=samples.coin_boxes(), model=default_predictor
    )
    reference = samples.coin_labels()
    ious = [mask_iou(labels == i, reference == i) for i in range(1, 23)]
    assert np.mean(ious) >= 0.94
    assert min(ious) >= 0.85
    assert_array_equal(reference > 0, coins.labels > 0)
