"""Tiles of images with small objects: large enough, whole, and all of them once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.prediction.predictor import Predictor
from napari_sam.training.data import TrainingImage
from napari_sam.training.finetune import FineTuning
from napari_sam.training.tiles import fitting_tiles
from tests.helpers.training import QUICK

INPUT, SMALLEST = 64, 32


def image(shape: tuple[int, int], diameter: int, step: int) -> TrainingImage:
    """Squares on a grid; the pixels are their labels."""
    labels = np.zeros(shape, np.int64)
    number = 0
    for row in range(2, shape[0] - diameter, step):
        for col in range(2, shape[1] - diameter, step):
            number += 1
            labels[row : row + diameter, col : col + diameter] = 1000 * number
    plane = (labels // 1000 % 256).astype(np.uint8)
    return TrainingImage("grid", "grid", plane, labels)


@given(st.integers(40, 400), st.integers(40, 400), st.integers(3, 12))
def test_tiles_show_whole_objects_large_enough(
    height: int, width: int, diameter: int
) -> None:
    whole = image((height, width), diameter, 2 * diameter + 3)
    sizes = np.bincount(whole.labels.ravel())
    tiles = fitting_tiles(whole, INPUT, SMALLEST)
    if tiles == [whole]:
        return
    assert 0 < len(tiles) <= 12
    for tile in tiles:
        assert tile.source == "grid" and tile.labels.any()
        assert max(tile.shape) >= SMALLEST
        for label in tile.objects():
            assert (tile.labels == label).sum() == sizes[label]
            assert (tile.plane[tile.labels == label] == label // 1000 % 256).all()
        in_network = diameter * INPUT / max(tile.shape)
        assert in_network >= min(12, diameter * INPUT / SMALLEST)


def test_large_objects_are_not_cut() -> None:
    whole = image((200, 150), 50, 60)
    assert fitting_tiles(whole, INPUT, SMALLEST) == [whole]
    empty = TrainingImage("empty", "empty", whole.plane, np.zeros_like(whole.labels))
    assert fitting_tiles(empty, INPUT, SMALLEST) == [empty]


def test_labels_of_any_number_are_cut() -> None:
    whole = image((300, 300), 6, 20)
    whole.labels[whole.labels > 0] += 2**40
    tiles = fitting_tiles(whole, INPUT, SMALLEST)
    assert {min(tile.objects()) > 2**40 for tile in tiles} == {True}


@pytest.mark.parametrize("shape", [(300, 300), (900, 700)])
def test_training_learns_from_objects_that_the_whole_plane_loses(
    tiny_lite: Predictor, shape: tuple[int, int]
) -> None:
    images = [image(shape, 6, 40), image(shape, 6, 41)]
    training = FineTuning(tiny_lite, images, QUICK)
    steps = [progress.phase for progress in training.run()]
    assert steps.count("train") == QUICK.steps
    assert all(max(tile.shape) < 100 for tile in training.trained)
