"""Image files with one bright object, with their axes in any order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from pathlib import Path

SIZES = {"T": 2, "C": 2, "Z": 3, "Y": 11, "X": 14, "S": 3}
SPACING = {"T": 3.0, "Z": 2.0, "Y": 0.25, "X": 0.5}
UNITS = {"T": "s", "Z": "nm", "Y": "nm", "X": "nm"}
METADATA = {
    "TimeIncrement": 3.0,
    "TimeIncrementUnit": "s",
    **{f"PhysicalSize{name}": SPACING[name] for name in "ZYX"},
    **{f"PhysicalSize{name}Unit": "nm" for name in "ZYX"},
}
# The object is at these indices of T and C only, and in this box.
SHOWN = {"T": 1, "C": 1}
BOX = {"Z": slice(1, 3), "Y": slice(2, 8), "X": slice(4, 11)}

# Every order of up to five axes with rows and columns.
AXES = tuple(
    "".join(order)
    for count in range(4)
    for others in itertools.combinations("TCZS", count)
    for order in itertools.permutations((*others, "Y", "X"))
)


def mask(axes: str) -> np.ndarray:
    """Make a boolean array of the axes, true on the object."""
    array = np.zeros([SIZES[name] for name in axes], bool)
    array[tuple(BOX.get(name, slice(None)) for name in axes)] = True
    return array


def pixels(axes: str) -> np.ndarray:
    """Make the image: uint8, bright on the object where it is shown."""
    shown = mask(axes)
    for i, name in enumerate(axes):
        if name in SHOWN:
            others = np.arange(SIZES[name]) != SHOWN[name]
            shown[(slice(None),) * i + (others,)] = False
    return np.where(shown, 200, 20).astype(np.uint8)


def write(path: Path, data: np.ndarray, axes: str, **metadata: Any) -> Path:
    """Write a TIFF file that names its axes and their pixel sizes."""
    metadata = {"axes": axes, **METADATA, **metadata}
    tifffile.imwrite(path, data, photometric="minisblack", metadata=metadata)
    return path
