"""Stacks: planes, sizes and checks of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.stack import Stack
from tests.helpers.arrays import FULL, Recorder

DATA = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_planes_along_an_axis(axis: int) -> None:
    source = Recorder(DATA)
    stack = Stack(source, axis, fixed={0: -1})
    volume = np.moveaxis(DATA[1], axis % 4 - 1, 0)
    assert stack.axis == axis % 4
    assert len(stack) == len(volume)
    assert stack.plane_shape == volume.shape[1:]
    for index, plane in enumerate(volume):
        assert_array_equal(stack.read_plane(index), plane)
        assert_array_equal(DATA[stack.plane_index(index)], plane)
    assert len(source.planes) == len(volume)


def test_sizes_of_voxels() -> None:
    stack = Stack(DATA, 2, fixed={0: 0}, spacing=(9, 0.5, 2, 0.25))
    assert stack.slice_spacing == 2
    assert stack.pixel_size == (0.5, 0.25)
    assert stack.voxel_size.tolist() == [1, 0.25, 0.125]
    default = Stack(DATA, 1, fixed={0: 0})
    assert (default.slice_spacing, default.pixel_size) == (1, (1, 1))
    assert default.voxel_size.tolist() == [1, 1, 1]


def test_colour_and_channels() -> None:
    rgb = Stack(np.zeros((4, 6, 7, 3), np.uint8), rgb=True)
    assert rgb.shape == (4, 6, 7)
    assert rgb.read_plane(2).shape == (6, 7, 3)
    reader = PlaneReader((DATA,), channels=[Channel((DATA,), 0, 1)])
    stack = Stack(reader, 1, fixed={0: 0})
    assert stack.plane_index(2) == (0, 2, FULL, FULL)
    assert_array_equal(stack.read_plane(2), DATA[1, 2])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"fixed": {}}, "give three axes"),
        ({"fixed": {0: 2}}, "Axis 0 of the volume has indices 0 to 1, not 2"),
        ({"fixed": {4: 0}}, "does not name different axes"),
        ({"axis": 0}, "axis=0 is not an axis"),
        ({"axis": 4}, "axis=4 is not an axis"),
        ({"spacing": (1, 1, 1)}, "4 axes: give one positive number"),
    ],
)
def test_invalid_arguments_are_refused(
    arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Stack(DATA, **{"axis": 1, "fixed": {0: 0}, **arguments})
