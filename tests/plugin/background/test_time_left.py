"""The time left of a job is told from the steps that it did lately."""

from __future__ import annotations

import pytest

from napari_sam.plugin.background.time_left import TimeLeft, time_left_text


def test_time_before_the_first_step_does_not_count() -> None:
    left = TimeLeft()
    assert left.seconds(0.0, 10) is None
    left.note(30.0, 1)  # the model was loaded
    assert left.seconds(30.0, 10) is None
    left.note(32.0, 2)
    assert left.seconds(32.0, 10) == pytest.approx(16)
    assert left.seconds(33.0, 10) == pytest.approx(15)


@pytest.mark.parametrize("first", [0.01, 1.0, 6.0])
def test_within_a_factor_of_two_once_half_is_done(first: float) -> None:
    left, now = TimeLeft(), 0.0
    seconds = [first] * 5 + [2.0] * 25  # the first ones come from a cache, or are slow
    for done, each in enumerate(seconds, start=1):
        now += each
        left.note(now, done)
        told = left.seconds(now, len(seconds))
        if 12 <= done < len(seconds):
            assert told is not None
            assert 0.5 <= told / sum(seconds[done:]) <= 2


def test_another_phase_starts_anew() -> None:
    left = TimeLeft()
    left.note(0.0, 5)
    left.note(1.0, 9)
    left.note(2.0, 1)
    assert left.seconds(2.0, 9) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, ", about 1 s left"),
        (90.0, ", about 90 s left"),
        (600, ", about 10 min left"),
    ],
)
def test_text(seconds: float | None, text: str) -> None:
    assert time_left_text(seconds) == text


def test_text_of_a_job_that_may_end_early() -> None:
    assert time_left_text(12, at_most=True) == ", at most 12 s left"
