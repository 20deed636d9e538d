"""Labels read tile by tile are the labels."""

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.masks import label_tiles
from napari_sam.masks.label_tiles import (
    FixedAxes,
    c_order_blocks,
    contains_label,
    label_box,
    largest_label,
    read_pixels,
    tiles,
)
from napari_sam.masks.measurements import measure
from napari_sam.masks.painting import ObjectPlaneMask, plan_changes
from napari_sam.records.record import checksum

zarr = pytest.importorskip("zarr")


def in_zarr(array: np.ndarray, chunks: tuple[int, ...]) -> Any:
    stored = zarr.create_array(
        zarr.storage.MemoryStore(), shape=array.shape, chunks=chunks, dtype=array.dtype
    )
    stored[...] = array
    return stored


@st.composite
def cases(draw: Any, ndims: tuple[int, ...] = (2, 3, 4)) -> Any:
    """Sparse labels, the same in chunks, a region, and pixels per tile."""
    ndim = draw(st.sampled_from(ndims))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(ndim))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    labels = rng.integers(0, 4, shape) * (rng.random(shape) < 0.2)
    labels = labels.astype(np.uint16)
    chunks = tuple(draw(st.integers(1, side)) for side in shape)
    kind = draw(st.sampled_from(["numpy", "zarr", "dask"]))
    array = {
        "numpy": lambda: labels,
        "zarr": lambda: in_zarr(labels, chunks),
        "dask": lambda: da.from_array(labels, chunks=chunks),
    }[kind]()
    ranges = [
        sorted(draw(st.tuples(st.integers(0, s), st.integers(0, s)))) for s in shape
    ]
    region = tuple(
        draw(st.sampled_from([slice(a, b), slice(None), min(a, side - 1)]))
        for (a, b), side in zip(ranges, shape, strict=True)
    )
    return labels, array, region, draw(st.sampled_from([1, 7, 2**20]))


@pytest.fixture(scope="module")
def tiles_of() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield lambda size: patch.setattr(label_tiles, "_TILE_SIZE", size)


@given(cases())
def test_tiles_cover_a_region_once(tiles_of: Callable[[int], None], case: Any) -> None:
    labels, array, region, size = case
    tiles_of(size)
    count = np.zeros(labels.shape, int)
    for tile in tiles(array, region):
        count[tile] += 1
    expected = np.zeros(labels.shape, int)
    expected[region] = 1
    np.testing.assert_array_equal(count, expected)


@given(cases(), st.integers(1, 4))
def test_labels_are_found_where_they_are(
    tiles_of: Callable[[int], None], case: Any, label: int
) -> None:
    labels, array, region, size = case
    tiles_of(size)
    here = np.zeros(labels.shape, bool)
    here[region] = labels[region] == label
    assert contains_label(array, label, region) == here.any()
    assert largest_label(array) == labels.max(initial=0)
    box = label_box(array, label, region)
    if box is None:
        assert not here.any()
    else:
        edges = [(int(a.min()), int(a.max()) + 1) for a in np.nonzero(here)]
        assert [(side.start, side.stop) for side in box] == edges


@given(cases(), st.data())
def test_pixels_and_checksums_are_those_of_the_whole(
    tiles_of: Callable[[int], None], case: Any, data: Any
) -> None:
    labels, array, region, size = case
    tiles_of(size)
    count = data.draw(st.integers(0, 6))
    indices = tuple(
        np.array([data.draw(st.integers(0, s - 1)) for _ in range(count)], np.intp)
        for s in labels.shape
    )
    if not isinstance(array, da.Array):
        np.testing.assert_array_equal(read_pixels(array, indices), labels[indices])
    window = tuple(e if isinstance(e, slice) else slice(e, e + 1) for e in region)
    blocks = list(c_order_blocks(array, window))
    flat = np.concatenate(blocks) if blocks else np.empty(0)
    np.testing.assert_array_equal(flat, labels[window].ravel())
    sides = [list(s.indices(n)[:2]) for s, n in zip(window, labels.shape, strict=True)]
    assert checksum(array, 1, sides) == checksum(labels, 1, sides)


@given(cases((3,)), st.integers(0, 2))
def test_measurements_are_those_of_the_whole(
    tiles_of: Callable[[int], None], case: Any, axis: int
) -> None:
    labels, array, _, size = case
    tiles_of(2**40)
    expected = measure(labels, axis=axis)
    tiles_of(size)
    assert measure(array, axis=axis) == expected
    tiles_of(2**40)
    expected = measure(labels[0])
    tiles_of(size)
    assert measure(FixedAxes(array, {0: 0})) == expected


@given(cases((3,)), st.data())
def test_changes_are_those_of_the_whole_array(
    tiles_of: Callable[[int], None], case: Any, data: Any
) -> None:
    labels, _, _, size = case
    array = in_zarr(labels, tuple(min(3, side) for side in labels.shape))
    z, row, col = (data.draw(st.integers(0, side - 1)) for side in labels.shape)
    mask = np.ones((labels.shape[1] - row, labels.shape[2] - col), bool)
    piece = ObjectPlaneMask(1, (z, slice(None), slice(None)), (row, col), mask)
    policy = data.draw(st.sampled_from(["keep", "overwrite", "background"]))
    replaced = data.draw(st.sampled_from([(), (2,)]))
    tiles_of(2**40)
    whole = plan_changes(labels, [piece], {1: 2}, policy, replaced)
    tiles_of(size)
    erase_within = [label_box(labels, 2) or (slice(0, 0),) * 3]
    parts = plan_changes(array, [piece], {1: 2}, policy, replaced, erase_within)
    assert parts.kept == whole.kept
    painted = []
    for changes in (whole, parts):
        result = labels.copy()
        result[changes.indices] = changes.values
        painted.append((len(changes.values), result))
    assert painted[0][0] == painted[1][0]
    np.testing.assert_array_equal(painted[0][1], painted[1][1])
