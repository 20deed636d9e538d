"""Prompts sampled from true masks are where a user would give them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.masks.patch import mask_to_box
from napari_sam.training.prompts import (
    add_click,
    max_outside_distance,
    sample_box,
    sample_error_click,
    sample_first_prompt,
    sample_inside_point,
    sample_outside_point,
)

SHAPE = (48, 37)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Draw a rectangle with holes; it may touch the border or fill the plane."""
    rows = sorted(draw(st.tuples(*[st.integers(0, SHAPE[0])] * 2)))
    cols = sorted(draw(st.tuples(*[st.integers(0, SHAPE[1])] * 2)))
    mask = np.zeros(SHAPE, bool)
    mask[rows[0] : rows[1] + 1, cols[0] : cols[1] + 1] = True
    holes = np.random.default_rng(draw(st.integers(0, 9))).random(SHAPE)
    mask &= holes < draw(st.sampled_from([0.5, 0.95, 1.0]))
    if not mask.any():
        mask[draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))] = 1
    return mask


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def value_at(mask: np.ndarray, point: np.ndarray) -> bool:
    row, col = point.astype(int)
    assert np.array_equal(point, [row, col])
    return bool(mask[row, col])


@given(masks(), seeds)
def test_inside_point_is_inside(mask: np.ndarray, rng: np.random.Generator) -> None:
    assert value_at(mask, sample_inside_point(mask, rng))


@given(masks(), seeds)
def test_outside_point_is_near_the_outline(
    mask: np.ndarray, rng: np.random.Generator
) -> None:
    point = sample_outside_point(mask, rng)
    if point is None:
        assert mask.all()
        return
    assert not value_at(mask, point)
    nearest = np.linalg.norm(np.argwhere(mask) - point, axis=1).min()
    assert 0 < nearest <= max_outside_distance(mask)


@given(masks(), seeds, st.floats(0, 20))
def test_box_contains_its_object_within_the_jitter(
    mask: np.ndarray, rng: np.random.Generator, jitter: float
) -> None:
    tight, box = mask_to_box(mask), sample_box(mask, rng, jitter)
    outwards = (tight - box) * [1, 1, -1, -1]
    assert (outwards >= 0).all()
    assert (outwards <= jitter).all()
    assert (box[:2] >= 0).all()
    assert (box[2:] <= np.subtract(SHAPE, 1)).all()


@given(masks(), masks(), seeds)
def test_error_click_is_where_the_mask_is_wrong(
    truth: np.ndarray, predicted: np.ndarray, rng: np.random.Generator
) -> None:
    point, label = sample_error_click(truth, predicted, rng)
    assert value_at(truth, point) == bool(label)
    if (truth != predicted).any():
        assert value_at(truth ^ predicted, point)
    else:
        assert label == 1


@given(masks(), seeds, st.sampled_from(["click", "clicks", "box"]))
def test_first_prompt_has_the_requested_kind(
    mask: np.ndarray, rng: np.random.Generator, start: str
) -> None:
    prompt = sample_first_prompt(mask, start, rng).within(SHAPE)
    assert prompt.kinds == {"box" if start == "box" else "point"}
    for point in prompt.positives:
        assert value_at(mask, point)
    for point in prompt.negatives:
        assert not value_at(mask, point)
    if start != "box":
        assert len(prompt.points) == (1 if start == "click" else 2)


def test_inside_points_are_near_the_centre_and_the_outline() -> None:
    mask = np.zeros((60, 60), bool)
    mask[10:51, 10:51] = True
    rng = np.random.default_rng(0)
    points = np.array([sample_inside_point(mask, rng) for _ in range(300)])
    depth = np.minimum(points - 10, 50 - points).min(1)
    assert depth.min() <= 2
    assert depth.max() >= 18


def test_box_jitter_is_up_to_twenty_pixels() -> None:
    mask = np.zeros((300, 300), bool)
    mask[50:250, 50:250] = True
    rng = np.random.default_rng(0)
    boxes = np.array([sample_box(mask, rng) for _ in range(200)])
    assert boxes[:, 0].min() < 32
    assert boxes[:, 0].max() > 48


@pytest.mark.parametrize("label", [0, 1])
def test_add_click_to_a_box(label: int) -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    prompt = sample_first_prompt(mask, "box", np.random.default_rng(0))
    prompt = add_click(prompt, np.array([6.0, 7.0]), label)
    prompt = add_click(prompt, np.array([1.0, 2.0]), 0)
    assert prompt.kinds == {"box", "point"}
    assert prompt.points.tolist() == [[6, 7], [1, 2]]
    assert prompt.labels.tolist() == [label, 0]
