"""Label files: TIFF with the axes and the pixel size of an image."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write, first_line
from napari_sam.images.reading.tiff_sizes import to_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile

_MAX_LABEL = 2**31 - 1
# The axes that OME-TIFF can hold, in the order of the file.
_OME_AXES = re.compile(r"(?!.*(.).*\1)[TZC]*YX")


def write_labels(path: str | Path, labels: NDArray[Any], like: ImageFile) -> Path:
    """Write labels as TIFF with the axes and pixel size of an image.

    The file is OME-TIFF if that can hold the axes in the order of the image's file;
    else tifffile's own kind of TIFF, with the names of the axes. It appears under its
    name only when it is complete.

    Parameters
    ----------
    path : str or Path
        Should end in ``.tif``.
    labels : ndarray
        Integers, of the image's shape without colour. They are stored as uint16 where
        they fit, which every viewer opens, else as int32; in the order of the image's
        file.
    like : ImageFile
        Image with the axes and the pixel size.

    Raises
    ------
    ValueError
        When the shape does not fit the axes, or a label does not fit int32.
    """
    path = Path(path)
    if labels.ndim != len(like.order):
        raise ValueError(
            f"The labels have shape {labels.shape}, the image the axes {like.order}: "
            "give labels of the image's shape."
        )
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if not -_MAX_LABEL <= low <= high <= _MAX_LABEL:
        raise ValueError(
            f"The labels range from {low} to {high}: number them from 1 to at most "
            f"{_MAX_LABEL}."
        )
    dtype = np.uint16 if 0 <= low <= high < 2**16 else np.int32
    with atomic_write(path, ".tif") as part:
        _write(part, like.as_stored(labels.astype(dtype)), like)
    return path


def check_writable(like: ImageFile) -> None:
    """Check that labels like an image can be written and read again.

    Parameters
    ----------
    like : ImageFile
        Image with the axes and the pixel size.

    Raises
    ------
    ValueError
        When the image has no pixels, or its axes or pixel size cannot be written.
    """
    import tifffile

    if 0 in like.shape:
        raise ValueError(f"The image has shape {like.shape}: it has no pixels.")
    trial = like.as_stored(np.zeros((2,) * len(like.order), np.uint16))
    try:
        _write(file := io.BytesIO(), trial, like)
        file.seek(0)
        with tifffile.TiffFile(file) as written:
            axes = written.series[0].axes
    except Exception as error:  # whatever tifffile raises
        raise ValueError(
            f"Labels with the axes {like.order} cannot be written "
            f"({first_line(error)}): name other axes with --axes."
        ) from error
    if axes != like.order:
        raise ValueError(
            f"Labels with the axes {like.order} would be read as {axes}: name other "
            "axes with --axes."
        )


def _write(file: Any, labels: NDArray[Any], like: ImageFile) -> None:
    import tifffile

    # Pages of rows and columns, also where one more axis comes after them.
    is_interleaved = like.order[-3:-1] == "YX" and 1 < labels.shape[-1] < 2**16
    tifffile.imwrite(
        file,
        labels,
        planarconfig="contig" if is_interleaved else None,
        ome=bool(_OME_AXES.fullmatch(like.order)),
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": like.order, **to_attributes(like.spacing, like.units)},
    )
