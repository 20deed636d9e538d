"""An earlier result is reused only for the same pixels, model and options."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import napari_sam as ns
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SHAPE, box_on, ellipsoid, lit

PROMPTS = {6: box_on(BALL, 6)}
OTHER = ellipsoid((7, 26, 24), (7, 26, 24), (4, 7, 7))


class Fresh(World):
    """Another model."""

    def __init__(self) -> None:
        super().__init__()
        self.key = "fresh"


def segment(volume: Any, **options: Any) -> ns.VolumeResult:
    arguments = {"model": World(), "contrast_limits": (0, 255), **options}
    return ns.segment_volume(volume, PROMPTS, **arguments)


def test_the_same_work_is_not_done_again() -> None:
    first = segment(lit(BALL))
    for volume in (lit(BALL), lit(BALL).tolist(), da.from_array(lit(BALL))):
        again = segment(np.asarray(volume, np.uint8), previous=first)
        assert again.recomputed == 0
        assert_array_equal(again.labels, first.labels)


def test_another_image_gets_its_own_labels() -> None:
    first = segment(lit(BALL))
    assert_array_equal(
        segment(lit(OTHER), previous=first).labels, segment(lit(OTHER)).labels
    )


@settings(max_examples=15, deadline=None)
@given(edited=st.integers(0, len(BALL) - 1), seed=st.integers(0, 9))
def test_an_array_edited_in_place_gets_new_labels(edited: int, seed: int) -> None:
    volume = lit(BALL)
    first = segment(volume)
    rows, cols = np.random.default_rng(seed).integers(0, min(SHAPE[1:]), (2, 60))
    volume[edited, rows, cols] = 255 - volume[edited, rows, cols]
    second = segment(volume, previous=first)
    assert_array_equal(second.labels, segment(volume).labels)
    # And again, after some slices of the second came from the first.
    volume[:] = lit(BALL)
    third = segment(volume, previous=second)
    assert_array_equal(third.labels, first.labels)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": Fresh()},
        {"options": ns.PropagationOptions(margin=0.3)},
        {"contrast_limits": (0, 300)},
        {"zoom": "off"},
        {"spacing": (3, 1, 1)},
    ],
)
def test_another_model_or_option_starts_again(changed: dict[str, Any]) -> None:
    first = segment(lit(BALL))
    again = segment(lit(BALL), previous=first, **changed)
    assert again.recomputed == segment(lit(BALL), **changed).recomputed > 0


def test_another_axis_or_shape_starts_again() -> None:
    first = segment(lit(BALL))
    longer = np.concatenate([lit(BALL), np.zeros_like(lit(BALL)[:2])])
    assert segment(longer, previous=first).recomputed > 0
    turned = np.moveaxis(lit(BALL), 0, 2)
    assert segment(turned, axis=2, previous=first).recomputed > 0


def test_a_range_that_is_continued_keeps_what_was_done() -> None:
    part = segment(lit(BALL), options=ns.PropagationOptions(last=8))
    model = World()
    whole = segment(lit(BALL), previous=part, model=model)
    assert_array_equal(whole.labels, BALL)
    assert 0 < len(model.embedded) < len(BALL)


@settings(max_examples=25, deadline=None)
@given(
    first=st.sets(st.integers(1, 11), min_size=1, max_size=3),
    more=st.sets(st.integers(0, 12), max_size=3),
    seed=st.integers(0, 5),
)
def test_further_prompts_give_what_they_give_at_once(
    first: set[int], more: set[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    volume = np.clip(lit(BALL) * 0.7 + rng.normal(30, 12, SHAPE), 0, 255)
    held = set(np.flatnonzero(BALL.any((1, 2))).tolist())
    boxes = {i: box_on(BALL, i) for i in sorted(first & held) or [6]}
    painted = {1: {i: BALL[i] for i in sorted((more & held) - {*boxes})}}
    arguments = {"model": World(reach=2), "contrast_limits": (0, 255)}
    before = ns.segment_volume(volume, boxes, **arguments)
    both = {"masks": painted} if painted[1] else {}
    corrected = ns.segment_volume(volume, boxes, previous=before, **both, **arguments)
    at_once = ns.segment_volume(volume, boxes, **both, **arguments)
    assert_array_equal(corrected.labels, at_once.labels)
    for one, other in zip(corrected.slices, at_once.slices, strict=True):
        assert one.confidence == other.confidence


@pytest.mark.parametrize("index", [3, 4, 5, 7, 8, 9, 10])
def test_a_painted_mask_leaves_the_other_side_as_it_was(index: int) -> None:
    boxes = {6: box_on(BALL, 6)}
    before = ns.segment_volume(lit(BALL), boxes, World())
    painted = {1: {index: BALL[index]}}
    after = ns.segment_volume(lit(BALL), boxes, World(), masks=painted, previous=before)
    other_side = range(7, len(BALL)) if index < 6 else range(6)
    allowed = len(BALL) - 1 - len(other_side) - 1
    assert after.recomputed <= allowed
    kept = before.of_object(1), after.of_object(1)
    for z in other_side:
        assert (z in kept[0]) == (z in kept[1])
        if z in kept[0]:
            assert kept[0][z].confidence == kept[1][z].confidence
