"""Windows cover the plane, and their maps blend without seams."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_sam.automatic.instances.tiles import Tiles, blend
from napari_sam.images.window import Window, mirror

sizes = st.integers(1, 500)


@given(st.tuples(sizes, sizes), st.integers(16, 300))
def test_windows_cover_the_plane_and_lie_in_it(
    shape: tuple[int, int], side: int
) -> None:
    assume(side < 2 * max(shape))
    tiles = Tiles(shape, side, Window(0, 0, *shape))
    covered = np.zeros(shape, bool)
    for window in tiles.windows:
        place = window or Window(0, 0, *shape)
        assert place.row >= 0 and place.col >= 0
        assert place.row + place.height <= shape[0]
        assert place.col + place.width <= shape[1]
        covered[place.slices] = True
    assert covered.all()


def test_a_plane_that_fits_is_one_window() -> None:
    assert Tiles((90, 120), 128, Window(0, 0, 90, 120)).windows == [None]


def test_a_side_of_twice_the_plane_shows_what_is_around_it() -> None:
    shape = (90, 120)
    windows = Tiles(shape, 240, Window(0, 0, *shape)).windows
    assert windows == [Window.around(shape)]


@given(st.tuples(st.integers(2, 90), st.integers(2, 90)))
def test_the_plane_is_cut_out_of_the_maps_around_it(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    maps = {Window.around(shape): np.stack([mirror(plane)] * 3)}
    blended = blend(maps, Window(0, 0, *shape), shape, 1.0)
    np.testing.assert_allclose(blended[0], plane / 255, atol=1e-5)


def test_only_the_area_is_covered() -> None:
    area = Window(300, 500, 60, 60)
    windows = Tiles((1000, 1000), 100, area).windows
    assert len(windows) == 1
    assert windows[0] is not None
    assert windows[0].holds([(300, 500), (359, 559)]).all()


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_equal_maps_blend_to_the_same_values(scale: float) -> None:
    shape = (200, 310)
    tiles = Tiles(shape, 90, Window(0, 0, *shape))
    maps = {w: np.full((3, 40, 40), 51, np.uint8) for w in tiles.windows if w}
    blended = blend(maps, Window(20, 30, 150, 200), shape, scale)
    assert blended.shape == (3, int(np.ceil(150 * scale)), int(np.ceil(200 * scale)))
    np.testing.assert_allclose(blended, 0.2, atol=1e-4)


def test_a_gradient_stays_one_across_windows() -> None:
    shape = (128, 256)
    plane = np.broadcast_to(np.arange(256, dtype=np.uint8), shape)
    tiles = Tiles(shape, 128, Window(0, 0, *shape))
    maps = {w: np.stack([plane[w.slices]] * 3) for w in tiles.windows if w}
    blended = blend(maps, Window(0, 0, *shape), shape, 1.0)
    np.testing.assert_allclose(blended[0], plane / 255, atol=1e-3)
