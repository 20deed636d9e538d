"""Which TIFF files are in colour: only those that say so beyond doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from napari_sam.images.reading.axis_names import COLOUR, name_axes
from napari_sam.images.reading.tiff_sizes import shaped_metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.images.reading.tiff_pages import TiffImage

_CHANNEL = "C"
_COLOURS = 3


class Samples(NamedTuple):
    """What the samples of a pixel are.

    Parameters
    ----------
    data : ndarray
        The pixels; without alpha, if there is one gray sample besides.
    axes : str
        Their axes: S where they are colour, C where they are channels, Q in doubt.
    notes : tuple of str
        Sentences about samples that are not used, and about doubts.
    """

    data: NDArray[Any]
    axes: str
    notes: tuple[str, ...] = ()


def read_samples(image: TiffImage, data: NDArray[Any]) -> Samples:
    """Tell colour from channels and from the slices of a stack.

    Parameters
    ----------
    image : TiffImage
        Where the pixels are from.
    data : ndarray
        Its pixels, with its axes.
    """
    page, axes = image.page, image.axes
    kind = _name(page.photometric)
    if COLOUR not in axes:
        indexed = kind == "PALETTE"
        note = "The pixels are numbers of a colour table; the numbers are used."
        return Samples(data, axes, (note,) if indexed else ())
    axis = axes.index(COLOUR)
    count = data.shape[axis]
    if kind == "RGB" and image.is_shaped and axis < axes.index("Y"):
        # tifffile calls stacks of three or four slices colour, if it is not told.
        note = (
            f"The file does not say whether it is a stack or an image of {count} "
            f"colours, shape {data.shape}: it is read as a stack; --axes "
            f"{name_axes(axes)} reads it as colour."
        )
        return Samples(data, axes.replace(COLOUR, "Q"), (note,))
    extra = [_name(sample) for sample in page.extrasamples]
    has_alpha = bool(extra) and extra[0] in ("ASSOCALPHA", "UNASSALPHA")
    is_rgb = kind == "RGB" or _is_jpeg(page)
    is_named = kind == "MINISBLACK" and COLOUR in shaped_metadata(page).get("axes", "")
    if (is_rgb and count >= _COLOURS) or (is_named and count in (3, 4)):
        rest = data.take(range(_COLOURS, count), axis)
        return Samples(data, axes, _unused(rest, has_alpha))
    if kind == "MINISBLACK" and count == 2 and has_alpha:
        gray = data.take(0, axis)
        notes = _unused(data.take([1], axis), has_alpha)
        return Samples(gray, axes.replace(COLOUR, ""), notes)
    letter = _CHANNEL if _CHANNEL not in axes else "Q"
    what = f" of the kind {kind}" if kind != "MINISBLACK" else ""
    note = f"The {count} samples of a pixel{what} are read as channels, not as colour."
    return Samples(data, axes.replace(COLOUR, letter), (note,))


def _unused(rest: NDArray[Any], has_alpha: bool) -> tuple[str, ...]:
    """Describe the samples beyond the three colours, if anything is lost."""
    if not rest.size or (has_alpha and rest.min() == rest.max()):
        return ()
    if has_alpha:
        return ("The alpha (transparency) of the image is not used.",)
    return (
        "The file has more samples than red, green and blue: these three are used; "
        "--axes with C in the place of S reads all as channels.",
    )


def _is_jpeg(page: Any) -> bool:
    """Whether the colours are stored as YCbCr and decoded as RGB."""
    return _name(page.photometric) == "YCBCR" and "JPEG" in _name(page.compression)


def _name(value: Any) -> str:
    """Name an enumeration of tifffile; unknown values are numbers."""
    return str(getattr(value, "name", value))
