"""Images of files: selection, axes, planes and stacks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.images.reading.image_file import ImageFile

SHAPE = (2, 3, 5, 6)


def counted(axes: str) -> np.ndarray:
    """A different number in each voxel, and one axis per letter."""
    shape = SHAPE[-len(axes) :]
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def test_select_takes_an_index_and_drops_axes_of_length_1() -> None:
    data = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 1, 4, 5, 6 * 3)
    spacing = {"T": 3.0, "Z": 2.0, "Y": 0.5}
    image = ImageFile(data, "TCZYX", spacing, dict.fromkeys(spacing, "µm"))
    stack = image.select(T=1)
    assert (stack.axes, stack.spacing) == ("ZYX", {"Z": 2.0, "Y": 0.5})
    assert stack.units == {"Z": "µm", "Y": "µm"}
    assert_array_equal(stack.volume(), data[1, 0])
    plane = image.select(T=1, Z=2)
    assert plane.axes == "YX"
    assert_array_equal(plane.plane(), data[1, 0, 2])


def test_select_keeps_rows_and_columns_of_length_1() -> None:
    assert ImageFile(np.zeros((1, 1, 1)), "ZYX").select().axes == "YX"


@pytest.mark.parametrize(
    ("indices", "sentence"),
    [
        ({"C": 0}, "no axis C"),
        ({"T": 2}, "Axis T has indices 0 to 1, not 2"),
        ({"T": -1}, "Axis T has indices 0 to 1, not -1"),
        ({"T": 0, "Z": 3}, "Axis Z has indices 0 to 2, not 3"),
    ],
)
def test_select_refuses_missing_axes_and_indices(
    indices: dict[str, int], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ImageFile(counted("TZYX"), "TZYX").select(**indices)


def test_plane_and_volume_refuse_other_axes() -> None:
    with pytest.raises(ValueError, match=r"axes ZYX, .* choose one plane with --index"):
        ImageFile(counted("ZYX"), "ZYX").plane()
    with pytest.raises(
        ValueError, match=r"axes TZYX, .* choose one stack with --index"
    ):
        ImageFile(counted("TZYX"), "TZYX").volume()
    with pytest.raises(ValueError, match=r"is one plane .* not a stack"):
        ImageFile(counted("YX"), "YX").volume()


orders = st.sampled_from(
    ["".join(o) for n in (3, 4, 5) for o in itertools.permutations("YXZTC"[:n])]
)


@given(axes=orders)
def test_axes_come_in_one_order_and_go_back(axes: str) -> None:
    shape = tuple(range(2, 2 + len(axes)))
    data = np.arange(np.prod(shape)).reshape(shape)
    image = ImageFile.arrange(data, axes)
    assert image.axes.endswith("YX")
    assert image.order == axes
    assert_array_equal(image.as_stored(image.data), data)
    assert_array_equal(image.in_order().data, data)
    for name in axes:
        assert image.shape[image.axes.index(name)] == data.shape[axes.index(name)]
        # Numbers count as in the file.
        assert image.axis(str(axes.index(name))) == image.axis(name.lower())
        assert image.axes[image.axis(name)] == name


@given(axes=orders, index=st.integers(0, 1))
def test_an_index_is_taken_in_any_order(axes: str, index: int) -> None:
    data = np.arange(3 ** len(axes)).reshape((3,) * len(axes))
    selected = ImageFile.arrange(data, axes).select(Z=index)
    assert selected.order == axes.replace("Z", "")
    expected = data.take(index, axes.index("Z"))
    assert_array_equal(selected.as_stored(selected.data), expected)


@pytest.mark.parametrize("name", list("CMLPVABEKR"))
def test_only_space_and_time_are_walked_unless_named(name: str) -> None:
    image = ImageFile(np.zeros((2, 3, 4)), f"{name}YX")
    with pytest.raises(ValueError, match=f"axis {name} .* not one of space or time"):
        image.axis()
    assert image.axis(name) == image.axis("0") == 0


@pytest.mark.parametrize("name", list("ZT"))
def test_space_and_time_are_walked(name: str) -> None:
    assert ImageFile(np.zeros((2, 3, 4)), f"{name}YX").axis() == 0


@pytest.mark.parametrize("name", ["3", "-4", "Q", "", "ZY", "S"])
def test_axes_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no axis .*: choose one of its axes, ZYX"):
        ImageFile(np.zeros((2, 3, 4, 3)), "ZYXS").axis(name)


def test_the_example_names_axes_of_the_image() -> None:
    image = ImageFile(np.zeros((2, 2, 2, 3, 3)), "TZCYX")
    with pytest.raises(ValueError, match="--index C=0,T=0,Z=0"):
        image.plane()
    with pytest.raises(ValueError, match=r"--index C=0,T=0\."):
        image.volume()
