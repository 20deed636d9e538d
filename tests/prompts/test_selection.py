"""The part of an image that is segmented."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.prompts.selection import ImageSelection


def test_whole_images() -> None:
    plane = ImageSelection.of_stack((5, 6))
    assert (plane.free, plane.plane_axes, plane.plane_shape) == ("YX", "YX", (5, 6))
    stack = ImageSelection.of_stack((4, 5, 6), 1)
    assert (stack.free, stack.along, stack.plane_axes) == ("ZYX", "Y", "ZX")
    assert stack.plane_shape == (4, 6)


@pytest.mark.parametrize(
    ("axes", "along", "plane"),
    [("ZXY", "Z", "YX"), ("YXZ", "Z", "YX"), ("XYZ", "X", "ZY"), ("XZY", "Y", "ZX")],
)
def test_files_with_axes_in_another_order(axes: str, along: str, plane: str) -> None:
    selection = ImageSelection(axes, (4, 5, 6), along=along)
    assert selection.plane_axes == plane
    sizes = dict(zip(axes, (4, 5, 6), strict=True))
    assert selection.plane_shape == tuple(sizes[name] for name in plane)


def test_single_planes_and_fixed_axes_are_not_free() -> None:
    selection = ImageSelection("TCZYX", (5, 1, 7, 1, 9), {"T": 2}, "Z")
    assert selection.free == "ZYX"
    assert selection.plane_shape == (1, 9)


@pytest.mark.parametrize(
    ("axes", "shape", "fixed", "layers"),
    [
        ("TZYX", (3, 4, 8, 9), {"T": 1}, ["ZYX", "TZYX"]),
        ("TZYX", (3, 4, 8, 9), {"T": 1, "Z": 0}, ["YX", "TZYX"]),
        ("TZYX", (3, 1, 8, 9), {"T": 1}, ["YX", "TYX", "TZYX"]),
        ("TCZYX", (3, 2, 4, 8, 9), {"T": 1, "C": 0}, ["ZYX", "TZYX", "TCZYX"]),
        ("CYX", (2, 8, 9), {"C": 0}, ["YX", "CYX"]),
        ("CYX", (2, 8, 9), {}, ["CYX"]),
    ],
)
def test_layers_over_an_image(
    axes: str, shape: Any, fixed: dict[str, int], layers: list[str]
) -> None:
    selection = ImageSelection(axes, shape, fixed)
    found = {count: selection.axes_of(count) for count in range(1, 7)}
    assert {count: names for count, names in found.items() if names} == {
        len(names): names for names in layers
    }


def test_a_layer_whose_axes_cannot_be_told() -> None:
    selection = ImageSelection("TCZYX", (3, 2, 1, 8, 9), {"T": 1, "C": 0})
    with pytest.raises(
        ValueError, match="its 4 axes may be TCYX or TZYX, and the imag"
    ):
        selection.axes_of(4)


@given(
    sizes=st.fixed_dictionaries({axis: st.integers(1, 3) for axis in "CZT"}),
    names=st.permutations("CZT"),
)
def test_pages_are_counted_as_in_imagej(
    sizes: dict[str, int], names: list[str]
) -> None:
    axes = "".join(names) + "YX"
    shape = (*(sizes[name] for name in names), 5, 6)
    order = itertools.product(*(range(sizes[axis]) for axis in "TZC"))
    for page, (t, z, c) in enumerate(order):
        expected = {"C": c, "Z": z, "T": t}
        found = ImageSelection(axes, shape).locate({}, page)
        assert found is not None
        assert found.items() <= expected.items()
        assert set(found) == {axis for axis in "CZT" if sizes[axis] > 1}
        chosen = ImageSelection(axes, shape, {"T": t})
        assert chosen.locate({}, page) is not None
        other = ImageSelection(axes, shape, {"T": t + 1})
        assert other.locate({}, page) is None or sizes["T"] == 1


def test_positions() -> None:
    selection = ImageSelection("TZYX", (3, 4, 8, 9), {"T": 1}, "Z")
    assert selection.locate({}) == {}
    assert selection.locate({"T": 1, "Z": 3}) == {"Z": 3}
    assert selection.locate({"T": 0, "Z": 3}) is None
    assert selection.locate({"C": 0, "Z": 3}) == {"Z": 3}
    assert selection.locate({"C": 1, "Z": 3}) is None
    assert selection.locate({"Z": 99}) == {"Z": 99}  # the stack refuses it
    assert selection.locate({}, 99) is None
