"""Training images: reading, augmentation, splitting, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imageio.v3 as iio
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


def test_plane_and_labels() -> None:
    (image,) = training_images(PLANE, LABELS, "cells")
    assert (image.name, image.source, image.shape) == ("cells", "cells", (12, 16))
    assert image.objects() == [1, 4]
    assert image.objects(19) == [1]
    assert np.array_equal(image.plane, PLANE)


def test_colour_plane_and_bool_mask() -> None:
    (image,) = training_images(np.stack([PLANE] * 3, -1), LABELS > 0)
    assert image.plane.shape == (12, 16, 3)
    assert image.objects() == [1]


def test_stack_has_one_contrast_and_only_labelled_slices() -> None:
    labels = np.stack([LABELS, 0 * LABELS, LABELS])
    stack = np.stack([PLANE, PLANE, PLANE * 2]).astype(np.uint16) * 100
    images = training_images(stack, labels, "stack")
    assert [image.name for image in images] == ["stack, slice 0", "stack, slice 2"]
    assert {image.source for image in images} == {"stack"}
    assert images[0].plane.max() < images[1].plane.max() == 255


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (PLANE[:-1], LABELS, r"of cells have shape \(12, 16\), the image \(11, 16\)"),
        (PLANE, np.stack([LABELS] * 2), "give labels of the same plane or stack"),
        (PLANE, LABELS.astype(float), "of cells have dtype float64: give integers"),
        (PLANE, 0 * LABELS, "of cells are empty: label at least one object"),
        (PLANE, LABELS - 1, "minimum of -1: number objects"),
        (PLANE.astype(complex), LABELS, "only real numbers"),
    ],
)
def test_errors(image: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training_images(image, labels, "cells")


def test_split_needs_two_images() -> None:
    with pytest.raises(ValueError, match=r"at least two labelled images.*there is 1"):
        split(training_images(PLANE, LABELS), 0.2, np.random.default_rng(0))


@given(st.integers(2, 9), st.floats(0.01, 0.99), st.integers(0, 99))
def test_split_is_by_source(count: int, fraction: float, seed: int) -> None:
    stack, labels = np.stack([PLANE] * 2), np.stack([LABELS] * 2)
    images = [
        image for i in range(count) for image in training_images(stack, labels, f"{i}")
    ]
    train, held_out = split(images, fraction, np.random.default_rng(seed))
    assert train and held_out
    assert len(train) + len(held_out) == len(images)
    assert not {i.source for i in train} & {i.source for i in held_out}


def test_last_slices_of_a_single_stack_are_held_out() -> None:
    images = training_images(np.stack([PLANE] * 10), np.stack([LABELS] * 10))
    train, held_out = split(images, 0.2, np.random.default_rng(0))
    assert [image.name for image in held_out] == ["image, slice 8", "image, slice 9"]
    assert len(train) == 8


@given(st.integers(0, AUGMENTATIONS - 1), st.integers(0, 11), st.integers(0, 15))
def test_image_and_labels_are_augmented_alike(number: int, row: int, col: int) -> None:
    plane = np.arange(12 * 16).reshape(12, 16)
    marked = plane == plane[row, col]
    ((r, c),) = np.argwhere(augment(marked, number))
    assert augment(plane, number)[r, c] == plane[row, col]
    colour = np.stack([plane, plane + 1000], -1)
    assert augment(colour, number)[r, c].tolist() == [
        plane[row, col],
        plane[row, col] + 1000,
    ]


def test_all_augmentations_differ() -> None:
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


def test_pairs_from_folders_by_name(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    labels = LABELS.astype(np.uint16)
    for name in ("a", "b", "alone"):
        tifffile.imwrite(tmp_path / f"{name}.tif", PLANE)
    tifffile.imwrite(tmp_path / "truth" / "a.tif", labels)
    tifffile.imwrite(tmp_path / "truth" / "b_masks.tif", labels)
    images = read_training_images(tmp_path, tmp_path / "truth")
    assert [image.name for image in images] == ["a.tif", "b.tif"]


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", LABELS.astype(np.uint16))
        # Of a killed process, and of a Macintosh.
        for name in (".napari-sam-1.part.tif", "._a.tif"):
            (tmp_path / folder / name).write_bytes(b"")
    (image,) = read_training_images(tmp_path / "images", tmp_path / "masks")
    assert image.name == "a.tif"


def test_images_and_labels_in_one_folder(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANE)
    tifffile.imwrite(tmp_path / "a_labels.tif", LABELS.astype(np.uint16))
    (image,) = read_training_images(tmp_path, tmp_path)
    assert image.name == "a.ome.tif"


def test_index_selects_a_channel(tmp_path: Path) -> None:
    channels = np.stack([0 * PLANE, PLANE])
    tifffile.imwrite(tmp_path / "a.tif", channels, ome=True, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "b.tif", LABELS.astype(np.uint16))
    (image,) = read_training_images(tmp_path / "a.tif", tmp_path / "b.tif", {"C": 1})
    assert np.array_equal(image.plane, PLANE)


def test_channels_are_slices_only_if_they_are_named(tmp_path: Path) -> None:
    files = tmp_path / "a.tif", tmp_path / "b.tif"
    stack, metadata = np.stack([PLANE] * 4), {"axes": "CYX"}
    tifffile.imwrite(files[0], stack, ome=True, metadata=metadata)
    labels = np.stack([LABELS] * 4).astype(np.uint16)
    tifffile.imwrite(files[1], labels, photometric="minisblack")
    with pytest.raises(ValueError, match="axis C of the image"):
        read_training_images(*files)
    for axis in ("C", "0"):
        assert len(read_training_images(*files, axis=axis)) == 4
    assert len(read_training_images(*files, axes="ZYX")) == 4


@pytest.mark.parametrize("axes", ["ZYX", "YXZ", "YZX", "XZY"])
@pytest.mark.parametrize("named", [False, True])
def test_slices_of_any_order(tmp_path: Path, axes: str, named: bool) -> None:
    order = ["ZYX".index(name) for name in axes]
    stack = np.stack([PLANE, PLANE + 1, PLANE]).transpose(order)
    labels = np.stack([LABELS, 0 * LABELS, LABELS * 2]).transpose(order)
    files = tmp_path / "a.tif", tmp_path / "b.tif"
    gray = {"photometric": "minisblack"}
    tifffile.imwrite(files[0], stack, metadata={"axes": axes}, **gray)
    metadata = {"axes": axes} if named else {}
    tifffile.imwrite(files[1], labels.astype("u2"), metadata=metadata, **gray)
    first, second = read_training_images(*files)
    assert (first.name, second.name) == ("a.tif, slice 0", "a.tif, slice 2")
    assert np.array_equal(first.plane, PLANE)
    assert np.array_equal(second.labels, LABELS * 2)
    rows = read_training_images(*files, axis="Y")
    assert [image.name for image in rows][:2] == ["a.tif, slice 2", "a.tif, slice 3"]
    assert rows[0].shape == (3, 16)


@pytest.mark.filterwarnings("ignore:.*stored as RGB:DeprecationWarning")
@pytest.mark.parametrize("count", [3, 4])
def test_labels_are_never_colour(tmp_path: Path, count: int) -> None:
    files = tmp_path / "a.tif", tmp_path / "b.tif"
    stack = np.stack([PLANE] * count)
    tifffile.imwrite(files[0], stack, photometric="minisblack")
    tifffile.imwrite(files[1], np.stack([LABELS] * count).astype(np.uint8))
    assert len(read_training_images(*files)) == count


def test_what_is_not_used_of_a_file_is_a_warning(tmp_path: Path) -> None:
    files = tmp_path / "a.tif", tmp_path / "b.png"
    with tifffile.TiffWriter(files[0]) as file:
        for data in (PLANE[::2, ::2], PLANE):
            file.write(data, metadata=None, contiguous=False)
    iio.imwrite(files[1], LABELS.astype(np.uint8))
    with pytest.warns(UserWarning, match="holds 2 images, .* number 1 is used"):
        (image,) = read_training_images(*files)
    assert np.array_equal(image.plane, PLANE)
    said: list[str] = []
    read_training_images(*files, on_notes=said.extend)
    assert len(said) == 1
    with pytest.raises(ValueError, match="the image"):
        read_training_images(*files, series="0")


def test_one_name_with_two_endings_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    tifffile.imwrite(tmp_path / "a_labels.tif", LABELS.astype(np.uint16))
    iio.imwrite(tmp_path / "a.png", PLANE)
    with pytest.raises(ValueError, match=r"a\.png and a\.tif have the same name"):
        read_training_images(tmp_path, tmp_path)


def test_errors_in_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    with pytest.raises(ValueError, match=r"No image in .*empty is named like one"):
        read_training_images(tmp_path, tmp_path / "empty")
    with pytest.raises(ValueError, match="a folder and a file"):
        read_training_images(tmp_path, tmp_path / "a.tif")
    with pytest.raises(FileNotFoundError, match=r"nothing\.tif"):
        read_training_images(tmp_path / "nothing.tif", tmp_path / "a.tif")


def test_summary_and_key() -> None:
    images = training_images(np.stack([PLANE] * 3), np.stack([LABELS] * 3))
    summary = summarise(images)
    assert (summary["images"], summary["planes"], summary["objects"]) == (1, 3, 6)
    other = training_images(PLANE, LABELS + (LABELS > 0))
    assert data_key(other) != data_key(training_images(PLANE, LABELS))


# -- splitting a plane ---------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True])
def test_plane_is_split_between_its_objects(transposed: bool) -> None:
    labels = np.zeros((20, 60), int)
    labels[5:15, 3:28], labels[5:15, 35:55] = 1, 2
    plane = np.arange(1200).reshape(20, 60) % 256
    if transposed:
        plane, labels = plane.T, labels.T
    (image,) = training_images(plane.astype(np.uint8), labels, "cells")
    first, second = split_plane(image)
    axis = 0 if transposed else 1
    assert (first.objects(), second.objects()) == ([1], [2])
    assert first.source != second.source
    for name in ("plane", "labels"):
        parts = [getattr(part, name) for part in (first, second)]
        np.testing.assert_array_equal(np.concatenate(parts, axis), getattr(image, name))


def test_plane_with_objects_on_one_side_is_not_split() -> None:
    labels = np.zeros((20, 60), int)
    labels[5:15, 3:15] = 1
    (image,) = training_images(labels.astype(np.uint8), labels, "cells")
    with pytest.raises(ValueError, match="All objects of cells are in one half"):
        split_plane(image)
