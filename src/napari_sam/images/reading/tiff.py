"""TIFF files as arrays with named axes."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from napari_sam.files import MEGABYTE, first_line
from napari_sam.images.reading.axis_names import COLOUR, check_axes, name_axes
from napari_sam.images.reading.choose import ChoiceError, choose
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.tiff_colour import Samples, read_samples
from napari_sam.images.reading.tiff_pages import (
    TiffImage,
    images_of,
    missing_pages,
    unused_pages,
)
from napari_sam.images.reading.tiff_sizes import read_sizes
from napari_sam.images.reading.units import PixelSize, known_sizes
from napari_sam.memory import NotEnoughMemoryError, check_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# An image of more bytes, and so many times its file, is told before the work.
_LARGE_BYTES, _EXPANSION = 100 * MEGABYTE, 100
# Raised for metadata with errors; invalid XML is a SyntaxError.
_DAMAGED = (AttributeError, LookupError, SyntaxError, TypeError, ValueError)


class _Stored(NamedTuple):
    """An image as it is stored, and what is said about the file."""

    samples: Samples
    sizes: dict[str, PixelSize]
    notes: list[str]
    is_named: bool


def read_tiff(
    path: Path,
    series: str | None = None,
    axes: str | None = None,
    *,
    labels: bool = False,
) -> ImageFile:
    """Read one image of a TIFF file; see `napari_sam.images.reading.read`.

    Raises
    ------
    OSError
        When the file cannot be opened.
    ValueError
        When it is not a TIFF file, or `series` or `axes` do not fit.
    ModuleNotFoundError
        When its compression needs imagecodecs.
    """
    samples, given, notes, named = _read(path, series, labels or axes is not None)
    names = samples.axes if axes is None else check_axes(axes, samples.data.shape)
    names = name_axes(names)
    sizes = known_sizes(given, names)
    return ImageFile.arrange(
        samples.data,
        names,
        spacing=sizes.spacing,
        units=sizes.units,
        notes=(*notes, *samples.notes, *sizes.notes),
        named=named or axes is not None,
    )


def _read(path: Path, series: str | None, is_gray: bool) -> _Stored:
    import tifffile

    compression = ""
    try:
        with _logged(notes := []), tifffile.TiffFile(path) as file:
            images = images_of(file)
            image, note = choose(path, images, series)
            compression, named = image.compression, image.is_named
            notes += _size_notes(path, image)
            data = image.read()
            if is_gray:
                samples = Samples(data, _without_colour(image.axes))
            else:
                samples = read_samples(image, data)
            try:
                sizes = read_sizes(file, image.number, image.parts[0])
            except _DAMAGED as error:
                sizes = {}
                notes.append(
                    f"The pixel size of {path} cannot be read ({first_line(error)}): "
                    "it is taken as unknown."
                )
            notes += _page_notes(path, unused_pages(file, images), missing_pages(image))
    except (OSError, ChoiceError, NotEnoughMemoryError):
        raise
    except Exception as error:  # a damaged file fails anywhere in the decoders
        raise _explained(path, error, compression) from error
    if note:
        notes.insert(0, note)
    return _Stored(samples, sizes, notes, named)


def _size_notes(path: Path, image: TiffImage) -> list[str]:
    """Say what a small file unpacks to; refuse what does not fit into the memory."""
    check_memory(
        image.nbytes,
        f"The image in {path}, of shape {image.shape},",
        "choose another image of the file with --series, or save the part you need",
    )
    packed = path.stat().st_size
    if image.nbytes < max(_LARGE_BYTES, _EXPANSION * packed):
        return []
    megabytes = image.nbytes / MEGABYTE
    return [f"{path} unpacks to {megabytes:,.0f} MB, of shape {image.shape}."]


def _page_notes(path: Path, unused: int, missing: int) -> list[str]:
    notes = []
    if unused:
        notes.append(f"{unused} pages of {path} belong to no image: they are not used.")
    if missing:
        notes.append(f"{missing} planes are missing in {path}: they are read as 0.")
    return notes


def _explained(path: Path, error: Exception, compression: str) -> Exception:
    """Return the sentence for an error of tifffile."""
    # It imports decoders when it needs them.
    if isinstance(error, ImportError) or "imagecodecs" in str(error):
        return ModuleNotFoundError(
            f"{path} is compressed ({compression}) in a way that needs imagecodecs: "
            "pip install 'napari-sam[codecs]'."
        )
    reason = first_line(error)
    return ValueError(f"{path} cannot be read as TIFF ({reason}): convert it first.")


def _without_colour(axes: str) -> str:
    """Take what may be colour for a further axis; rows and columns come last."""
    if axes.endswith(COLOUR):
        return "Q" * len(axes)
    return axes.replace(COLOUR, "Q")


@contextmanager
def _logged(notes: list[str]) -> Iterator[None]:
    """Collect what tifffile logs about a file, instead of printing it."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = re.sub(r"^<tifffile\.[^>]*> ", "", record.getMessage())
            text = f"tifffile says: {message.splitlines()[0][:200]}"
            if text not in notes:
                notes.append(text)

    logger = logging.getLogger("tifffile")
    collector, propagates = Collector(logging.WARNING), logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagates
