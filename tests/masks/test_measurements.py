"""Measurements of objects, and their CSV table."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from skimage.measure import regionprops

from napari_sam.masks.measurements import ObjectMeasurement, measure, write_csv

if TYPE_CHECKING:
    from pathlib import Path

IDS = [0, 0, 0, 1, 2, 7]


arrays = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=5),
    elements=st.sampled_from(IDS),
)


def ball() -> np.ndarray:
    """(5, 6, 7) with object 3 on slices 1 and 2, object 9 on slice 4."""
    labels = np.zeros((5, 6, 7), np.uint16)
    labels[1, 2:4, 3:5] = 3
    labels[2, 2, 3] = 3
    labels[4, 0, 0] = 9
    return labels


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@settings(max_examples=60)
@given(labels=arrays, data=st.data())
def test_sizes_and_centroids_equal_those_of_scikit_image(
    labels: np.ndarray, data: Any
) -> None:
    sizes = st.floats(0.25, 4, width=32)
    spacing = data.draw(st.lists(sizes, min_size=labels.ndim, max_size=labels.ndim))
    axis = data.draw(st.integers(-labels.ndim, labels.ndim - 1))
    found = measure(labels, spacing, "µm", axis)
    expected = regionprops(labels, spacing=tuple(spacing))
    assert [row.label for row in found] == [region.label for region in expected]
    for row, region in zip(found, expected, strict=True):
        assert row.voxels == region.num_pixels
        assert_allclose(row.volume, region.area, rtol=1e-6)
        assert_allclose(row.centroid, region.centroid, atol=1e-5)
        if labels.ndim == 3:
            slices = region.slice[axis]
            assert (row.first_slice, row.last_slice) == (slices.start, slices.stop - 1)


def test_objects_in_a_stack() -> None:
    first, second = measure(ball(), (2, 0.5, 0.5), "µm")
    assert first == ObjectMeasurement(
        label=3,
        voxels=5,
        volume=2.5,
        first_slice=1,
        last_slice=2,
        lowest_score=None,
        lowest_slice=None,
        centroid=(2.4, 1.2, 1.7),
        unit="µm",
    )
    assert (second.label, second.first_slice, second.last_slice) == (9, 4, 4)


def test_default_unit_is_the_pixel() -> None:
    row = measure(ball())[0]
    assert (row.volume, row.unit) == (5, "pixel")


def test_planes_have_areas_and_no_slices() -> None:
    (row,) = measure(ball()[1], (0.5, 0.5), "mm")
    assert row.volume == 1
    assert (row.first_slice, row.last_slice) == (None, None)
    assert row.centroid == (1.25, 1.75)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_slices_are_counted_along_the_axis(axis: int) -> None:
    labels = np.moveaxis(ball(), 0, axis)
    row = measure(labels, axis=axis)[0]
    assert (row.first_slice, row.last_slice) == (1, 2)
    assert row.centroid[axis] == 1.2


def test_lowest_score_and_its_slice() -> None:
    scores = {
        3: [
            *((1, 0.9, "prompted"), (2, 0.6, "propagated"), (2, 0.7, "propagated")),
            *((3, 0.0, "interpolated"), (4, 0.1, "stopped")),
        ],
        9: [(4, 0.2, "stopped")],
        5: [(0, 0.8, "prompted")],  # of an object without a voxel
    }
    first, second = measure(ball(), scores=scores)
    assert (first.lowest_score, first.lowest_slice) == (0.6, 2)
    assert (second.lowest_score, second.lowest_slice) == (None, None)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint32, np.int64, np.uint64, ">i4"]
)
def test_labels_of_any_integer_dtype(dtype: Any) -> None:
    assert measure(ball().astype(dtype)) == measure(ball())


def test_large_labels() -> None:
    labels = ball().astype(np.uint64)
    labels[labels == 9] = 2**63
    assert [row.label for row in measure(labels)] == [3, 2**63]


def test_memmap_dask_and_zarr(tmp_path: Path) -> None:
    labels = ball()
    stored = zarr.create_array(
        tmp_path / "labels.zarr", shape=labels.shape, chunks=(2, 4, 4), dtype="u2"
    )
    stored[...] = labels
    mapped = np.memmap(tmp_path / "labels.raw", np.uint16, "w+", shape=labels.shape)
    mapped[...] = labels
    lazy = da.from_array(labels, chunks=(2, 4, 4))
    for other in (stored, mapped, lazy):
        assert measure(other, axis=1) == measure(labels, axis=1)


def test_one_plane_is_read_at_a_time() -> None:
    class Watched:
        shape, dtype = (5, 6, 7), np.dtype(np.uint16)
        read: list[int] = []  # noqa: RUF012

        def __getitem__(self, index: Any) -> np.ndarray:
            part: np.ndarray = ball()[index]
            self.read.append(part.size)
            return part

    measure(Watched(), axis=1)
    assert Watched.read == [35] * 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((np.zeros(4, int),), r"shape \(4,\): give two or three axes"),
        ((np.zeros((1, 2, 3, 4), int),), "pick a time point or channel first"),
        ((np.zeros((3, 4)),), "type float64: give integers"),
        ((np.zeros((3, 4), bool),), "type bool: give integers"),
        ((ball(), (1, 2)), r"spacing \(1, 2\) does not fit 3 axes"),
        ((ball(), (1, 2, 0)), "one positive number"),
        ((ball(), (1, 2, np.nan)), "one positive number"),
        ((ball(), None, "µm", 3), "axis=3 is out of range"),
    ],
)
def test_invalid_arguments_are_refused(
    arguments: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        measure(*arguments)


def test_table_of_a_stack_names_units(tmp_path: Path) -> None:
    rows = measure(ball(), (2, 0.5, 0.3), "µm", scores={3: [(1, 0.75, "prompted")]})
    path = write_csv(rows, tmp_path / "objects.csv")
    header, first, second = table(path)
    assert header == [
        *("label", "voxels", "volume (µm^3)", "first_slice", "last_slice"),
        *("lowest_score", "lowest_slice"),
        *("centroid-0 (µm)", "centroid-1 (µm)", "centroid-2 (µm)"),
    ]
    assert first == ["3", "5", "1.5", "1", "2", "0.75", "1", "2.4", "1.2", "1.02"]
    assert second[:7] == ["9", "1", "0.3", "4", "4", "", ""]


def test_table_of_a_plane(tmp_path: Path) -> None:
    header, row = table(write_csv(measure(ball()[4]), tmp_path / "objects.csv"))
    centroid = ["centroid-0 (pixel)", "centroid-1 (pixel)"]
    assert header == ["label", "pixels", "area (pixel^2)", "lowest_score", *centroid]
    assert row == ["9", "1", "1", "", "0", "0"]


def test_table_without_objects_has_a_header(tmp_path: Path) -> None:
    (header,) = table(write_csv([], tmp_path / "objects.csv"))
    assert header[:3] == ["label", "voxels", "volume (pixel^3)"]


def test_rows_of_different_arrays_are_refused(tmp_path: Path) -> None:
    rows = [*measure(ball()), *measure(ball(), unit="mm")]
    with pytest.raises(ValueError, match="a table of its own"):
        write_csv(rows, tmp_path / "objects.csv")
    assert not list(tmp_path.iterdir())
