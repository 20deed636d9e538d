"""TIFF files: images with named axes and pixel size, and labels like them."""

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
_MAX_LABEL = 2**31 - 1
# Units as powers of ten of a metre; the names are NFKC-normalised (with a Greek mu).
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
    """An image with named axes and pixel size.

    Parameters
    ----------
    data : ndarray
        The pixels.
    axes : str
        One letter per axis, as in tifffile: T, C, Z, Y, X and S (colour).
    scale : tuple, optional
        Pixel size along Z, Y and X in `unit`; None when the file has none. The size
        along Z may be None by itself.
    unit : str, optional
        Unit of the scale, for instance "µm".
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
        """Select an index along named axes (T=0, C=1, ...); drop axes of length 1.

        Rows and columns are kept in any case.

        Raises
        ------
        ValueError
            When the image has no such axis or index.
        """
        data, axes = self.data, self.axes
        for name, index in indices.items():
            axis = axes.find(name)
            if axis < 0:
                raise ValueError(
                    f"The image has no axis {name}: choose one of its axes, {axes}."
                )
            if not 0 <= index < data.shape[axis]:
                raise ValueError(
                    f"Axis {name} has indices 0 to {data.shape[axis] - 1}, not "
                    f"{index}: choose one of them."
                )
            data, axes = np.take(data, index, axis), axes.replace(name, "", 1)
        single = [
            axis
            for axis, name in enumerate(axes)
            if data.shape[axis] == 1 and name not in "YX"
        ]
        axes = "".join(name for axis, name in enumerate(axes) if axis not in single)
        return type(self)(np.squeeze(data, tuple(single)), axes, self.scale, self.unit)

    def axis(self, name: str) -> int:
        """Find an axis by its name (Z, T, ...) or its number as text.

        Raises
        ------
        ValueError
            When the image has no such axis.
        """
        axes = self.axes.removesuffix(_COLOUR)
        if re.fullmatch(r"-?[0-9]+", name):
            if -len(axes) <= int(name) < len(axes):
                return int(name) % len(axes)
        elif len(name) == 1 and name.upper() in axes:
            return axes.index(name.upper())
        raise ValueError(
            f"The image has no axis {name!r}: choose one of its axes, {axes}, to "
            "propagate along."
        )

    def plane(self) -> NDArray[Any]:
        """Return the pixels as one plane, (H, W) or (H, W, 3)."""
        if self.axes not in ("YX", "YXS"):
            raise ValueError(
                f"The image has axes {self.axes}, shape {self.data.shape}: choose one "
                "plane with --index, for instance --index Z=4 or --index T=0,C=1."
            )
        return self.data

    def volume(self) -> NDArray[Any]:
        """Return the pixels as one stack, (Z, Y, X) or (Z, Y, X, 3).

        The stack axis may also be T or C.
        """
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
        When it is not a TIFF file.
    """
    import tifffile

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            data, axes = series.asarray(), _name_axes(series.axes)
            scale, unit = _physical_size(file)
    except OSError:
        raise
    except Exception as error:  # a damaged file fails anywhere in the decoders
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as TIFF ({reason}): convert it first."
        ) from error
    if _COLOUR in axes:  # stored channel by channel
        data = np.moveaxis(data, axes.index(_COLOUR), -1)
        axes = axes.replace(_COLOUR, "") + _COLOUR
    return TiffImage(data, axes, scale, unit)


def write_labels(path: str | Path, labels: NDArray[Any], like: TiffImage) -> Path:
    """Write labels as OME-TIFF with the axes and pixel size of an image.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : str or Path
        Should end in ``.tif``.
    labels : ndarray
        Integers, of the image's shape without colour. They are stored as uint16 where
        they fit, which every viewer opens, else as int32.
    like : TiffImage
        Image with the axes and the pixel size.

    Raises
    ------
    ValueError
        When the shape does not fit the axes, or a label does not fit int32.
    """
    import tifffile

    path = Path(path)
    axes = like.axes.removesuffix(_COLOUR)
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if not -_MAX_LABEL <= low <= high <= _MAX_LABEL:
        raise ValueError(
            f"The labels range from {low} to {high}: number them from 1 to at most "
            f"{_MAX_LABEL}."
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
            labels.astype(np.uint16 if 0 <= low <= high < 2**16 else np.int32),
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=metadata,
        )
    return path


def _name_axes(axes: str) -> str:
    """Name unnamed axes, Q or I in tifffile, from the last on: Z, then T, then C."""
    names = list(axes)
    free = [name for name in "ZTC" if name not in axes]
    for axis in reversed(range(len(names))):
        if names[axis] in "QI" and free:
            names[axis] = free.pop(0)
    return "".join(names)


def _physical_size(file: Any) -> tuple[Scale | None, str | None]:
    """Read the pixel size along Z, Y, X and its unit from OME or ImageJ metadata."""
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
                # ImageJ gives stacks that run downwards a negative spacing.
                spacing = abs(float(info.get("spacing", 1)))
                return (spacing, y[1] / y[0], x[1] / x[0]), _unit(info["unit"])
    return None, None


def _ome_size(pixels: dict[str, Any], name: str) -> float | None:
    """Return the pixel size along an axis in the unit of X; None when unknown."""
    size = pixels.get(f"PhysicalSize{name}")
    if not size:
        return None
    # OME's default unit is the micrometre.
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
    """Spell micrometre in one way."""
    return {"micron": "µm", "um": "µm", "\\u00B5m": "µm"}.get(name, name)
