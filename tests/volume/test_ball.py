"""Ball through prompted cross-sections: its middle, size, and what counts."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_sam.images.stack import Stack
from napari_sam.masks.patch import MaskPatch
from napari_sam.volume.tracking.ball import Ball, ball_sections, reference_slice


def section(centre: float, radius: float, index: int) -> tuple[int, float]:
    return index, sqrt(radius**2 - (index - centre) ** 2)


@given(
    centre=st.floats(10, 30),
    radius=st.floats(4, 9),
    below=st.floats(0.05, 0.9),
    above=st.floats(0.05, 0.9),
)
def test_a_ball_is_found_from_two_of_its_cross_sections(
    centre: float, radius: float, below: float, above: float
) -> None:
    indices = round(centre - below * radius), round(centre + above * radius)
    assume(centre - radius < indices[0] < centre < indices[1] < centre + radius)
    sections = [section(centre, radius, index) for index in indices]
    for ball in (Ball.through(*sections), Ball.through(*sections[::-1])):
        assert ball.centre == pytest.approx(centre)
        assert ball.radius == pytest.approx(radius)
        for index in range(round(centre - 12), round(centre + 12)):
            relative = max(1 - ((index - centre) / radius) ** 2, 0)
            assert ball.width(index) == pytest.approx(sqrt(relative), abs=1e-6)


@given(
    other=st.integers(0, 40).filter(lambda index: index != 20),
    radii=st.tuples(st.floats(0.5, 30), st.floats(0.5, 30)),
)
def test_the_centre_lies_between_and_the_ball_goes_through_the_start(
    other: int, radii: tuple[float, float]
) -> None:
    ball = Ball.through((20, radii[0]), (other, radii[1]))
    assert min(20, other) <= ball.centre <= max(20, other)
    assert ball.radius * ball.width(20) == pytest.approx(radii[0], rel=1e-6)


def test_one_cross_section_is_the_middle() -> None:
    ball = Ball.through((7, 4.0))
    assert [ball.width(i) for i in (3, 7, 11, 12)] == [0, 1, 0, 0]
    assert reference_slice({7: 4.0}, 7) is None


def test_a_cross_section_near_an_end_refers_to_the_middle_and_not_the_reverse() -> None:
    radii = {10: 6.0, 15: sqrt(6**2 - 5**2), 13: sqrt(6**2 - 3**2)}
    assert [reference_slice(radii, index) for index in (10, 13, 15)] == [None, 10, 10]


def test_neighbouring_slices_do_not_refer_to_each_other() -> None:
    radii = {10: 8.0, 11: 8.3}
    assert reference_slice(radii, 10) is None
    assert reference_slice(radii, 11) is None
    assert reference_slice({10: 8.0}, 12) is None
    assert not np.isnan(Ball.through((10, 8.0), (11, 8.3)).radius)


@pytest.mark.parametrize("gap", [0, 6])
def test_branches_and_rings_are_no_sections_of_a_ball(gap: int) -> None:
    stack = Stack(np.zeros((5, 40, 40), np.uint8), spacing=(2, 0.5, 0.5))
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True
    whole = ball_sections({3: MaskPatch.from_mask(mask, (0, 0))}, stack)
    assert whole[3] == pytest.approx(sqrt(400 / np.pi) * 0.5 / 2)
    ring = mask.copy()
    ring[10:20, 10:20] = False
    mask[:, 12 : 12 + gap] = False
    parts = ball_sections({3: MaskPatch.from_mask(mask, (0, 0))}, stack)
    assert (parts == {}) == (gap > 0)
    assert ball_sections({3: MaskPatch.from_mask(ring, (0, 0))}, stack) == {}
    assert ball_sections({3: MaskPatch.empty()}, stack) == {}


def test_a_painted_mask_refers_to_a_prompt_and_not_the_reverse() -> None:
    radii = {10: 6.0, 16: 5.8}
    assert reference_slice(radii, 10) == 16
    assert reference_slice(radii, 10, painted={16}) is None
    assert reference_slice(radii, 16, painted={16}) == 10
    assert reference_slice(radii, 10, painted={10, 16}) == 16
