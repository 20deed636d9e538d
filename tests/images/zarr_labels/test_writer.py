"""Labels in OME-Zarr: in the right place, valid, complete or not there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaozarrs
import zarr
from numpy.testing import assert_array_equal

from napari_sam.images.reading.read import read_image
from napari_sam.images.zarr_labels import layout as layouts
from napari_sam.images.zarr_labels.layout import LabelLayout
from napari_sam.images.zarr_labels.placing import place_labels
from napari_sam.images.zarr_labels.writer import LabelWriter
from tests.helpers.ome_zarr import write_ome_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.images.reading.image_file import ImageFile

SHAPES = {"t": 3, "c": 2, "z": 5, "y": 30, "x": 41}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "_PART_BYTES", 2 * 4 * 30 * 41)
    monkeypatch.setattr(layouts, "_CHUNK_SIDE", 16)
    monkeypatch.setattr(layouts, "_CHUNK_DEPTH", 8)


def lay_out(
    path: Path, output: Path, name: str = "sam", axis: str = "Z", **further: bool
) -> LabelLayout:
    file = read_image(path)
    index = {n: 1 for n in "TC" if n in file.order}
    used = file.select(**index)
    return place_labels(
        output,
        name,
        file,
        used,
        used.axis(axis),
        source=path if path.suffix == ".zarr" else None,
        index=index,
        **further,
    )


def write_all(layout: LabelLayout, labels: np.ndarray, axis: int) -> None:
    writer = LabelWriter(layout)
    writer.create()
    # In any order, by writers that share nothing.
    for index in reversed(range(layout.parts(0))):
        planes = [slice(None)] * labels.ndim
        planes[axis] = layout.part(0, index)
        LabelWriter(layout).write(index, labels[tuple(planes)])
    for level in range(1, len(layout.shapes)):
        for index in range(layout.parts(level)):
            LabelWriter(layout).write_level(level, index)
    assert not layout.path.exists()
    writer.finish({"version": "1"})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["zyx", "czyx", "tczyx"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_lie_on_the_image(
    tmp_path: Path, version: str, axes: str, axis: int
) -> None:
    rng = np.random.default_rng(3)
    shape = tuple(SHAPES[a] for a in axes)
    path = tmp_path / "image.ome.zarr"
    write_ome_zarr(path, rng.integers(0, 9, shape, np.uint16), axes, version)
    labels = rng.integers(0, 2**31 - 1, shape[-3:]).astype(np.int32)
    layout = LabelLayout.from_json(lay_out(path, path, axis="ZYX"[axis]).to_json())
    write_all(layout, labels, axis)
    yaozarrs.validate_zarr_store(str(path))
    found = zarr.open_group(str(path / "labels" / "sam"), mode="r")
    here = (1,) * ("t" in axes)
    assert_array_equal(found["0"][here], labels)
    assert_array_equal(found["1"][here].shape, (5, 15, 21))
    assert_array_equal(
        found["1"][here],
        labels[:, 1::2][:, :15][:, :, [(2 * i + 1) * 41 // 42 for i in range(21)]],
    )
    image = zarr.open_group(str(path), mode="r")
    scales = [
        (dict(group.attrs).get("ome") or dict(group.attrs))["multiscales"][0]
        for group in (image, found)
    ]
    kept = [i for i, a in enumerate(axes) if a != "c"]
    for level in (0, 1):
        assert image[str(level)].shape[-3:] == found[str(level)].shape[-3:]
        scale, moved = scales[0]["datasets"][level]["coordinateTransformations"]
        there = scales[1]["datasets"][level]["coordinateTransformations"]
        assert there[0]["scale"] == [scale["scale"][i] for i in kept]
        assert there[1]["translation"] == [moved["translation"][i] for i in kept]


def test_other_labels_are_kept_and_the_same_are_refused(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "image.zarr", np.zeros((5, 30, 41), np.uint8))
    labels = np.ones((5, 30, 41), np.int32)
    for name in ("one", "two"):
        write_all(lay_out(path, path, name), labels, 0)
    with pytest.raises(ValueError, match=r"two exists: choose another name"):
        lay_out(path, path, "two")
    write_all_again = lay_out(path, path, "two", overwrite=True)
    writer = LabelWriter(write_all_again)
    writer.create()
    with pytest.raises(FileExistsError, match="move it away"):
        writer.finish({})
    writer.finish({}, overwrite=True)
    root = zarr.open_group(str(path), mode="r")
    assert root["labels"].attrs["ome"]["labels"] == ["one", "two"]
    assert_array_equal(root["labels/one/0"], labels)
    assert not np.asarray(root["labels/two/0"]).any()


def test_a_store_of_their_own(tmp_path: Path) -> None:
    image = write_ome_zarr(tmp_path / "image.zarr", np.zeros((5, 30, 41), np.uint8))
    labels = np.ones((5, 30, 41), np.int32)
    layout = lay_out(image, tmp_path / "labels.zarr")
    write_all(layout, labels, 0)
    yaozarrs.validate_zarr_store(str(tmp_path / "labels.zarr"))
    again = read_image(tmp_path / "labels.zarr")
    assert_array_equal(again.data, labels)
    assert again.spacing == read_image(image).spacing


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axis", ["Z", "Y", "X"])
def test_no_file_has_two_writers(tmp_path: Path, version: str, axis: str) -> None:
    shape = (11, 70, 50)
    path = write_ome_zarr(
        tmp_path / "image.ome.zarr", np.zeros(shape, np.uint8), version=version
    )
    layout = lay_out(path, path, axis=axis)
    LabelWriter(layout).create()
    ones = np.ones(shape, np.int32)
    written: list[set[Path]] = []
    for index in range(layout.parts(0)):
        planes = [slice(None)] * 3
        planes["ZYX".index(axis)] = layout.part(0, index)
        LabelWriter(layout).write(index, ones[tuple(planes)])
        written.append(set(layout.files(0, layout.part(0, index))))
    assert len(written) > 1
    assert all(written)
    assert len(set.union(*written)) == sum(map(len, written))


def test_a_damaged_shard_is_written_again(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "image.zarr", np.zeros((5, 30, 41), np.uint8))
    layout = lay_out(path, path)
    writer = LabelWriter(layout)
    writer.create()
    labels = np.arange(2 * 30 * 41).reshape(2, 30, 41)
    writer.write(0, labels)
    shards = [f for f in (layout.unfinished / "0" / "c").rglob("*") if f.is_file()]
    assert len(shards) == 1
    shards[0].write_bytes(shards[0].read_bytes()[:20])
    LabelWriter(layout).write(0, labels)
    array = zarr.open_array(str(layout.unfinished / "0"), mode="r")
    assert_array_equal(array[:2], labels)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_names_that_are_no_names_are_refused(tmp_path: Path, name: str) -> None:
    path = write_ome_zarr(tmp_path / "image.zarr", np.zeros((5, 30, 41), np.uint8))
    with pytest.raises(ValueError, match="cannot name labels"):
        lay_out(path, path, name)


def test_an_image_without_rows_is_refused(tmp_path: Path) -> None:
    file = read_image_of(np.zeros((5, 30, 41), np.uint8), tmp_path)
    odd = replace(file, axes="ZQX", order="ZQX")
    with pytest.raises(ValueError, match=r"has the axes ZQX, and labels need Y and X"):
        place_labels(tmp_path / "out.zarr", "sam", odd, file, 0)


def read_image_of(pixels: np.ndarray, folder: Path) -> ImageFile:
    path = folder / "image.ome.zarr"
    write_ome_zarr(path, pixels, "zyx", "0.5")
    return read_image(path)


def test_parts_of_absurd_shapes_have_a_depth() -> None:
    assert layouts.part_depth((2**70, 3, 4), (1, 3, 4), 0) >= 1
