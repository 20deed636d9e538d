"""Reading of an image file of any format that is known here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.images.reading import raster
from napari_sam.images.reading.ome_zarr import read_zarr
from napari_sam.images.reading.raster import read_raster
from napari_sam.images.reading.tiff import read_tiff

if TYPE_CHECKING:
    from napari_sam.images.reading.image_file import ImageFile

TIFF_ENDINGS = (".tif", ".tiff")
ZARR_ENDING = ".zarr"
ENDINGS = (*TIFF_ENDINGS, *raster.ENDINGS, ZARR_ENDING)


def is_zarr(path: Path) -> bool:
    """Tell whether a path is named like a zarr store, or like a group in one."""
    return any(part.lower().endswith(ZARR_ENDING) for part in path.parts)


def open_zarr(image: Any) -> Any:
    """Return the pixels of an OME-Zarr whose path is given; other images unchanged.

    Axes of length 1 are dropped.

    Parameters
    ----------
    image : object
        A path that ends in ``.zarr``, or anything else.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        See `read_image`.
    """
    if isinstance(image, str | os.PathLike) and is_zarr(Path(image)):
        return read_image(Path(image)).select().data
    return image


def read_image(
    path: str | Path,
    series: str | None = None,
    axes: str | None = None,
    *,
    labels: bool = False,
) -> ImageFile:
    """Read an image file: TIFF, PNG, JPEG and others of imageio, or zarr.

    Parameters
    ----------
    path : str or Path
        The file; or the folder of a zarr array or OME-Zarr, whose name ends in .zarr,
        or of a group in it. Names with an unknown ending are read as TIFF.
    series : str, optional
        Number or name of the image, if the file holds several. When None, the largest
        one, and `notes` of the result name the others.
    axes : str, optional
        A letter for each axis as it is stored, for instance "ZYX", instead of those
        that the file gives; S is colour.
    labels : bool
        Whether the file holds labels, which are never colour.

    Returns
    -------
    ImageFile
        The pixels at full resolution, with axes and pixel sizes.

    Raises
    ------
    OSError
        When the file does not exist.
    ValueError
        When it cannot be read, `series` or `axes` do not fit it, or `series` is None
        and several images are equally large.
    ModuleNotFoundError
        When a library for its format or compression is not installed; the message
        has the pip line.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if is_zarr(path) and path.is_dir():
        return read_zarr(path, series, axes)
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder: name an image in it.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    reader = read_raster if ending in raster.ENDINGS else read_tiff
    return reader(path, series, axes, labels=labels)
