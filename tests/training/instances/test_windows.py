"""Windows to train an instance head on: scale, labels, what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.training.data import training_images
from napari_sam.training.instances.windows import WindowEncoder
from napari_sam.training.labelled_plane import LabelledPlane
from tests.helpers.instances import disc_plane

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.instances.windows import HeadWindow


@pytest.fixture
def plane() -> LabelledPlane:
    """Return a plane of 150 x 200 pixels with 12 discs of about 20 pixels."""
    labels = disc_plane((150, 200), 12, (9, 11), 3)
    pixels = np.where(labels > 0, 200, 40).astype(np.uint8)
    return LabelledPlane.of(training_images(pixels, 1000 * labels)[0])


def covering(
    planes: list[LabelledPlane], predictor: Predictor, all_labelled: bool = False
) -> list[tuple[HeadWindow, list[int]]]:
    encoder = WindowEncoder(predictor, all_labelled)
    return list(encoder.covering(planes, np.random.default_rng(0)))


def test_objects_are_numbered_from_1(plane: LabelledPlane) -> None:
    assert np.unique(plane.labels).tolist() == list(range(13))
    assert 17 < plane.diameter < 23


def test_objects_have_the_best_size_in_the_network(
    plane: LabelledPlane, tiny_lite: Predictor
) -> None:
    rng = np.random.default_rng(0)
    windows = WindowEncoder(tiny_lite).augmented([plane], rng)
    diameters = []
    for _ in range(30):
        labels = next(windows).labels
        areas = np.bincount(labels.ravel())[1:]
        diameters.append(2 * np.sqrt(areas.max() / np.pi))
    assert 18 < np.median(diameters) < 34
    assert max(diameters) > 1.3 * min(diameters)


def test_pixels_and_labels_are_turned_together(
    plane: LabelledPlane, tiny_lite: Predictor
) -> None:
    windows = WindowEncoder(tiny_lite).augmented([plane], np.random.default_rng(1))
    for _ in range(16):
        window = next(windows)
        height, width = window.labels.shape
        bright = window.pixel_values[0, :height, :width].numpy() > 0.5
        assert (bright == (window.labels > 0)).mean() > 0.95


def test_every_object_counts_once(plane: LabelledPlane, tiny_lite: Predictor) -> None:
    counted = [
        number
        for window, numbers in covering([plane], tiny_lite)
        for number in numbers
        if (window.labels == number).any()
    ]
    assert sorted(counted) == list(range(1, 13))


def test_planes_take_turns(plane: LabelledPlane, tiny_lite: Predictor) -> None:
    one = LabelledPlane(plane.pixels, (plane.labels == 1).astype("i4"))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        windows = WindowEncoder(tiny_lite).covering([plane, one], rng)
        assert 1 in [next(windows)[0].labels.max() for _ in range(2)]


def test_only_what_is_near_a_label_is_known(
    plane: LabelledPlane, tiny_lite: Predictor
) -> None:
    some = LabelledPlane(plane.pixels, np.where(plane.labels == 1, 1, 0).astype("i4"))
    ((window, _),) = covering([some], tiny_lite)
    _, known = window.targets()
    inside = window.labels > 0
    height, width = inside.shape
    assert known[:height, :width].numpy()[inside].all()
    assert inside.sum() < known.sum() < 3 * inside.sum()


def test_all_but_the_padding_is_known_when_all_have_labels(
    tiny_lite: Predictor,
) -> None:
    labels = np.zeros((30, 60), int)
    labels[10:20, 10:20] = 1
    (image,) = training_images(labels.astype(np.uint8), labels)
    plane = LabelledPlane.of(image)
    ((window, _),) = covering([plane], tiny_lite, all_labelled=True)
    _, known = window.targets()
    height, width = window.labels.shape
    assert height < width
    assert known[:height, :width].all()
    assert not known[height:].any()
