"""Runs `napari-sam` in process, on small TIFF files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tifffile

from napari_sam.cli.main import main
from napari_sam.images.reading.read import read_image
from napari_sam.prediction import loading
from napari_sam.records import replay

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pytest

PIXEL_SIZES = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}


def run(*arguments: object) -> int:
    """Run a command and return its exit code."""
    return main([str(argument) for argument in arguments])


def load_always(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """Load this model, whatever its name."""
    for module in (loading, replay):
        monkeypatch.setattr(module, "load_model", lambda *_, **__: model)


def write_plane(folder: Path, plane: np.ndarray) -> Path:
    """Write plane.tif, without a pixel size."""
    path = folder / "plane.tif"
    tifffile.imwrite(path, plane)
    return path


def write_stack(folder: Path, stack: np.ndarray, axes: str = "ZYX") -> Path:
    """Write stack.tif, with a pixel size."""
    path = folder / "stack.tif"
    metadata = {"axes": axes, **PIXEL_SIZES}
    tifffile.imwrite(path, stack, ome=True, metadata=metadata, photometric="minisblack")
    return path


def read_labels(path: Path) -> np.ndarray:
    """Read a label file."""
    labels: np.ndarray = read_image(path).data
    return labels


def labels_of(image: Path) -> np.ndarray:
    """Read the labels beside an image."""
    return read_labels(image.with_name(f"{image.stem}_labels.tif"))
