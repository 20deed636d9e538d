"""Pixel sizes of image files: units translated to those of OME, unknown ones left out.

Metadata of files are trusted as far as they make sense: a size that is not positive or
not finite, or whose unit is not one of length or time, is unknown.
"""

from __future__ import annotations

import math
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LENGTH_AXES = "XYZ"
TIME_AXIS = "T"

# OME's name of a unit: (size in metres, other names). Those without a size are units
# that OME knows, too, but they are not converted.
_LENGTHS: dict[str, tuple[str | None, str]] = {
    "am": ("1e-18", ""),
    "fm": ("1e-15", "femtometer femtometre"),
    "pm": ("1e-12", "picometer picometre picometers picometres"),
    "Å": ("1e-10", "A angstrom angstroms angström ångström ångströms"),
    "nm": ("1e-9", "nanometer nanometre nanometers nanometres"),
    "µm": (
        "1e-6",
        "um micron microns micrometer micrometre micrometers micrometres Âµm",
    ),
    "mm": ("1e-3", "millimeter millimetre millimeters millimetres"),
    "cm": ("1e-2", "centimeter centimetre centimeters centimetres"),
    "dm": ("1e-1", "decimeter decimetre decimeters decimetres"),
    "m": ("1", "meter metre meters metres"),
    "dam": ("1e1", ""),
    "hm": ("1e2", ""),
    "km": ("1e3", "kilometer kilometre kilometers kilometres"),
    "Mm": ("1e6", ""),
    "Gm": ("1e9", ""),
    "thou": ("0.0000254", "mil"),
    "in": ("0.0254", 'inch inches "'),
    "ft": ("0.3048", "foot feet"),
    "yd": ("0.9144", "yard yards"),
    "mi": ("1609.344", "mile miles"),
    "pixel": (None, "pixels px voxel voxels"),
    "reference frame": (None, ""),
    **dict.fromkeys(("pt", "li", "ua", "ly", "pc"), (None, "")),
}
# The same, in seconds.
_TIMES: dict[str, tuple[str | None, str]] = {
    "ps": ("1e-12", "picosecond picoseconds"),
    "ns": ("1e-9", "nsec nanosecond nanoseconds"),
    "µs": ("1e-6", "us usec microsecond microseconds"),
    "ms": ("1e-3", "msec millisecond milliseconds"),
    "s": ("1", "sec secs second seconds"),
    "ks": ("1e3", ""),
    "min": ("60", "mins minute minutes"),
    "h": ("3600", "hr hrs hour hours"),
    "d": ("86400", "day days"),
}


class PixelSize(NamedTuple):
    """The size of a pixel along an axis as a file gives it, not checked."""

    size: Any
    unit: str


class PixelSizes(NamedTuple):
    """What is known about the pixel sizes of an image.

    Parameters
    ----------
    spacing : dict
        {axis: positive size}, of the axes with a known one.
    units : dict
        {axis: unit} of these axes, named as in OME; that of X, Y and Z is the same.
    notes : tuple of str
        A sentence about the sizes that were given, but are unknown.
    """

    spacing: dict[str, float]
    units: dict[str, str]
    notes: tuple[str, ...]


def length_unit(name: str) -> str | None:
    """Return OME's name of a unit of length; None when it is unknown."""
    return _names(_LENGTHS).get(_spelled(name, _LENGTHS))


def time_unit(name: str) -> str | None:
    """Return OME's name of a unit of time; None when it is unknown."""
    return _names(_TIMES).get(_spelled(name, _TIMES))


def known_sizes(given: Mapping[str, PixelSize], axes: Iterable[str]) -> PixelSizes:
    """Check the pixel sizes of a file, and convert those of lengths to one unit.

    Parameters
    ----------
    given : mapping
        {axis: size and unit} as in the file.
    axes : iterable of str
        Axes of the image; sizes along other axes are ignored.

    Returns
    -------
    PixelSizes
        Lengths are in the unit of X; if that is unknown, of Y or Z.
    """
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    unknown: list[str] = []
    present = set(axes)
    for axis in (*LENGTH_AXES, TIME_AXIS):
        if axis not in given or axis not in present:
            continue
        size, unit = _number(given[axis].size), given[axis].unit
        known = time_unit(unit) if axis == TIME_AXIS else length_unit(unit)
        if not (math.isfinite(size) and size > 0):
            unknown.append(f"{axis}, {given[axis].size}")
            continue
        common = units.get(next((name for name in LENGTH_AXES if name in units), axis))
        if axis != TIME_AXIS and common is not None and known is not None:
            size, known = _convert(size, known, common), common
        if known is None or not size > 0:
            unknown.append(f"{axis}, {given[axis].size} {unit}")
            continue
        spacing[axis], units[axis] = size, known
    notes: tuple[str, ...] = ()
    if unknown:
        notes = (
            f"The size of a pixel along {', '.join(unknown)}, is no positive number in "
            "a known unit: it is taken as unknown.",
        )
    return PixelSizes(spacing, units, notes)


def _convert(size: float, unit: str, to: str) -> float:
    """Convert a length; NaN when one of the units has no size in metres."""
    own, common = _LENGTHS[unit][0], _LENGTHS[to][0]
    if unit == to:
        return size
    if own is None or common is None:
        return math.nan
    return float(Decimal(str(size)) * Decimal(own) / Decimal(common))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _names(table: dict[str, tuple[str | None, str]]) -> dict[str, str]:
    names = {
        _normalise(other): unit for unit in table for other in table[unit][1].split()
    }
    return names | {_normalise(unit): unit for unit in table}


def _spelled(name: str, table: dict[str, tuple[str | None, str]]) -> str:
    """Return a name as the table spells it; capitals count only where they must."""
    names, spelled = _names(table), _normalise(name.replace("\\u00B5", "µ").strip())
    return spelled if spelled in names else spelled.lower()


def _normalise(name: str) -> str:
    """Spell letters in one way: there are two of mu, and two of Å."""
    return unicodedata.normalize("NFKC", name)
