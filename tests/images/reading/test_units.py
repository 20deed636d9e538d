"""Pixel sizes and their units."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ome_types.model import UnitsLength, UnitsTime

from napari_sam.images.reading import units
from napari_sam.images.reading.units import (
    PixelSize,
    known_sizes,
    length_unit,
    time_unit,
)

METRES = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254}
sizes = st.floats(1e-6, 1e6)
no_sizes = st.sampled_from([0, -0.5, math.nan, math.inf, "", "nan", None, "2,5", []])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Microns", "µm"),
        ("µm", "µm"),
        ("μm", "µm"),
        ("\\u00B5m", "µm"),
        (" um ", "µm"),
        ("micrometres", "µm"),
        ("nanometer", "nm"),
        ("A", "Å"),
        ("Ångström", "Å"),
        ("INCH", "in"),
        ("pixels", "pixel"),
        ("voxel", "pixel"),
        ("reference frame", "reference frame"),
        ("sec", None),
        ("units", None),
        ("", None),
    ],
)
def test_units_of_length_are_named_as_in_ome(name: str, unit: str | None) -> None:
    assert length_unit(name) == unit


@pytest.mark.parametrize(
    ("name", "unit"),
    [("sec", "s"), ("Seconds", "s"), ("msec", "ms"), ("hr", "h"), ("micron", None)],
)
def test_units_of_time_are_named_as_in_ome(name: str, unit: str | None) -> None:
    assert time_unit(name) == unit


def test_ome_knows_every_unit_that_is_written() -> None:
    for unit in units._LENGTHS:
        assert UnitsLength(unit).value == unit == length_unit(unit)
    for unit in units._TIMES:
        assert UnitsTime(unit).value == unit == time_unit(unit)


@given(st.data())
def test_lengths_keep_their_size_in_the_unit_of_x(data: st.DataObject) -> None:
    given_sizes = {
        name: PixelSize(data.draw(sizes), data.draw(st.sampled_from(sorted(METRES))))
        for name in "ZYX"
    }
    known = known_sizes(given_sizes, "ZYX")
    assert known.notes == ()
    assert set(known.units.values()) == {given_sizes["X"].unit}
    for name, (size, unit) in given_sizes.items():
        metres = known.spacing[name] * METRES[known.units[name]]
        assert metres == pytest.approx(size * METRES[unit])


@given(st.data())
def test_what_is_no_size_is_unknown_and_said_once(data: st.DataObject) -> None:
    names = st.sampled_from(["nm", "sec", "units", "pixel", "bananas"])
    given_sizes = {
        name: PixelSize(data.draw(sizes | no_sizes), data.draw(names))
        for name in data.draw(st.sets(st.sampled_from("TZYXC")))
    }
    axes = data.draw(st.sampled_from(["YX", "ZYX", "TYX", "TCZYX"]))
    known = known_sizes(given_sizes, axes)
    assert set(known.spacing) == set(known.units) <= set(axes) - {"C"}
    assert all(math.isfinite(size) and size > 0 for size in known.spacing.values())
    lengths = {known.units[name] for name in known.units if name != "T"}
    assert len(lengths) <= 1
    assert lengths <= {"nm", "pixel"}
    lost = (set(given_sizes) & set(axes)) - set(known.spacing) - {"C"}
    assert len(known.notes) == bool(lost)
    assert all(f" {name}, {given_sizes[name].size}" in known.notes[0] for name in lost)


def test_units_that_do_not_compare_are_left_out() -> None:
    given_sizes = {"X": PixelSize(2, "µm"), "Y": PixelSize(3, "pixel")}
    known = known_sizes(given_sizes, "YX")
    assert known.spacing == {"X": 2}
    assert "Y, 3 pixel" in known.notes[0]
