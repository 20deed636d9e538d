"""The array of a new Labels layer: numpy, or zarr where it is very large."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

import napari
import numpy as np

from napari_sam.memory import NotEnoughMemoryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Planes with more pixels are not kept as one block of memory.
_MAX_PLANE_PIXELS = 64_000_000
# Labels with more pixels are created with 16 bits.
_MAX_INT32_PIXELS = 2**28
# Side of the square chunks of a plane: a chunk is written in a hundredth of a second.
_CHUNK_SIDE = 1024
# The first napari that paints chunked arrays by their bounding box.
_FIRST_NAPARI = (0, 8)


def empty_labels(shape: tuple[int, ...], plane_axes: tuple[int, int]) -> Any:
    """Make zeros that take memory only where something is written.

    A very large plane, or labels larger than the memory, get a zarr array of compressed
    chunks in memory: it follows the layer and its copies, and leaves no file behind. It
    needs the package zarr and napari 0.8; without them, labels are numpy arrays.

    Parameters
    ----------
    shape : tuple of int
        Of the labels.
    plane_axes : tuple of int
        Axes of the rows and columns of the displayed plane.

    Raises
    ------
    NotEnoughMemoryError
        When they fit neither into the memory nor on the disk.
    """
    size = int(np.prod(shape, dtype=np.int64))
    dtype = np.dtype(np.int32 if size <= _MAX_INT32_PIXELS else np.uint16)
    plane = shape[plane_axes[0]] * shape[plane_axes[1]]
    if plane <= _MAX_PLANE_PIXELS:
        with suppress(MemoryError):
            return np.zeros(shape, dtype)
    # napari shows 16 bits as they are, but converts the whole plane of 32 bits at
    # every undo, which takes seconds and four times the memory.
    dtype = np.dtype(np.uint16)
    zarr = _zarr() if _napari_version() >= _FIRST_NAPARI else None
    if zarr is None:
        with suppress(MemoryError):
            return np.zeros(shape, dtype)
        return _zeros_on_disk(shape, dtype)
    chunks = tuple(
        min(side, _CHUNK_SIDE) if axis in plane_axes else 1
        for axis, side in enumerate(shape)
    )
    return zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=shape,
        chunks=chunks,
        dtype=str(dtype),
        fill_value=0,
    )


def is_zarr(array: Any) -> bool:
    """Tell whether an array is a zarr array."""
    zarr = sys.modules.get("zarr")  # without the module there is no such array
    return zarr is not None and isinstance(array, zarr.Array)


def painting_problem(data: Any) -> tuple[str, str] | None:
    """Tell why napari cannot paint the array of a Labels layer.

    Returns
    -------
    tuple of str, or None
        What the matter is, and what to do about it; None when it can be painted.
    """
    advice = "add it as a numpy array, viewer.add_labels(numpy.array(layer.data))"
    if not (isinstance(data, np.ndarray) or is_zarr(data)):
        return f"is not in memory as a numpy array ({type(data).__name__})", advice
    if data.read_only if is_zarr(data) else not data.flags.writeable:
        return "is read-only", f"{advice}, or choose another layer"
    dtype = np.dtype(data.dtype)
    if dtype.itemsize == 2 and not dtype.isnative:
        # napari shows the bytes of such arrays as if they were in the order of this
        # machine, and writes through what it shows.
        native = dtype.newbyteorder("=")
        problem = (
            f"has the byte order {dtype.str!r}, in which napari paints wrong labels"
        )
        return problem, f"add it as viewer.add_labels(layer.data.astype('{native}'))"
    return None


def label_dtype(data: Any) -> np.dtype[Any]:
    """Return the data type that the array of a Labels layer was made with.

    napari shows booleans as 8-bit integers in the same memory, where a label above 1
    is no boolean any more.
    """
    base = getattr(data, "base", None)
    made = base if isinstance(base, np.ndarray) and base.dtype.kind == "b" else data
    dtype: np.dtype[Any] = np.dtype(made.dtype)
    return dtype


def _zarr() -> Any:
    """Return the package zarr from version 3 on; None when it is not installed."""
    try:
        zarr = import_module("zarr")
    except ImportError:
        return None
    return zarr if hasattr(zarr, "create_array") else None


def _napari_version() -> tuple[int, ...]:
    return tuple(int(part) for part in napari.__version__.split(".")[:2])


def _zeros_on_disk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Map zeros from a temporary file, for which the disk has room."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with tempfile.TemporaryFile(prefix="napari-sam-labels-") as file:
        try:
            _reserve(file, nbytes)
            return np.memmap(file, dtype, "w+", shape=shape)  # keeps the file open
        except OSError as error:
            raise NotEnoughMemoryError(
                f"Labels of {nbytes / 1e9:,.1f} GB fit neither into the memory nor "
                f"into the folder {tempfile.gettempdir()}: install zarr and napari 0.8 "
                "or newer (pip install 'napari-sam[zarr]'), or segment a crop."
            ) from error


def _reserve(file: IO[bytes], nbytes: int) -> None:
    """Take the space of a file on its disk.

    Without it, the system would end the process when the disk is full at a later write.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, nbytes)
    elif shutil.disk_usage(tempfile.gettempdir()).free < nbytes:
        raise OSError("The disk is too small.")
