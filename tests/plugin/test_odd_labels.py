"""Labels of every data type and byte order: right pixels, or a sentence before work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.layers.labels_array import painting_problem
from napari_sam.plugin.session import SamSession
from tests.helpers.models import World
from tests.helpers.sessions import corners

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Labels

OTHER = "><"[sys.byteorder == "big"]
DTYPES = [
    f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)
]
SWAPPED_SHORTS = [f"{OTHER}i2", f"{OTHER}u2"]
BOX = (7, 11, 20, 28)


def image() -> np.ndarray:
    plane = np.zeros((40, 50), np.uint8)
    plane[8:20, 12:28] = 200
    plane[10, 14] = 0
    return plane


def session_on(array: Any) -> tuple[SamSession, Labels, World]:
    viewer, world = ViewerModel(), World()
    viewer.add_image(image(), contrast_limits=(0, 255))
    labels = viewer.add_labels(array, name="mine")
    session = SamSession(viewer, world)
    session.new_prompt_layers()
    session.labels_layer = labels
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(BOX))
    return session, labels, world


def before() -> np.ndarray:
    labels = np.zeros((40, 50), int)
    labels[30:33, 3:6] = 7
    return labels


@settings(max_examples=8, deadline=None)
@given(dtype=st.sampled_from([*DTYPES, "u1", "i1"]), largest=st.integers(7, 120))
def test_pixels_are_right_in_all_data_types(dtype: str, largest: int) -> None:
    mine = before().astype(dtype)
    mine[mine > 0] = largest
    kept = mine.copy()
    session, labels, world = session_on(mine)
    if dtype in SWAPPED_SHORTS:
        sentence = r"'mine' has the byte order .*astype\('u?int16"
        with pytest.raises(ValueError, match=sentence):
            session.preview()
        with pytest.raises(ValueError, match="byte order"):
            session.labels.delete(largest)
        assert not world.embedded
        np.testing.assert_array_equal(labels.data, kept)
        assert [row.label for row in session.measure()] == [largest]
        return
    session.preview()
    new = largest + 1
    assert session.commit() == new
    expected = kept.astype(int)
    expected[image() > 0] = new
    np.testing.assert_array_equal(labels.data, expected)
    assert labels.data.dtype == np.dtype(dtype)
    assert list(session.record()["objects"]) == [str(new)]
    assert [row.label for row in session.measure()] == [largest, new]
    session.cleanup = CleanUp(fill_holes=True)
    assert session.clean_label(new) == 1
    session.refine(new)
    session.discard()
    session.labels.merge([largest, new])
    assert set(np.unique(labels.data)) == {0, largest}
    session.undo()
    expected[10, 14] = new
    np.testing.assert_array_equal(labels.data, expected)


@pytest.mark.parametrize("dtype", ["int64", "uint64", f"{OTHER}u8"])
def test_ids_beyond_32_bits_are_exact(dtype: str) -> None:
    mine = before().astype(dtype)
    mine[mine > 0] = 2**60 + 1
    session, labels, _ = session_on(mine)
    session.preview()
    assert session.commit() == 2**60 + 2
    session.labels.rename(2**60 + 7, label=2**60 + 1)
    assert {int(i) for i in np.unique(labels.data)} == {0, 2**60 + 2, 2**60 + 7}


@pytest.mark.parametrize("dtype", ["u1", "i4"])
def test_automatic_segmentation_checks_the_labels_first(dtype: str) -> None:
    mine = before().astype(dtype)
    mine[0, 0] = np.iinfo(dtype).max
    session, _, world = session_on(mine)
    with pytest.raises(ValueError, match="cannot hold label"):
        session.segment_everything()
    assert not world.embedded


@pytest.mark.parametrize("dtype", ["u1", "i2", "int64"])
def test_a_full_range_of_labels_is_said_before_work(dtype: str) -> None:
    mine = before().astype(dtype)
    mine[0, 0] = np.iinfo(dtype).max
    session, _, world = session_on(mine)
    with pytest.raises(ValueError, match="cannot hold label"):
        session.preview()
    assert not world.embedded


def read_only(_: Path) -> Any:
    array = before()
    array.flags.writeable = False
    return array


def stored_read_only(folder: Path) -> Any:
    np.save(folder / "labels.npy", before())
    return np.load(folder / "labels.npy", mmap_mode="r")


def named(_: Path) -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(before(), dims=("y", "x"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (read_only, "is read-only"),
        (stored_read_only, "is read-only"),
        (lambda _: da.from_array(before()), "not in memory as a numpy array"),
        (named, r"not in memory as a numpy array \(DataArray\)"),
        (lambda _: before() > 0, "has type bool, which cannot hold label 2"),
    ],
)
def test_arrays_that_cannot_be_painted_are_said_before_work(
    make: Any, sentence: str, tmp_path: Path
) -> None:
    session, labels, world = session_on(make(tmp_path))
    kept = np.array(labels.data)
    with pytest.raises(ValueError, match=f"'mine'.*{sentence}.*: "):
        session.preview()
    assert not world.embedded
    np.testing.assert_array_equal(np.asarray(labels.data), kept)


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_memory_maps_are_painted(mode: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", before().astype(f"{OTHER}i4"))
    session, labels, _ = session_on(np.load(tmp_path / "labels.npy", mmap_mode=mode))
    session.preview()
    assert session.commit() == 8
    assert set(np.unique(labels.data)) == {0, 7, 8}


def test_zarr_arrays_in_another_byte_order_are_refused() -> None:
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(40, 50),
        chunks=(20, 20),
        dtype=SWAPPED_SHORTS[0],
    )
    if np.dtype(stored.dtype).isnative:
        pytest.skip("this zarr has no byte order in its data type")
    assert painting_problem(stored) is not None


def test_a_layer_that_takes_other_pixels_is_set_back() -> None:
    """As napari would for a data type that is not refused: its undo is wrong too."""
    session, labels, _ = session_on(before())
    kept = labels.data.copy()
    session.preview()
    right = labels.data_setitem
    broken: dict[str, Any] = labels.__dict__

    def swapped(indices: Any, values: Any, refresh: bool = True) -> None:
        right(indices, values * 256, refresh)

    broken["data_setitem"] = swapped
    broken["undo"] = lambda: None
    try:
        with pytest.raises(ValueError, match="'mine' did not take the objects"):
            session.commit()
    finally:
        del broken["data_setitem"], broken["undo"]
    np.testing.assert_array_equal(labels.data, kept)
    assert session.pending is not None
