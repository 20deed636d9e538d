"""Check that an image fits into memory before it is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.reading.read import TIFF_ENDINGS

if TYPE_CHECKING:
    from pathlib import Path

_GIGABYTE = 1e9
# The labels and what is computed on the way need memory, too.
_SHARE = 0.5


def check_memory(path: Path) -> None:
    """Check that a TIFF file, which is read whole, fits into memory.

    Other formats limit themselves, or are read plane by plane.

    Raises
    ------
    ValueError
        When it does not.
    """
    memory = _memory()
    if path.suffix.lower() not in TIFF_ENDINGS or memory is None:
        return
    needed = _tiff_bytes(path)
    if needed > memory * _SHARE:
        raise ValueError(
            f"{path} has {needed / _GIGABYTE:.0f} GB of pixels, and this computer "
            f"{memory / _GIGABYTE:.0f} GB of memory: convert it to OME-Zarr."
        )


def _tiff_bytes(path: Path) -> int:
    """Return the bytes of the largest image; 0 when the file is damaged."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            sizes = [int(np.prod(s.shape)) * s.dtype.itemsize for s in file.series]
    except Exception:  # noqa: BLE001 - a damaged file fails anywhere in tifffile
        return 0  # reading it says what is wrong
    return max(sizes, default=0)


def _memory() -> int | None:
    """Return the bytes of memory of the computer; None when unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
