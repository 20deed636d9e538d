"""Windows of objects in a stack: sides, hysteresis, and masks that are cut off."""

from __future__ import annotations

import itertools
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.window import Window
from napari_sam.prediction.zoom.choice import choose_windows
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prediction.zoom.options import Zoom, ZoomHints
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.object_windows import ObjectWindows, box_length, prompt_size

SHAPE = (2048, 1500)


def windows_of(shape: tuple[int, int] = SHAPE, zoom: Zoom = "auto") -> ObjectWindows:
    return ObjectWindows(WindowGrid(shape, 128), zoom)


def square(centre: np.ndarray | tuple[float, float], size: float) -> np.ndarray:
    half = (size - 1) / 2
    return np.concatenate([np.subtract(centre, half), np.add(centre, half)])


def margin_in(window: Window, box: np.ndarray, shape: tuple[int, int]) -> float:
    """Smallest distance of a box from the edges of a window inside the plane."""
    first, size = np.array(window.origin), np.array(window.shape)
    low = np.where(first > 0, box[:2] - first, np.inf)
    stop = first + size
    high = np.where(stop < shape, stop - 1 - box[2:], np.inf)
    return float(min(low.min(), high.min()))


centres = st.tuples(st.floats(60, SHAPE[0] - 61), st.floats(60, SHAPE[1] - 61))


@given(
    centre=centres,
    heading=st.floats(0, 2 * np.pi),
    step=st.floats(0, 4),
    size=st.floats(8, 60),
    pulse=st.floats(0, 0.25),
)
def test_a_drifting_object_uses_few_windows(
    centre: tuple[float, float], heading: float, step: float, size: float, pulse: float
) -> None:
    rules, path = windows_of(), []
    side = rules.side_for(size)
    assert side is not None
    window = None
    middle = np.array(centre)
    for i in range(120):
        box = square(middle, size * (1 - pulse * (i % 2)))
        if (box[:2] < 0).any() or (box[2:] > np.subtract(SHAPE, 1)).any():
            break
        window = rules.follow(box, side, window)
        assert window is not None
        assert window.side == side
        assert not window.cuts(box, SHAPE)
        assert margin_in(window, box, SHAPE) >= 3 / 8 * box_length(box) - 1
        path.append(window)
        middle = middle + step * np.array([np.sin(heading), np.cos(heading)])
    changes = sum(a != b for a, b in itertools.pairwise(path))
    # A new window lets the object move by an eighth of the side at the least.
    assert changes <= ceil(len(path) * step / (side / 8)) + 1
    assert changes == len(set(path)) - 1  # it never returns to an earlier one


@given(centre=centres, size=st.floats(8, 60))
def test_the_window_of_an_object_that_stays_is_kept(
    centre: tuple[float, float], size: float
) -> None:
    rules = windows_of()
    box = square(centre, size)
    window = rules.follow(box, rules.side_for(size), None)
    for shift in (0.5, -0.5, 0.0):
        assert rules.follow(box + shift, rules.side_for(size), window) == window


@given(centre=centres, size=st.floats(8, 100))
def test_a_window_chosen_for_the_prompt_is_kept_where_it_has_room(
    centre: tuple[float, float], size: float
) -> None:
    rules, box = windows_of(), square(centre, size)
    (chosen,) = choose_windows(Prompt(box=box), rules.grid, "auto", ZoomHints())
    followed = rules.follow(box, rules.side_for(size), chosen)
    assert chosen is not None
    assert followed is not None
    assert followed.side == chosen.side
    if margin_in(chosen, box, SHAPE) > max(0.07 * chosen.side, size / 2):
        assert followed == chosen


def test_sides_follow_the_size_with_hysteresis() -> None:
    rules, centre = windows_of(), (1000, 700)
    window = rules.follow(square(centre, 20), rules.side_for(20), None)
    assert window is not None
    assert window.side == 256
    sides = []
    for size in (20, 30, 60, 70, 60, 30, 26, 20, 14, 13, 12, 11, 20, 31):
        window = rules.follow(square(centre, size), window.side, window)
        assert window is not None
        sides.append(window.side)
    # Four to twenty times the object.
    assert sides == [256] * 3 + [512] * 4 + [256] * 3 + [128] * 4


def test_large_objects_stay_on_the_whole_plane() -> None:
    rules = windows_of()
    assert rules.side_for(400) is None
    assert rules.follow(square((900, 700), 400), None, None) is None
    assert rules.follow(square((900, 700), 10), None, None) is None
    grown = rules.follow(square((900, 700), 500), 1024, Window(0, 0, 1024, 1024))
    assert grown is None


def test_no_zoom_and_a_factor() -> None:
    box = square((1000, 700), 20)
    off = windows_of(zoom="off")
    assert off.side_for(20) is None
    assert not off.can_zoom
    factor = windows_of(zoom=4.0)
    assert factor.side_for(20) == 512
    window = factor.follow(box, 512, None)
    assert window is not None
    assert window.side == 512
    # The user's factor counts, also where other windows would fit better.
    assert factor.follow(square((1000, 700), 200), 512, None).side == 512  # type: ignore[union-attr]
    assert factor.follow(square((1000, 700), 400), 512, None).side == 1024  # type: ignore[union-attr]
    assert windows_of(zoom=1.0).side_for(20) is None


@given(centre=centres, size=st.floats(8, 60), shift=st.floats(-40, 40))
def test_a_cut_mask_gets_room(
    centre: tuple[float, float], size: float, shift: float
) -> None:
    rules, box = windows_of(), square(centre, size)
    window = rules.follow(box, rules.side_for(size), None)
    assert window is not None
    for _ in range(4):
        moved = np.clip(box + shift, 0, np.tile(np.subtract(SHAPE, 1), 2))
        if window is None or not window.cuts(moved, SHAPE):
            return
        other = rules.beyond(moved, window)
        assert other is None or other.side >= window.side
        assert other != window
        window = other
    raise AssertionError("the mask is cut by every window")


def test_a_mask_that_fills_its_window_gets_a_larger_one() -> None:
    window = Window(512, 512, 256, 256)
    larger = windows_of().beyond(np.array([515.0, 600, 700, 700]), window)
    assert larger is not None
    assert larger.side == 512
    assert not larger.cuts(np.array([515.0, 600, 700, 700]), SHAPE)


@pytest.mark.parametrize(
    ("prompt", "size"),
    [
        (Prompt(box=(3, 4, 12, 30)), 27),
        (Prompt(points=[(3, 4)], box=(3, 4, 12, 30)), 27),
        (Prompt(points=[(3, 4), (90, 4)]), None),
        (Prompt(mask=np.eye(7, dtype=bool)), 7),
        (Prompt(mask=np.ones((4, 4), np.float32)), None),
    ],
)
def test_the_size_that_a_prompt_shows(prompt: Prompt, size: float | None) -> None:
    assert prompt_size(prompt) == size
