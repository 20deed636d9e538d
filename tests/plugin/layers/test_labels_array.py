"""The array of a new Labels layer."""

from typing import Any

import napari
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.memory import NotEnoughMemoryError
from napari_sam.plugin.layers import labels_array
from napari_sam.plugin.layers.labels_array import empty_labels, is_zarr
from napari_sam.plugin.layers.labels_writer import new_labels

LARGE = (9000, 8000)
paints_zarr = pytest.mark.skipif(
    tuple(map(int, napari.__version__.split(".")[:2])) < (0, 8),
    reason="napari does not paint zarr well",
)


def refuse_memory(patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise MemoryError

    patch.setattr(labels_array.np, "zeros", refuse)


def test_small_planes_are_numpy_even_in_large_stacks() -> None:
    labels = empty_labels((500, 1000, 1000), (1, 2))
    assert isinstance(labels, np.ndarray)
    assert labels.dtype == np.uint16
    assert empty_labels((3, 4, 5), (1, 2)).dtype == np.int32


@paints_zarr
def test_large_planes_are_zarr_in_square_chunks() -> None:
    pytest.importorskip("zarr")
    assert is_zarr(empty_labels(LARGE, (0, 1)))
    stack = empty_labels((30_000, 6, 30_000), (0, 2))
    assert is_zarr(stack)
    assert stack.shape == (30_000, 6, 30_000)
    assert stack.chunks == (1024, 1, 1024)
    assert not np.asarray(stack[5:9, 3, -5:]).any()
    # The same image seen along another axis has small planes.
    assert isinstance(empty_labels((9000, 2, 8000), (0, 1)), np.ndarray)


@paints_zarr
def test_a_layer_follows_the_displayed_plane() -> None:
    pytest.importorskip("zarr")
    viewer = ViewerModel()
    pixels = np.broadcast_to(np.uint8(0), (9000, 3, 8000))
    image = viewer.add_image(pixels, contrast_limits=(0, 1), visible=False)
    full = slice(None)
    viewer.dims.order = (1, 0, 2)
    for index, kind in [((full, 1, full), True), ((full, full, 1), False)]:
        labels = new_labels(viewer, image, plane_index=index)
        assert is_zarr(labels.data) == kind
        viewer.layers.remove(labels)


def absent(patch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(name)

    patch.setattr(labels_array, "import_module", refuse)


def old_zarr(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(labels_array, "import_module", lambda _: object())


def old_napari(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(napari, "__version__", "0.7.1")


def development_napari(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(napari, "__version__", "0.7.1.dev3+gabc")


@pytest.mark.parametrize(
    "change",
    [absent, old_zarr, old_napari, development_napari],
    ids=lambda f: f.__name__,
)
def test_without_zarr_large_planes_are_numpy(
    change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)
    labels = empty_labels(LARGE, (0, 1))
    assert isinstance(labels, np.ndarray)
    assert labels.dtype == np.uint16


@paints_zarr
def test_labels_larger_than_the_memory_are_zarr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("zarr")
    refuse_memory(monkeypatch)
    labels = empty_labels((20, 300, 2000), (1, 2))
    assert is_zarr(labels)
    assert labels.chunks == (1, 300, 1024)
    assert labels.dtype == np.uint16


def test_without_zarr_labels_larger_than_the_memory_are_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent(monkeypatch)
    refuse_memory(monkeypatch)
    labels = empty_labels(LARGE, (0, 1))
    assert isinstance(labels, np.memmap)
    labels[-1, -1] = 7
    assert labels[-1, -1] == 7
    assert not labels[:-1].any()


@pytest.mark.parametrize("can_reserve", [True, False])
def test_labels_larger_than_memory_and_disk_are_refused(
    can_reserve: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent(monkeypatch)
    refuse_memory(monkeypatch)
    if not can_reserve:  # as on Windows
        monkeypatch.delattr(labels_array.os, "posix_fallocate", raising=False)
    with pytest.raises(
        NotEnoughMemoryError, match=r"^Labels of 128,000\.0 GB fit neither"
    ):
        empty_labels((1000, 8000, 8000_000), (1, 2))
