"""Images from TIFF files with their axes, labels into TIFF files with the same."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.files import atomic_write

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scale = tuple[float | None, float, float]

_SPATIAL = "ZYX"
_COLOUR = "S"
_LARGEST = 2**31 - 1
# Powers of ten of a metre, by names in Unicode's compatible form (a Greek mu).
_POWERS = {
    "m": 0,
    "cm": -2,
    "mm": -3,
    "μm": -6,
    "um": -6,
    "nm": -9,
    "Å": -10,
    "pm": -12,
}


@dataclass(frozen=True, slots=True, eq=False)
class TiffImage:
    """An image with named axes.

    Parameters
    ----------
    data : ndarray
        The pixels.
    axes : str
        One letter an axis, as tifffile names them: T, C, Z, Y, X and S (colour).
    scale : tuple, optional
        Size of a pixel along Z, Y and X in `unit`, where the file says so; that
        along Z alone may be None.
    unit : str, optional
        Of the scale, for instance "µm".
    """

    data: NDArray[Any]
    axes: str
    scale: Scale | None = None
    unit: str | None = None

    @property
    def rgb(self) -> bool:
        """Whether the last axis is colour."""
        return self.axes.endswith(_COLOUR)

    def select(self, **indices: int) -> Self:
        """Take one index of the named axes (T=0, C=1, ...) and drop axes of length 1.

        Raises
        ------
        ValueError
            When there is no such axis or index.
        """
        data, axes = self.data, self.axes
        for name, index in indices.items():
            position = axes.find(name)
            if position < 0:
                raise ValueError(f"The image has axes {axes}: there is no axis {name}.")
            if not 0 <= index < data.shape[position]:
                raise ValueError(
                    f"Axis {name} has indices 0 to {data.shape[position] - 1}, "
                    f"not {index}."
                )
            data, axes = (
                np.take(data, index, position),
                axes[:position] + axes[position + 1 :],
            )
        for position in reversed(range(len(axes))):
            if data.shape[position] == 1 and axes[position] not in "YX":
                data, axes = (
                    np.take(data, 0, position),
                    axes[:position] + axes[position + 1 :],
                )
        return type(self)(data, axes, self.scale, self.unit)

    def axis(self, name: str) -> int:
        """Number of an axis, from its name (Z, T, ...) or from its number as text.

        Raises
        ------
        ValueError
            When there is no such axis.
        """
        axes = self.axes.removesuffix(_COLOUR)
        if re.fullmatch(r"-?[0-9]+", name):
            if -len(axes) <= int(name) < len(axes):
                return int(name) % len(axes)
        elif len(name) == 1 and name.upper() in axes:
            return axes.index(name.upper())
        raise ValueError(
            f"The image has axes {axes}: there is no axis {name!r} to walk along."
        )

    def plane(self) -> NDArray[Any]:
        """The pixels as one plane, (H, W) or (H, W, 3)."""
        if self.axes not in ("YX", "YXS"):
            raise ValueError(
                f"The image has axes {self.axes}, shape {self.data.shape}: choose one "
                "plane with --index, for instance --index Z=4 or --index T=0,C=1."
            )
        return self.data

    def volume(self) -> NDArray[Any]:
        """The pixels as one stack, (Z, Y, X) or (Z, Y, X, 3); T may stand for Z."""
        if self.axes in ("YX", "YXS"):
            raise ValueError(
                f"The image is one plane of shape {self.data.shape}, not a stack: "
                "segment it as a plane."
            )
        if len(self.axes.removesuffix(_COLOUR)) != 3:
            raise ValueError(
                f"The image has axes {self.axes}, shape {self.data.shape}: choose one "
                "stack with --index, for instance --index T=0 or --index C=1."
            )
        return self.data


def read_tiff(path: str | Path) -> TiffImage:
    """Read the first series of a TIFF file.

    Raises
    ------
    OSError
        When the file does not exist.
    ValueError
        When it is no TIFF file.
    """
    import tifffile

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            data, axes = series.asarray(), _named(series.axes)
            scale, unit = _physical_size(file)
    except OSError:
        raise
    except Exception as error:  # a damaged file fails anywhere in the decoders
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as TIFF ({reason}).") from error
    if _COLOUR in axes:  # stored channel by channel
        position = axes.index(_COLOUR)
        data, axes = (
            np.moveaxis(data, position, -1),
            axes.replace(_COLOUR, "") + _COLOUR,
        )
    return TiffImage(data, axes, scale, unit)


def write_labels(path: str | Path, labels: NDArray[Any], like: TiffImage) -> Path:
    """Write labels as OME-TIFF with the axes and pixel size of an image.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : str or Path
        Should end in ``.tif``.
    labels : ndarray
        Integers, of the image's shape without its colour axis.
    like : TiffImage
        Gives axes and pixel size.

    Raises
    ------
    ValueError
        When shape or numbers of the labels do not fit.
    """
    import tifffile

    path = Path(path)
    axes = like.axes.removesuffix(_COLOUR)
    # 16 bits open in every viewer; few images hold more objects.
    small = not labels.size or (labels.min() >= 0 and labels.max() < 2**16)
    if labels.size and not -_LARGEST <= labels.min() <= labels.max() <= _LARGEST:
        raise ValueError(
            f"The labels go from {labels.min()} to {labels.max()}: number them from 1 "
            f"to {_LARGEST} at most."
        )
    metadata: dict[str, Any] = {"axes": axes}
    if like.scale is not None:
        for name, size in zip(_SPATIAL, like.scale, strict=True):
            if name in axes and size is not None:
                metadata[f"PhysicalSize{name}"] = size
                metadata[f"PhysicalSize{name}Unit"] = like.unit or "µm"
    with atomic_write(path, ".tif") as part:
        tifffile.imwrite(
            part,
            labels.astype(np.uint16 if small else np.int32),
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=metadata,
        )
    return path


def _named(axes: str) -> str:
    """Name axes that carry no name, which tifffile calls Q or I: Z, then T, then C."""
    named = list(axes)
    free = [name for name in "ZTC" if name not in axes]
    for position in reversed(range(len(named))):
        if named[position] in "QI" and free:
            named[position] = free.pop(0)
    return "".join(named)


def _physical_size(file: Any) -> tuple[Scale | None, str | None]:
    """Pixel size along Z, Y, X from OME or ImageJ metadata."""
    if file.is_ome and file.ome_metadata:
        import tifffile

        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
        z, y, x = (_ome_size(pixels, name) for name in _SPATIAL)
        if x is not None and y is not None:
            return (z, y, x), _unit(str(pixels.get("PhysicalSizeXUnit", "µm")))
    if file.is_imagej and file.imagej_metadata:
        info, tags = file.imagej_metadata, file.pages[0].tags
        if "XResolution" in tags and "YResolution" in tags and info.get("unit"):
            x, y = (tags[f"{name}Resolution"].value for name in "XY")
            if x[0] and y[0]:
                # ImageJ notes stacks that run downwards with a negative spacing.
                spacing = abs(float(info.get("spacing", 1)))
                return (spacing, y[1] / y[0], x[1] / x[0]), _unit(info["unit"])
    return None, None


def _ome_size(pixels: dict[str, Any], name: str) -> float | None:
    """Pixel size along an axis in the unit of X; None when it is not known."""
    size = pixels.get(f"PhysicalSize{name}")
    if not size:
        return None
    # Micrometres where nothing is said, as OME has it.
    own, common = (
        unicodedata.normalize("NFKC", str(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        for axis in (name, "X")
    )
    if own == common:
        return float(size)
    if own not in _POWERS or common not in _POWERS:
        return None
    return float(Decimal(str(size)).scaleb(_POWERS[own] - _POWERS[common]))


def _unit(name: str) -> str:
    return {"micron": "µm", "um": "µm", "\\u00B5m": "µm"}.get(name, name)
