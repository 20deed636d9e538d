"""Pixel sizes in the metadata of TIFF files: of OME, of ImageJ, and our own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_sam.images.reading.units import PixelSize

if TYPE_CHECKING:
    from collections.abc import Mapping

# OME's default units.
_MICROMETRE, _SECOND = "µm", "s"


def read_sizes(file: Any, number: int, series: Any) -> dict[str, PixelSize]:
    """Read the pixel sizes of a series of a TIFF file, {axis: size and unit}.

    Parameters
    ----------
    file : TiffFile
        The open file.
    number : int
        Number of the series in the file.
    series : TiffPageSeries
        The series.
    """
    if file.is_ome and file.ome_metadata:
        return attribute_sizes(_ome_pixels(file, number, series.name))
    if file.is_imagej and file.imagej_metadata:
        return _imagej_sizes(file.imagej_metadata, file.pages[0].tags)
    shaped = shaped_metadata(series.keyframe)
    if "unit" in shaped:
        return _imagej_sizes(shaped, series.keyframe.tags)
    return attribute_sizes(shaped)


def attribute_sizes(attributes: Mapping[str, Any]) -> dict[str, PixelSize]:
    """Read PhysicalSizeX, PhysicalSizeXUnit, TimeIncrement, ... of a mapping."""
    names = {name: f"PhysicalSize{name}" for name in "XYZ"} | {"T": "TimeIncrement"}
    return {
        axis: PixelSize(
            attributes[name],
            str(attributes.get(f"{name}Unit", _SECOND if axis == "T" else _MICROMETRE)),
        )
        for axis, name in names.items()
        if attributes.get(name) is not None
    }


def to_attributes(
    spacing: Mapping[str, float], units: Mapping[str, str]
) -> dict[str, float | str]:
    """Write pixel sizes as `attribute_sizes` reads them."""
    attributes: dict[str, float | str] = {}
    for axis, size in spacing.items():
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        attributes[name] = size
        attributes[f"{name}Unit"] = units[axis]
    return attributes


def shaped_metadata(page: Any) -> dict[str, Any]:
    """Return what tifffile wrote about an array: its shape, perhaps axes and more."""
    if not page.is_shaped:
        return {}
    try:
        metadata = json.loads(page.description)
    except ValueError:  # of old versions
        metadata = {}
    return (
        metadata if isinstance(metadata, dict) and metadata else {"shape": page.shape}
    )


def _ome_pixels(file: Any, number: int, name: str) -> Mapping[str, Any]:
    """Return the attributes of the pixels of an image."""
    import tifffile

    images = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    images = images if isinstance(images, list) else [images]
    if len(images) != len(file.series):  # some have no pixels in this file
        images = [image for image in images if str(image.get("Name")) == name]
        number = 0
    pixels: Mapping[str, Any] = images[number]["Pixels"] if images else {}
    return pixels


def _imagej_sizes(info: Mapping[str, Any], tags: Any) -> dict[str, PixelSize]:
    sizes = {}
    unit = info.get("unit")
    if unit:
        for axis in "XY":
            if f"{axis}Resolution" in tags:
                pixels, length = tags[f"{axis}Resolution"].value
                size = length / pixels if pixels else 0
                sizes[axis] = PixelSize(size, str(unit))
        spacing = info.get("spacing", 1)
        # As in ImageJ: it gives stacks that run downwards a negative spacing.
        if isinstance(spacing, int | float):
            spacing = abs(spacing)
        sizes["Z"] = PixelSize(spacing, str(unit))
    if info.get("finterval"):
        sizes["T"] = PixelSize(info["finterval"], str(info.get("tunit", _SECOND)))
    return sizes
