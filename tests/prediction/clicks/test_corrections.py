"""Corrections by further clicks: what changes, and what never does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_sam.images.window import Window
from napari_sam.prediction.clicks.corrections import (
    best_correction,
    correct,
    correction_steps,
)
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import Prediction
from napari_sam.prompts.prompt import Prompt

SIDE = 64
PLANE = SIDE, SIDE


def prediction(mask: np.ndarray, window: Window | None = None) -> Prediction:
    """A prediction in a window, one logit for each of its pixels."""
    side = SIDE if window is None else window.side
    transform = PlaneTransform(PLANE, (side, side), side, side, "lite_medsam", window)
    seen = mask if window is None else mask[window.slices]
    return Prediction(np.where(seen, 5, -5).astype(np.float32), 0.8, transform)


def disc(row: float, col: float, radius: float) -> np.ndarray:
    rows, cols = np.indices(PLANE)
    inside: np.ndarray = np.hypot(rows - row, cols - col) < radius
    return inside


def click(row: float, col: float, label: int) -> Prompt:
    return Prompt(points=[(20, 20), (row, col)], labels=[1, label])


def test_a_click_on_a_missing_part_adds_that_part_only() -> None:
    before = disc(20, 20, 8)
    answer = before | disc(20, 30, 6) | disc(50, 50, 6)
    found = correct(prediction(before), prediction(answer), click(20, 33, 1))
    np.testing.assert_array_equal(found.mask, before | disc(20, 30, 6))


def test_a_click_on_the_background_takes_that_part_away_only() -> None:
    before = disc(20, 20, 8) | disc(20, 30, 6)
    answer = disc(20, 20, 8) & ~disc(12, 20, 3)
    found = correct(prediction(before), prediction(answer), click(20, 32, 0))
    np.testing.assert_array_equal(found.mask, before & ~(before & ~disc(20, 20, 8)))


@pytest.mark.parametrize(("row", "col", "label"), [(20, 22, 1), (50, 50, 0)])
def test_a_click_that_the_mask_agrees_with_changes_nothing(
    row: int, col: int, label: int
) -> None:
    before, answer = prediction(disc(20, 20, 8)), prediction(disc(30, 30, 20))
    assert correct(before, answer, click(row, col, label)) is before


def test_a_corrected_mask_is_better_than_the_answer_alone_says() -> None:
    before, change = disc(20, 20, 8), disc(20, 30, 6)
    scores = []
    for score in (0.0, 0.3, 0.6, 1.0):
        answer = replace(prediction(before | change), score=score)
        found = best_correction(prediction(before), [answer], click(20, 33, 1))
        assert 0 < found.score < 1
        scores.append(found.score)
    assert scores == sorted(scores)
    assert scores[1] > 0.3 and scores[2] > 0.6


def test_an_answer_in_another_window_keeps_the_rest_of_the_mask() -> None:
    window = Window(8, 8, 32, 32)
    before = disc(20, 20, 8)
    answer = prediction(before | disc(20, 30, 6), window)
    found = correct(prediction(before), answer, click(20, 33, 1))
    assert found.window is None
    np.testing.assert_array_equal(found.mask, before | disc(20, 30, 6))


def test_an_answer_with_large_pixels_leaves_small_details() -> None:
    """The mask keeps its own pixels, four for each of the answer."""
    window = Window(8, 8, 32, 32)
    fine = replace(
        prediction(disc(20, 20, 8), window),
        transform=PlaneTransform(PLANE, (64, 64), 64, 64, "lite_medsam", window),
        logits=np.kron(prediction(disc(20, 20, 8), window).logits, np.ones((2, 2))),
    )
    answer = prediction(disc(20, 20, 5) | disc(20, 30, 6))
    found = correct(fine, answer, click(20, 33, 1))
    assert found.window == window
    assert found.mask[20, 33]
    kept = disc(20, 20, 7) & (np.indices(PLANE)[1] < 20)
    assert found.mask[kept].all()


def test_a_click_outside_the_window_of_the_mask_takes_a_larger_one() -> None:
    window, before = Window(8, 8, 32, 32), disc(20, 20, 8)
    answers = [
        prediction(before | disc(20, 44, 6)),
        prediction(disc(44, 44, 6), Window(30, 30, 32, 32)),
    ]
    found = best_correction(prediction(before, window), answers, click(20, 44, 1))
    assert found.window is None
    np.testing.assert_array_equal(found.mask, before | disc(20, 44, 6))


def test_a_click_that_no_answer_agrees_with_changes_a_disc_around_it() -> None:
    before = disc(20, 20, 8)
    for row, col, label in ((20, 33, 1), (20, 24, 0)):
        found = best_correction(
            prediction(before), [prediction(before)], click(row, col, label)
        ).mask
        changed = np.argwhere(found != before)
        assert found[row, col] == label
        assert np.linalg.norm(changed - (row, col), axis=1).max() < 6


def test_a_click_outside_the_window_of_the_answer_changes_nothing() -> None:
    before = prediction(disc(20, 20, 8))
    answer = prediction(disc(20, 20, 4), Window(8, 8, 32, 32))
    assert correct(before, answer, click(60, 60, 0)) is before


@given(
    masks=st.integers(0, 2**31).map(np.random.default_rng),
    row=st.integers(0, SIDE - 1),
    col=st.integers(0, SIDE - 1),
    label=st.sampled_from((0, 1)),
)
def test_pixels_change_to_the_answer_where_they_are_joined_to_the_click(
    masks: np.random.Generator, row: int, col: int, label: int
) -> None:
    old, new = (ndimage.gaussian_filter(masks.normal(size=PLANE), 3) > 0 for _ in "on")
    found = correct(prediction(old), prediction(new), click(row, col, label)).mask
    changed = found != old
    np.testing.assert_array_equal(found[changed], new[changed])
    assert ndimage.label(changed)[1] <= 1
    if new[row, col] == label:
        assert found[row, col] == label


def test_steps_begin_with_the_first_point_on_the_object() -> None:
    prompt = Prompt(points=[(1, 1), (2, 2), (3, 3)], labels=[0, 1, 0])
    steps = correction_steps(prompt)
    assert [step.labels.tolist() for step in steps if step.labels is not None] == [
        [1],
        [1, 0],
        [1, 0, 0],
    ]
    assert steps[0].points is not None
    np.testing.assert_array_equal(steps[0].points, [(2, 2)])


def test_steps_of_a_box_begin_with_the_box() -> None:
    prompt = Prompt(box=(1, 1, 9, 9), points=[(2, 2)], labels=[0])
    first, second = correction_steps(prompt)
    assert first.points is None and first.box is not None
    assert second.points is not None and len(second.points) == 1


def test_points_on_the_background_alone_are_one_step() -> None:
    prompt = Prompt(points=[(1, 1)], labels=[0])
    assert correction_steps(prompt) == [prompt]
