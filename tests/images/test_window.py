"""Windows of a plane: what they hold, what they cut, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam.images.planes import PlaneReader
from napari_sam.images.window import Window, check_window, mirror

FULL = slice(None)


def test_points_on_the_pixels_of_a_window_are_held() -> None:
    window = Window(10, 20, 5, 7)
    points = [[9.5, 19.5], [14.4, 26.4], [9.4, 22], [14.5, 22], [12, 19.4], [12, 26.5]]
    assert window.holds(points).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ([140, 140, 160, 160], False),
        ([104, 140, 160, 160], True),
        ([140, 104, 160, 160], True),
        ([140, 140, 196, 160], True),
        ([140, 140, 160, 196], True),
    ],
)
def test_objects_near_an_inner_edge_are_cut(box: list[float], cut: bool) -> None:
    assert Window(100, 100, 100, 100).cuts(np.array(box, float), (400, 400)) is cut


def test_nothing_is_cut_by_the_border_of_the_plane() -> None:
    everything = np.array([0, 0, 99, 99], float)
    assert not Window(0, 0, 100, 100).cuts(everything, (100, 100))


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        ((0, 0, 10), "give integers"),
        ((0, 0, 10.5, 10), "give integers"),
        ("all", "give integers"),
        ((-1, 0, 10, 10), "does not lie on the plane of 50 x 40 pixels"),
        ((0, 0, 0, 10), "does not lie on the plane"),
        ((45, 0, 10, 10), "does not lie on the plane"),
        ((0, 35, 10, 10), "does not lie on the plane"),
    ],
)
def test_other_windows_are_refused(window: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        check_window(window, (50, 40))


@pytest.mark.parametrize("side", [16, 64])
def test_a_window_of_a_pyramid_is_read_from_the_level_it_needs(side: int) -> None:
    full = np.random.default_rng(0).integers(0, 255, (3, 256, 128), np.uint8)
    levels = [full[:, ::step, ::step] for step in (1, 2, 4)]
    window = Window(64, 32, side, side)
    step = {16: 1, 64: 4}[side]
    found = PlaneReader(levels).read((1, FULL, FULL), 16, window)
    expected = full[1][window.slices][::step, ::step]
    np.testing.assert_array_equal(found, expected)


def test_windows_of_colours_and_channels_are_those_of_the_plane() -> None:
    window = Window(3, 5, 10, 12)
    colours = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    found = PlaneReader([colours], rgb=True).read((FULL, FULL), None, window)
    np.testing.assert_array_equal(found, colours[window.slices])


@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (1, 3), (5, 4, 3)])
def test_a_plane_is_in_the_middle_of_its_mirror_image(shape: tuple[int, ...]) -> None:
    plane = np.arange(np.prod(shape)).reshape(shape)
    window = Window.around(shape[:2])
    mirrored = mirror(plane)
    assert mirrored.shape[:2] == window.shape
    row, col = np.negative(window.origin)
    inside = mirrored[row : row + shape[0], col : col + shape[1]]
    np.testing.assert_array_equal(inside, plane)
    if row:
        np.testing.assert_array_equal(mirrored[row - 1], mirrored[row])
