"""Sample images, their prompts and reference labels."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from napari_sam import samples

if TYPE_CHECKING:
    from tests.helpers.scenes import Scene


def test_shapes_dtypes_and_spacing() -> None:
    assert (samples.coins().shape, samples.coins().dtype) == ((303, 384), np.uint8)
    assert (samples.cell().shape, samples.cell().dtype) == ((660, 550), np.uint8)
    volume, spacing = samples.head()
    assert (volume.shape, volume.dtype) == ((24, 96, 128), np.int16)
    assert volume.flags.c_contiguous
    assert spacing == pytest.approx((2.2, 2.0, 2.0), abs=0.01)
    # As nibabel reads it from example4d.nii.gz.
    digest = hashlib.sha256(volume.astype("<i2").tobytes()).hexdigest()
    assert digest.startswith("e217a93744038ca72ed96b6e5eef3881")


def test_coin_labels_equal_the_reference(coins: Scene) -> None:
    labels = samples.coin_labels()
    assert labels.dtype == np.int32
    assert_array_equal(labels > 0, coins.labels > 0)
    assert_array_equal(np.unique(labels), np.arange(23))
    assert np.bincount(labels.ravel()).min() > samples.COIN_MIN_PIXELS
    border = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    assert not np.concatenate(border).any()


def test_coin_boxes_and_centres_belong_to_the_labels() -> None:
    labels = samples.coin_labels()
    boxes, centres = samples.coin_boxes(), samples.coin_centres()
    assert (boxes.shape, centres.shape) == ((22, 4), (22, 2))
    for label, (box, centre) in enumerate(zip(boxes, centres, strict=True), start=1):
        top, left, bottom, right = box.astype(int)
        inside = labels[top : bottom + 1, left : right + 1] == label
        assert inside.sum() == (labels == label).sum()
        sides = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
        assert all(side.any() for side in sides)  # tight
        assert labels[tuple(centre.round().astype(int))] == label


def test_prompts_of_the_other_samples_lie_on_them() -> None:
    volume, _ = samples.head()
    for slices in samples.head_prompts().values():
        for index, prompt in slices.items():
            assert prompt.within(volume[index].shape).box == pytest.approx(prompt.box)
    row, col = samples.CELL_CENTRE
    rows, cols = samples.cell().shape
    assert 0 <= row < rows
    assert 0 <= col < cols


def test_the_large_image_is_repeatable_and_full_of_small_objects() -> None:
    image = samples.nuclei(600)
    assert_array_equal(image, samples.nuclei(600))
    assert image.dtype == np.uint8
    assert image.shape == (600, 600)
    _, count = ndimage.label(image > 50)
    assert count > 30


def test_cells_of_the_movie_move_a_little_between_frames() -> None:
    movie = samples.moving_cells(6)
    assert_array_equal(movie, samples.moving_cells(6))
    cells = movie > 50
    overlaps = [(a & b).sum() / (a | b).sum() for a, b in pairwise(cells)]
    assert 0.5 < min(overlaps) < max(overlaps) < 1
