"""Sizes and positions of windows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.window import check_window
from napari_sam.prediction.zoom.grid import WindowGrid

sides = st.integers(20, 5000)


@st.composite
def objects(draw: st.DrawFn) -> tuple[WindowGrid, np.ndarray, np.ndarray]:
    """A plane with the box of an object on it."""
    shape = draw(sides), draw(sides)
    low = np.array([draw(st.integers(0, size - 1)) for size in shape], float)
    size = draw(st.floats(0, 400))
    high = np.minimum(low + size, np.array(shape) - 1.0)
    return WindowGrid(shape, draw(st.sampled_from([32, 128]))), low, high


@given(objects())
def test_a_window_holds_its_object_and_lies_on_the_plane(
    case: tuple[WindowGrid, np.ndarray, np.ndarray],
) -> None:
    grid, low, high = case
    window = grid.around_object(low, high, grid.side_for((high - low).max() + 1))
    if window is None:
        return
    assert check_window(window, grid.plane_shape) == window
    assert window.holds([low, high]).all()
    assert window.side >= 7 * ((high - low).max() + 1)


@given(objects())
def test_objects_do_not_touch_the_edge_of_their_window(
    case: tuple[WindowGrid, np.ndarray, np.ndarray],
) -> None:
    grid, low, high = case
    size = (high - low).max() + 1
    window = grid.around_object(low, high, grid.side_for(size))
    if window is None:
        return
    first = np.array(window.origin)
    last = first + window.shape - 1
    inner_low = first > 0
    inner_high = last < np.array(grid.plane_shape) - 1
    assert ((low - first)[inner_low] >= size / 4).all()
    assert ((last - high)[inner_high] >= size / 4).all()


@given(objects())
def test_a_click_is_well_inside_its_window(
    case: tuple[WindowGrid, np.ndarray, np.ndarray],
) -> None:
    grid, low, _ = case
    for side in grid.sides:
        window = grid.around_points(low, low, side)
        assert window is not None
        first = np.array(window.origin)
        last = first + window.shape - 1
        inner = (first > 0, last < np.array(grid.plane_shape) - 1)
        assert ((low - first)[inner[0]] >= side / 4 - 1).all()
        assert ((last - low)[inner[1]] >= side / 4 - 1).all()


def test_neighbours_share_windows() -> None:
    grid = WindowGrid((4096, 4096), 128)
    rng = np.random.default_rng(3)
    windows = set()
    for place in np.ndindex(5, 10):
        low = 1500 + 45 * np.array(place) + rng.uniform(-5, 5, 2)
        size = rng.uniform(22, 30)
        windows.add(grid.around_object(low, low + size, grid.side_for(size)))
    assert len(windows) <= 12


def test_large_objects_get_the_whole_plane() -> None:
    grid = WindowGrid((512, 700), 128)
    assert grid.sides == [128, 256]
    assert grid.side_for(36) == 256
    assert grid.side_for(40) is None
    assert grid.around_object(np.zeros(2), np.ones(2), None) is None


def test_planes_not_larger_than_the_smallest_window_are_never_divided() -> None:
    assert WindowGrid((200, 100), 128).sides == []


def test_windows_of_narrow_planes_have_their_width() -> None:
    grid = WindowGrid((2000, 60), 128)
    window = grid.around_object(np.array([900.0, 10]), np.array([905.0, 15]), 128)
    assert window is not None
    assert window.shape == (128, 60)
