"""Images and labels to learn from: what is taken, turned and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.training.data import (
    AUGMENTATIONS,
    augment,
    data_key,
    read_training_images,
    split,
    split_plane,
    summarise,
    training_images,
)

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.zeros((12, 16), int)
LABELS[2:6, 3:8] = 1
LABELS[8:11, 9:15] = 4
PLANE = (LABELS * 20 + 7).astype(np.uint8)


def test_a_pair_of_planes() -> None:
    (image,) = training_images(PLANE, LABELS, "cells")
    assert (image.name, image.source, image.shape) == ("cells", "cells", (12, 16))
    assert image.objects() == [1, 4]
    assert image.objects(19) == [1]
    assert np.array_equal(image.plane, PLANE)


def test_a_colour_plane_and_a_mask_of_one_object() -> None:
    (image,) = training_images(np.stack([PLANE] * 3, -1), LABELS > 0)
    assert image.plane.shape == (12, 16, 3)
    assert image.objects() == [1]


def test_a_stack_is_seen_with_one_brightness_and_only_where_it_is_labelled() -> None:
    labels = np.stack([LABELS, 0 * LABELS, LABELS])
    stack = np.stack([PLANE, PLANE, PLANE * 2]).astype(np.uint16) * 100
    images = training_images(stack, labels, "stack")
    assert [image.name for image in images] == ["stack, slice 0", "stack, slice 2"]
    assert {image.source for image in images} == {"stack"}
    assert images[0].plane.max() < images[1].plane.max() == 255


@pytest.mark.parametrize(
    ("image", "labels", "sentence"),
    [
        (PLANE[:-1], LABELS, r"of cells have shape \(12, 16\), the image \(11, 16\)"),
        (PLANE, np.stack([LABELS] * 2), "give labels of the same plane or stack"),
        (PLANE, LABELS.astype(float), "of cells have dtype float64: give integers"),
        (PLANE, 0 * LABELS, "of cells are empty: label at least one object"),
        (PLANE, LABELS - 1, "minimum of -1: number objects"),
        (PLANE.astype(complex), LABELS, "only real numbers"),
    ],
)
def test_bad_data_get_a_sentence(
    image: np.ndarray, labels: np.ndarray, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        training_images(image, labels, "cells")


def test_one_image_is_not_enough() -> None:
    with pytest.raises(ValueError, match=r"at least two labelled images.*there is 1"):
        split(training_images(PLANE, LABELS), 0.2, np.random.default_rng(0))


@given(st.integers(2, 9), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_split_is_by_image(count: int, share: float, seed: int) -> None:
    stack, labels = np.stack([PLANE] * 2), np.stack([LABELS] * 2)
    images = [
        image for i in range(count) for image in training_images(stack, labels, f"{i}")
    ]
    trained, held = split(images, share, np.random.default_rng(seed))
    assert trained and held
    assert len(trained) + len(held) == len(images)
    assert not {i.source for i in trained} & {i.source for i in held}


def test_of_a_single_stack_the_last_slices_are_held_back() -> None:
    images = training_images(np.stack([PLANE] * 10), np.stack([LABELS] * 10))
    trained, held = split(images, 0.2, np.random.default_rng(0))
    assert [image.name for image in held] == ["image, slice 8", "image, slice 9"]
    assert len(trained) == 8


@given(st.integers(0, AUGMENTATIONS - 1), st.integers(0, 11), st.integers(0, 15))
def test_image_and_labels_turn_together(number: int, row: int, col: int) -> None:
    plane = np.arange(12 * 16).reshape(12, 16)
    marked = plane == plane[row, col]
    ((r, c),) = np.argwhere(augment(marked, number))
    assert augment(plane, number)[r, c] == plane[row, col]
    colour = np.stack([plane, plane + 1000], -1)
    assert augment(colour, number)[r, c].tolist() == [
        plane[row, col],
        plane[row, col] + 1000,
    ]


def test_the_views_are_eight_different_ones() -> None:
    plane = np.arange(9).reshape(3, 3)
    assert (
        len({augment(plane, number).tobytes() for number in range(AUGMENTATIONS)})
        == AUGMENTATIONS
    )
    assert np.array_equal(augment(plane, 0), plane)


def test_pairs_from_files(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([PLANE] * 5))
    tifffile.imwrite(tmp_path / "b.tif", np.stack([LABELS] * 5).astype(np.uint16))
    images = read_training_images(tmp_path / "a.tif", tmp_path / "b.tif")
    assert [image.name for image in images] == [f"a.tif, slice {z}" for z in range(5)]


def test_pairs_from_folders_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    labels = LABELS.astype(np.uint16)
    for name in ("a", "b", "alone"):
        tifffile.imwrite(tmp_path / f"{name}.tif", PLANE)
    tifffile.imwrite(tmp_path / "truth" / "a.tif", labels)
    tifffile.imwrite(tmp_path / "truth" / "b_masks.tif", labels)
    images = read_training_images(tmp_path, tmp_path / "truth")
    assert [image.name for image in images] == ["a.tif", "b.tif"]


def test_one_folder_may_hold_both(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANE)
    tifffile.imwrite(tmp_path / "a_labels.tif", LABELS.astype(np.uint16))
    (image,) = read_training_images(tmp_path, tmp_path)
    assert image.name == "a.ome.tif"


def test_a_channel_is_chosen(tmp_path: Path) -> None:
    channels = np.stack([0 * PLANE, PLANE])
    tifffile.imwrite(tmp_path / "a.tif", channels, ome=True, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "b.tif", LABELS.astype(np.uint16))
    (image,) = read_training_images(tmp_path / "a.tif", tmp_path / "b.tif", {"C": 1})
    assert np.array_equal(image.plane, PLANE)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    with pytest.raises(ValueError, match=r"No TIFF file in .*empty is named like one"):
        read_training_images(tmp_path, tmp_path / "empty")
    with pytest.raises(ValueError, match="a folder and a file"):
        read_training_images(tmp_path, tmp_path / "a.tif")
    with pytest.raises(FileNotFoundError, match=r"nothing\.tif"):
        read_training_images(tmp_path / "nothing.tif", tmp_path / "a.tif")


def test_a_summary_counts_and_tells_data_apart() -> None:
    images = training_images(np.stack([PLANE] * 3), np.stack([LABELS] * 3))
    summary = summarise(images)
    assert (summary["images"], summary["planes"], summary["objects"]) == (1, 3, 6)
    other = training_images(PLANE, LABELS + (LABELS > 0))
    assert data_key(other) != data_key(training_images(PLANE, LABELS))


# -- one plane in two ----------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_one_plane_is_cut_between_its_objects(turned: bool) -> None:
    labels = np.zeros((20, 60), int)
    labels[5:15, 3:28], labels[5:15, 35:55] = 1, 2
    plane = np.arange(1200).reshape(20, 60) % 256
    if turned:
        plane, labels = plane.T, labels.T
    (image,) = training_images(plane.astype(np.uint8), labels, "cells")
    first, second = split_plane(image)
    axis = 0 if turned else 1
    assert (first.objects(), second.objects()) == ([1], [2])
    assert first.source != second.source
    for name in ("plane", "labels"):
        parts = [getattr(part, name) for part in (first, second)]
        np.testing.assert_array_equal(np.concatenate(parts, axis), getattr(image, name))


def test_a_plane_with_all_objects_on_one_side_is_not_cut() -> None:
    labels = np.zeros((20, 60), int)
    labels[5:15, 3:15] = 1
    (image,) = training_images(labels.astype(np.uint8), labels, "cells")
    with pytest.raises(ValueError, match="All objects of cells are in one half"):
        split_plane(image)
