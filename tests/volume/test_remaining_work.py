"""The work left of a propagation follows how objects get smaller and where they end."""

from __future__ import annotations

import math

import pytest

from napari_sam.volume.estimate import ExpectedRange, RemainingWork

GUESS, COUNT = 10.0, 60


def follow(depths: list[float]) -> list[tuple[int, int]]:
    """Follow ellipsoids of some depths; return how much was left, and said to be."""
    ranges = {
        number: ExpectedRange(
            number, tuple(range(1 + number * COUNT, (number + 1) * COUNT)), None, GUESS
        )
        for number in range(len(depths))
    }
    work, said = RemainingWork(), []
    work.expect(ranges)
    for number, depth in enumerate(depths):
        for slices in range(1, COUNT):
            index = number * COUNT + slices
            size = math.sqrt(max(1 - (slices / depth) ** 2, 0))
            work.note_encoded(index, None)
            work.note_slice(number, index, size == 0, size or None)
            said.append((work.done, work.total - work.done))
            if size == 0:
                break
    return [(said[-1][0] - done, left) for done, left in said]


@pytest.mark.parametrize("depth", [5.0, 7.0, 10.0, 15.0, 20.0])
def test_within_a_factor_of_two_of_objects_of_any_depth(depth: float) -> None:
    steps = follow([depth] * 4)
    assert steps[-1] == (0, 0)
    for left, said in steps[len(steps) // 3 : -4]:
        assert 0.5 <= said / left <= 2


def test_depths_between_two_prompted_slices_are_known() -> None:
    work = RemainingWork()
    work.expect({0: ExpectedRange(0, tuple(range(1, 9)), None, math.inf)})
    assert work.total == 8
    work.note_encoded(1, None)
    work.note_slice(0, 1, has_ended=False, size=0.1)
    assert (work.done, work.total) == (1, 8)


def test_nothing_is_known_before_the_ranges_are() -> None:
    assert RemainingWork().total == 0
