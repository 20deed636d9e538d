"""Estimate of the time of a propagation."""

from __future__ import annotations

from math import inf

import pytest

from napari_sam.images.window import Window
from napari_sam.volume.estimate import Estimate, ExpectedRange, RemainingWork

HERE, THERE = Window(0, 0, 64, 64), Window(0, 128, 64, 64)
UP, DOWN = tuple(range(11, 111)), tuple(range(9, -1, -1))


def test_windows_that_objects_share_count_once() -> None:
    ranges = [
        ExpectedRange(1, UP, HERE, 8),
        ExpectedRange(2, UP, HERE, 5),
        ExpectedRange(1, DOWN, HERE, 8),
    ]
    estimate = Estimate.of(ranges, 2.0)
    assert estimate == Estimate(2, 1, 110, likely=40, most=220)
    assert estimate is not None
    assert estimate.text == (
        "Following 2 objects through up to 110 slices: about 40 s if they are as deep "
        "as wide, at most 4 min"
    )


def test_objects_in_different_windows() -> None:
    ranges = [ExpectedRange(1, UP, HERE, 3.2), ExpectedRange(2, UP, THERE, 3.2)]
    estimate = Estimate.of(ranges, 1.0)
    assert estimate == Estimate(2, 2, 100, likely=12, most=200)


def test_between_two_prompts_all_slices_are_looked_at() -> None:
    estimate = Estimate.of([ExpectedRange(4, UP, None, inf)], 0.5)
    assert estimate is not None
    assert estimate.text == "Following 1 object through up to 100 slices: about 50 s"


def test_no_time_without_a_measurement() -> None:
    estimate = Estimate.of([ExpectedRange(4, (3,), None, 9)], None)
    assert estimate is not None
    assert estimate.text == "Following 1 object through up to 1 slice"


def test_nothing_to_estimate() -> None:
    assert Estimate.of([], 1.0) is None
    assert Estimate.of([ExpectedRange(1, (), HERE, 4)], 1.0) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (95, "2 min"), (5000, "83 min"), (18000, "5 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert Estimate(1, 1, 9, seconds, seconds).text.endswith(f": about {text}")


def test_work_shrinks_when_an_object_ends() -> None:
    work = RemainingWork()
    work.note_encoded(10, HERE)
    assert (work.done, work.total) == (1, 0)  # nothing is known yet
    up, down = ExpectedRange(1, UP, HERE, 8), ExpectedRange(1, DOWN, HERE, 8)
    work.expect({"up": up, "down": down})
    assert work.total == 1 + 10 + 10
    for index in (11, 12, 13):
        work.note_encoded(index, HERE)
        work.note_slice("up", index, has_ended=index == 13)
    assert (work.done, work.total) == (4, 4 + 7)  # nor is the other one so deep
    work.note_slice("down", 9, has_ended=True)
    assert work.done == work.total


def test_work_goes_on_while_an_object_is_deeper_than_expected() -> None:
    work = RemainingWork()
    work.expect({"up": ExpectedRange(1, UP, HERE, 3)})
    for index in UP[:50]:
        work.note_encoded(index, HERE)
        work.note_slice("up", index, has_ended=False)
        assert work.done < work.total
    assert work.total == 52


def test_slices_seen_from_one_side_are_not_encoded_again() -> None:
    between, back = ExpectedRange(1, (3, 4), HERE, inf), (4, 3)
    work = RemainingWork()
    work.expect({"up": between, "down": ExpectedRange(1, back, HERE, inf)})
    assert work.total == 2
