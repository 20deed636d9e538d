"""PNG, JPEG and similar files as arrays with named axes, read by imageio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import first_line
from napari_sam.images.reading.axis_names import check_axes
from napari_sam.images.reading.choose import ChoiceError
from napari_sam.images.reading.image_file import ImageFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp")
# These may hold several images, a movie; in others, further ones are previews.
_MOVIES = (".png", ".gif", ".webp")
# Modes of Pillow that are numbers as they are; others are converted to RGB.
_PLAIN = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F", "RGB", "RGBA")
_PNG_START = b"\x89PNG\r\n\x1a\n"


def read_raster(
    path: Path,
    series: str | None = None,
    axes: str | None = None,
    *,
    labels: bool = False,
) -> ImageFile:
    """Read an image with imageio; see `napari_sam.images.reading.read`.

    Raises
    ------
    OSError
        When the file cannot be opened.
    ValueError
        When it cannot be read, `series` or `axes` do not fit, or labels are colours.
    ModuleNotFoundError
        When imageio is not installed.
    """
    try:
        import imageio.v3 as iio
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} is read with imageio, which is not installed: pip install imageio."
        ) from error
    if series not in (None, "0"):
        raise ChoiceError(f"{path} holds one image: leave out --series, or give 0.")
    path.open("rb").close()  # raises OSError
    try:
        mode = str(iio.immeta(path, plugin="pillow", exclude_applied=False)["mode"])
        data = _read(path, mode, labels)
    except Exception as error:  # damaged files fail anywhere in the decoders
        raise ValueError(
            f"{path} cannot be read as an image ({first_line(error)}): convert it "
            "first."
        ) from error
    if axes is not None:
        return ImageFile.arrange(data, check_axes(axes, data.shape))
    return _named(path, data, mode, labels)


def _read(path: Path, mode: str, labels: bool) -> NDArray[Any]:
    """Read the pixels, (H, W) or (H, W, samples), or several of them."""
    import imageio.v3 as iio

    wanted = None if mode in _PLAIN else "RGB"
    if mode == "P" and labels:
        wanted = "P"  # numbers of the colour table
    if path.suffix.lower() not in _MOVIES:
        return np.asarray(iio.imread(path, plugin="pillow", mode=wanted, index=0))
    frames = list(iio.imiter(path, plugin="pillow", mode=wanted))
    if len({frame.shape for frame in frames}) > 1:  # colour in some of them only
        frames = list(iio.imiter(path, plugin="pillow", mode="RGB"))
    return np.stack(frames) if len(frames) > 1 else np.asarray(frames[0])


def _named(path: Path, data: NDArray[Any], mode: str, labels: bool) -> ImageFile:
    """Name the axes: T for the images of a movie; alpha is no colour."""
    notes = []
    has_samples = mode not in ("1", "L", "I", "F") and not mode.startswith("I;16")
    has_samples = has_samples and data.shape[-1] in (2, 3, 4) and data.ndim > 2
    has_samples = has_samples and not (mode == "P" and labels)
    if has_samples:
        count = data.shape[-1]
        alpha = data[..., -1] if count in (2, 4) else None
        if alpha is not None and alpha.min() != alpha.max():
            notes.append("The alpha (transparency) of the image is not used.")
        data = data[..., : (1 if count == 2 else 3)]
        if labels and count > 2:
            if (data != data[..., :1]).any():
                raise ValueError(
                    f"{path} is in colour: save labels as one number a pixel."
                )
            data = data[..., :1]
        if data.shape[-1] == 1:
            data, has_samples = data[..., 0], False
    if mode not in _PLAIN and mode != "P":
        notes.append(f"The colours of {path}, {mode}, are converted to RGB.")
    if data.dtype == np.uint8 and _bits(path) == 16:
        notes.append(f"The values of {path} have 16 bits: they are read as 8 bits.")
    names = ("T" if data.ndim - has_samples == 3 else "") + "YX" + "S" * has_samples
    return ImageFile.arrange(data, names, notes=tuple(notes), named=False)


def _bits(path: Path) -> int:
    """Return the bits of a value in a PNG file; 8 of others."""
    with path.open("rb") as file:
        start = file.read(25)
    return start[24] if start.startswith(_PNG_START) and len(start) == 25 else 8
