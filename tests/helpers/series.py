"""Folders of small images with bright discs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tifffile

from napari_sam.images.reading.image_file import ImageFile
from napari_sam.series.opening import open_series
from tests.helpers.discs import PLANE

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from napari_sam.series.image_series import ImageSeries


def write_images(folder: Path, *names: str, plane: np.ndarray = PLANE) -> Path:
    """Write the same plane under several names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, plane)
    return folder


def open_images(folder: Path, *names: str, **options: Any) -> ImageSeries:
    """Write images below a folder and open them as a series."""
    images = write_images(folder / "images", *names)
    return open_series(images, folder / "out", **options)


def save(series: ImageSeries, name: str, labels: np.ndarray, **values: Any) -> None:
    """Write labels of an image, as a user would by an editor."""
    with series.edit(name) as editor:
        editor.save(labels, ImageFile(labels, "ZYX"[-labels.ndim :]), **values)
