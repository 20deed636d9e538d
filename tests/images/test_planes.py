"""Planes of arrays, pyramids and channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import zarr
from dask import delayed
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.uint8 import to_uint8
from tests.helpers.arrays import FULL, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = (3, 4, 10, 12)
DATA = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)


def stored_as_numpy(data: np.ndarray, _: Path) -> Any:
    return data


def stored_as_memmap(data: np.ndarray, folder: Path) -> Any:
    file = np.memmap(folder / "data", data.dtype, "w+", shape=data.shape)
    file[:] = data
    return file


def stored_as_dask(data: np.ndarray, _: Path) -> Any:
    return da.from_array(data, chunks=(1, 1, *data.shape[2:]))


def stored_as_zarr(data: np.ndarray, folder: Path) -> Any:
    return zarr.array(data, store=str(folder / "data.zarr"))


STORES = [stored_as_numpy, stored_as_memmap, stored_as_dask, stored_as_zarr]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    "plane_index", [(2, 1, FULL, FULL), (FULL, 3, 5, FULL), (0, FULL, FULL, 11)]
)
def test_numpy_memmap_dask_and_zarr_give_the_same_planes(
    store: Callable[[np.ndarray, Path], Any], plane_index: Any, tmp_path: Path
) -> None:
    reader = PlaneReader((store(DATA, tmp_path),))
    plane = reader.read(plane_index)
    assert isinstance(plane, np.ndarray)
    assert_array_equal(plane, DATA[plane_index])
    assert plane.dtype == DATA.dtype
    assert reader.shape == SHAPE
    assert reader.plane_shape(plane_index) == plane.shape


@given(
    axes=st.sets(st.integers(0, 3), min_size=2, max_size=2),
    position=st.tuples(*(st.integers(0, size - 1) for size in SHAPE)),
)
def test_only_one_plane_is_read(axes: set[int], position: tuple[int, ...]) -> None:
    plane_index = tuple(FULL if axis in axes else i for axis, i in enumerate(position))
    source = Recorder(DATA)
    plane = PlaneReader((source,)).read(plane_index)
    assert_array_equal(plane, DATA[plane_index])
    assert source.elements == plane.size


def test_dask_computes_only_the_chunks_of_the_plane() -> None:
    computed = []

    def load(index: int) -> np.ndarray:
        computed.append(index)
        return np.full((8, 9), index)

    planes = [da.from_delayed(delayed(load)(i), (8, 9), int) for i in range(5)]
    assert (PlaneReader((da.stack(planes),)).read((3, FULL, FULL)) == 3).all()
    assert computed == [3]


def test_rgb_planes_include_colour() -> None:
    data = DATA.reshape(3, 4, 40, 3)
    source = Recorder(data, rgb=True)
    reader = PlaneReader((source,), rgb=True)
    assert reader.shape == (3, 4, 40)
    assert reader.plane_shape((1, FULL, FULL)) == (4, 40)
    assert_array_equal(reader.read((1, FULL, FULL)), data[1])


# -- pyramids ------------------------------------------------------------------


def pyramid(*sizes: tuple[int, ...]) -> list[Recorder]:
    return [Recorder(np.full(size, level)) for level, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("min_side", "level"), [(None, 0), (99, 0), (65, 0), (64, 0), (33, 0), (32, 1)]
)
def test_the_smallest_sufficient_level_is_read(
    min_side: int | None, level: int
) -> None:
    levels = pyramid((20, 64), (10, 32), (5, 16))
    plane = PlaneReader(levels).read((FULL, FULL), min_side)
    assert (plane == level).all()
    assert [bool(source.planes) for source in levels] == [i == level for i in range(3)]


def test_the_level_depends_on_the_sides_of_the_plane() -> None:
    # Long along another axis; the plane itself is small.
    levels = pyramid((1000, 40, 30), (500, 20, 15), (250, 10, 8))
    assert PlaneReader(levels).read((999, FULL, FULL), 20).max() == 1
    assert PlaneReader(levels).read((FULL, 39, FULL), 20).max() == 2


@given(size=st.integers(1, 40), data=st.data())
def test_reduced_planes_contain_the_centre_of_the_full_one(
    size: int, data: st.DataObject
) -> None:
    fewer = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    small = Recorder(np.zeros((fewer, 4, 4)))
    PlaneReader((np.zeros((size, 8, 8)), small)).read((index, FULL, FULL), 4)
    (reduced,) = (plane[0] for plane in small.planes)
    assert reduced / fewer <= (index + 0.5) / size + 1e-9
    assert (index + 0.5) / size <= (reduced + 1) / fewer + 1e-9


def test_axes_that_are_not_reduced_keep_their_index() -> None:
    small = Recorder(np.zeros((7, 4, 4)))
    reader = PlaneReader((np.zeros((7, 8, 8)), small))
    for index in range(7):
        reader.read((index, FULL, FULL), 4)
    assert [plane[0] for plane in small.planes] == list(range(7))


# -- channels ------------------------------------------------------------------

CHANNELS = np.random.default_rng(0).integers(0, 255, (4, 5, 8, 9), np.uint8)


def channels_of(*indices: int, axis: int = 0) -> PlaneReader:
    source = (CHANNELS,)
    return PlaneReader(source, False, [Channel(source, axis, i) for i in indices])


@pytest.mark.parametrize("displayed", [0, 3])
@pytest.mark.parametrize("indices", [(2,), (2, 0), (1, 3, 0)])
def test_channels_become_gray_or_colours(
    indices: tuple[int, ...], displayed: int
) -> None:
    plane = channels_of(*indices).read((displayed, 4, FULL, FULL))
    assert plane.dtype == np.uint8
    if len(indices) == 1:
        assert_array_equal(plane, CHANNELS[indices[0], 4])
        return
    assert plane.shape == (8, 9, 3)
    for colour, index in enumerate(indices):
        assert_array_equal(plane[..., colour], CHANNELS[index, 4])
    assert not plane[..., len(indices) :].any()


def test_channels_of_other_axes_and_arrays() -> None:
    other = CHANNELS[..., ::-1]
    source = (CHANNELS,)
    reader = PlaneReader(source, False, [Channel(source, 1, 3), Channel((other,))])
    plane = reader.read((2, 0, FULL, FULL))
    assert_array_equal(plane[..., 0], CHANNELS[2, 3])
    assert_array_equal(plane[..., 1], other[2, 0])
    assert reader.channel_axes == {1}


def test_channels_of_different_pyramids_have_one_shape() -> None:
    full = np.arange(16 * 24).reshape(16, 24)
    small = full[::2, ::2]
    reader = PlaneReader(
        (full, small), False, [Channel((full, small)), Channel([full])]
    )
    plane = reader.read((FULL, FULL), 12)
    assert plane.shape == (8, 12, 3)
    assert_array_equal(plane[..., 0], small)
    # The same place, within the pixel of the smaller level.
    away = np.abs(plane[..., 1] - small)
    assert set(np.unique(away)) <= {0, 1, 24, 25}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: channels_of(0, 1, 2, 3), "4 channels are selected"),
        (lambda: channels_of(4), "Axis 0 has channels 0 to 3, not 4."),
        (lambda: channels_of(-1), "Axis 0 has channels 0 to 3, not -1."),
        (lambda: channels_of(0, axis=4), "axis 4 is out of range"),
        (
            lambda: PlaneReader((CHANNELS,), False, [Channel((CHANNELS[0],))]),
            r"shape \(5, 8, 9\), the image \(4, 5, 8, 9\): select channels",
        ),
        (
            lambda: PlaneReader((np.zeros((8, 9, 3)),), True, [Channel((CHANNELS,))]),
            "image is RGB",
        ),
        (lambda: channels_of(0).read((FULL, 0, 0, FULL)), "channel axis is displayed"),
        (lambda: channels_of(0).read((0, 5, FULL, FULL)), "0 to 4, not 5"),
        (lambda: PlaneReader([DATA]).read((3, 0, FULL, FULL)), "0 to 2, not 3"),
        (lambda: PlaneReader([DATA]).read((-1, 0, FULL, FULL)), "0 to 2, not -1"),
    ],
)
def test_invalid_channels_and_indices_are_refused(
    make: Callable[[], Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        make()
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


# -- samples -------------------------------------------------------------------


def test_sampled_planes_are_spread_over_all_other_axes() -> None:
    source = Recorder(np.zeros((7, 10, 4, 5)))
    planes = list(PlaneReader((source,)).sample((0, 0, FULL, FULL)))
    assert len(planes) == len(set(source.planes)) == 16
    assert source.planes[0] == (0, 0, None, None)
    assert source.planes[-1] == (6, 9, None, None)
    assert {plane[0] for plane in source.planes} == set(range(7))


@pytest.mark.parametrize("count", [1, 2, 16])
def test_few_planes_are_all_sampled_once(count: int) -> None:
    source = Recorder(np.zeros((4, count, 5)))
    list(PlaneReader((source,)).sample((FULL, 0, FULL)))
    assert sorted(plane[1] for plane in source.planes) == list(range(count))


def test_a_single_plane_is_its_own_sample() -> None:
    (plane,) = PlaneReader((DATA[0, 0],)).sample((FULL, FULL))
    assert_array_equal(plane, DATA[0, 0])


def test_sampled_channels_do_not_depend_on_the_displayed_channel() -> None:
    other = CHANNELS // 2
    source = (CHANNELS,)
    for second in (Channel(source, 0, 1), Channel((other,)), Channel(source, 1, 2)):
        reader = PlaneReader(source, False, [Channel(source, 0, 2), second])
        samples = [list(reader.sample((i, 0, FULL, FULL))) for i in (0, 3)]
        assert_array_equal(*samples)
        assert len(samples[0]) <= 16


def test_sampled_planes_of_pyramids_come_from_a_reduced_level() -> None:
    levels = pyramid((4, 2000, 10), (4, 1000, 5), (4, 500, 3))
    assert [plane.max() for plane in PlaneReader(levels).sample((0, FULL, FULL))] == [
        1
    ] * 4


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("contrast_limits", [None, (10.0, 60.0)])
def test_read_uint8_equals_read_and_to_uint8(
    count: int, contrast_limits: tuple[float, float] | None, rng: np.random.Generator
) -> None:
    image = rng.integers(0, 90, (4, 3, 12, 15)).astype(np.uint16)
    channels = [Channel((image,), 1, index) for index in range(count)]
    reader = PlaneReader((image,), channels=channels)
    plane_index = (2, 0, slice(None), slice(None))
    limits = contrast_limits
    if contrast_limits is not None and count > 1:
        limits = (contrast_limits, (0.0, 50.0), (0.0, 1.0))
    np.testing.assert_array_equal(
        reader.read_uint8(plane_index, None, limits),
        to_uint8(reader.read(plane_index), limits),
    )
