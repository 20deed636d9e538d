"""Windows for prompts: known and unknown sizes, factors, hints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.window import Window
from napari_sam.prediction.zoom.choice import choose_windows
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prediction.zoom.options import Zoom, ZoomHints, check_zoom
from napari_sam.prompts.prompt import Prompt

GRID = WindowGrid((2048, 2048), 128)


def choose(prompt: Prompt, zoom: Zoom = "auto", **hints: Any) -> list[int | None]:
    """The sides of the windows, None for the plane."""
    windows = choose_windows(prompt, GRID, zoom, ZoomHints(**hints))
    return [None if window is None else window.side for window in windows]


CLICK = Prompt(points=[(700, 900)])
BOX = Prompt(box=(700, 900, 724, 920))


def test_without_zoom_there_is_the_plane() -> None:
    assert choose(CLICK, "off") == choose(BOX, "off") == [None]


def test_a_box_has_one_window_of_its_size() -> None:
    assert choose(BOX) == [256]
    assert choose(Prompt(box=(10, 10, 14, 14))) == [128]
    assert choose(Prompt(box=(0, 0, 300, 300))) == [None]


def test_a_mask_counts_as_its_box() -> None:
    mask = np.zeros((60, 60), bool)
    mask[20:45, 20:41] = True
    assert choose(Prompt(mask=mask, mask_origin=(680, 880))) == [256]


def test_logits_alone_say_nothing_about_the_place() -> None:
    assert choose(Prompt(mask=np.zeros((256, 256), np.float32))) == [None]


def test_a_click_is_tried_in_windows_of_several_sizes() -> None:
    assert choose(CLICK) == [128, 512, None]


@given(
    st.integers(129, 8192),
    st.floats(8, 4096),
    st.integers(0, 10**6),
)
def test_every_size_fits_a_window_of_a_click(
    plane: int, size: float, seed: int
) -> None:
    grid = WindowGrid((plane, plane), 128)
    size = min(size, plane)
    point = np.random.default_rng(seed).integers(0, plane, 2)
    windows = choose_windows(Prompt(points=[point]), grid, "auto", ZoomHints())
    assert len(windows) <= 3
    ratios = [(plane if w is None else w.side) / size for w in windows]
    # 128 px are the plane itself up to 213 px.
    assert any(1 <= ratio <= 27 for ratio in ratios)


def test_points_far_apart_need_windows_that_hold_them() -> None:
    far = Prompt(points=[(700, 900), (700, 1100)])
    assert choose(far) == [512, None]
    background = Prompt(points=[(700, 900), (1500, 1500)], labels=[1, 0])
    assert choose(background) == [128, 512, None]


def test_what_is_visible_limits_the_windows() -> None:
    assert choose(CLICK, visible=Window(600, 800, 400, 400)) == [128, 512]
    assert choose(CLICK, visible=Window(0, 0, 2048, 2048)) == [128, 512, None]


def test_accepted_objects_tell_the_size() -> None:
    assert choose(CLICK, object_size=25) == [256, 1024]
    assert choose(CLICK, object_size=400) == [None]


@pytest.mark.parametrize(("factor", "side"), [(4, 512), (2, 1024), (10, 205)])
def test_a_factor_divides_the_side_of_the_plane(factor: float, side: int) -> None:
    assert choose(CLICK, factor) == [side]
    assert choose(BOX, factor) == [side]


def test_a_factor_never_cuts_a_box() -> None:
    (side,) = choose(Prompt(box=(100, 100, 700, 200)), 16.0)
    assert side is not None
    assert side >= 601


def test_a_factor_of_one_is_the_plane() -> None:
    assert choose(CLICK, 1.0) == [None]


@pytest.mark.parametrize("value", [0.5, 0, -3, "on", None, True, np.nan, np.inf, [2]])
def test_other_zooms_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match='"auto", "off", or a factor'):
        check_zoom(value)


def test_factors_may_be_text() -> None:
    assert check_zoom("2.5") == 2.5
    assert check_zoom("auto") == "auto"
