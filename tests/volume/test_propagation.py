"""Anchors, ends, gaps, corrections and neighbours on the way through a stack."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.stack import Stack
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.propagation import Propagation, propagate
from napari_sam.volume.results import PropagationOptions, VolumeResult
from napari_sam.volume.stack_prompts import prompted_slices
from tests.helpers.models import World
from tests.helpers.scenes import (
    BALL,
    DARK,
    SHAPE,
    box_on,
    ellipsoid,
    follow,
    lit,
    statuses,
)

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Prediction

NOT_HERE = Prompt(points=[(15, 18)], labels=[0])


def column(*rows: int) -> np.ndarray:
    """A square column; a row of its centre for each slice."""
    mask = np.zeros((len(rows), 50, 50), bool)
    for index, row in enumerate(rows):
        mask[index, row - 6 : row + 7, 18:33] = True
    return mask


def test_a_negative_point_alone_ends_the_object() -> None:
    prompts = {1: {6: box_on(BALL, 6), 9: NOT_HERE, 4: NOT_HERE}}
    out = follow(lit(BALL), prompts)
    kept = np.isin(np.arange(len(BALL)), [5, 6, 7, 8])[:, None, None]
    assert_array_equal(out.labels > 0, BALL & kept)


@pytest.mark.parametrize(("first", "last"), [(5, 8), (None, 7), (4, None), (-3, 99)])
def test_the_range_of_slices_is_kept_to(first: int | None, last: int | None) -> None:
    options = PropagationOptions(first=first, last=last)
    out = follow(lit(BALL), {1: {6: box_on(BALL, 6)}}, options=options)
    slices = np.arange(len(BALL))
    kept = (slices >= (first or 0)) & (slices <= (99 if last is None else last))
    assert_array_equal(out.labels > 0, BALL & kept[:, None, None])


class Together(World):
    """Encodes up to three planes together."""

    planes_at_once = 3

    def __init__(self, reach: int) -> None:
        super().__init__(reach=reach)
        self.batches: list[int] = []

    def embed_batch(self, planes: Any, *args: Any, **shape: Any) -> list[Any]:
        self.batches.append(len(planes))
        return [self.embed(plane, *args, **shape) for plane in planes]


def test_planes_encoded_together_are_encoded_once_and_give_the_same() -> None:
    volume, prompts = lit(BALL), {1: {6: box_on(BALL, 6)}}
    expected = follow(volume, prompts, World(reach=2))
    together = Together(reach=2)
    assert_array_equal(follow(volume, prompts, together).labels, expected.labels)
    assert max(together.batches) == 3
    planes = {plane.tobytes() for plane in together.seen}
    assert len(together.seen) == len(planes)


def test_a_dark_slice_is_bridged() -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[4] = 0  # a fault of the camera
    out = follow(volume, {1: {1: box_on(mask, 1)}})
    assert statuses(out)[4] == "interpolated"
    assert_array_equal(out.labels > 0, mask)


def test_patience_is_limited() -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[4:6] = 0
    prompts = {1: {1: box_on(mask, 1)}}
    assert statuses(follow(volume, prompts))[4] == "stopped"
    patient = PropagationOptions(patience=2)
    assert_array_equal(follow(volume, prompts, options=patient).labels > 0, mask)


def test_where_slices_are_thin_more_of_them_may_be_bad() -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[4:6, :25] = DARK  # half of the object
    prompts = {1: {1: box_on(mask, 1)}}
    unsure = World(score=0.3)
    assert statuses(follow(volume, prompts, unsure))[4] == "stopped"
    thin = follow(volume, prompts, unsure, spacing=(0.25, 1, 1))
    assert {statuses(thin)[i] for i in (4, 5)} == {"interpolated"}
    assert_array_equal(thin.labels > 0, mask)


def test_where_nothing_is_left_thin_slices_end_an_object_too() -> None:
    mask = column(*[25] * 12)
    mask[6:] = False
    out = follow(lit(mask), {1: {1: box_on(mask, 1)}}, spacing=(0.25, 1, 1))
    assert statuses(out)[6] == "stopped"
    assert max(statuses(out)) == 6


def test_between_anchors_a_doubtful_mask_is_better_than_a_guess() -> None:
    mask = column(*[25] * 5)
    unsure = World(score=0.02)
    one = {1: {0: box_on(mask, 0)}}
    assert statuses(follow(lit(mask), one, unsure))[1] == "stopped"
    two = {1: {i: box_on(mask, i) for i in (0, 4)}}
    out = follow(lit(mask), two, unsure)
    assert {statuses(out)[i] for i in (1, 2, 3)} == {"doubtful"}


def test_a_gap_between_anchors_is_filled() -> None:
    mask = column(15, 17, 19, 21, 23, 25, 27, 29, 31)
    volume = lit(mask)
    volume[2:7] = 0
    prompts = {1: {i: box_on(mask, i) for i in (0, 8)}}
    out = follow(volume, prompts, World(reach=2))
    assert {statuses(out)[i] for i in range(2, 7)} == {"interpolated"}
    assert_array_equal(out.labels > 0, mask)


class Forgetful(World):
    """Loses the lower part of an object on a slice when it comes from below."""

    def __init__(self, plane_index: int, loses: bool = True) -> None:
        super().__init__(reach=2)
        self.plane_index, self.loses = plane_index, loses
        self.here, self.torn = 0, False
        self.boxes: dict[bool, list[np.ndarray]] = {True: [], False: []}

    def _answer(self, embedding: Any, prompt: Prompt) -> Prediction:
        index = int(embedding.pixels[0, 0])  # as `numbered` says
        if index != self.here:
            self.torn, self.here = self.here < index == self.plane_index, index
        if index == self.plane_index:
            self.boxes[self.torn].append(prompt.box)
        lost = 6 if self.torn and self.loses else 0
        return super()._answer(embedding, Prompt(box=prompt.box - (0, 0, lost, 0)))


def numbered(mask: np.ndarray) -> np.ndarray:
    """A lit volume whose planes can be told from each other by their first pixel."""
    volume = lit(mask)
    volume[:, 0, 0] = np.arange(len(volume))
    return volume


def test_where_both_ends_differ_a_third_opinion_decides() -> None:
    mask = column(*[25] * 9)
    world = Forgetful(4)
    prompts = {1: {i: box_on(mask, i) for i in (0, 8)}}
    out = follow(numbered(mask), prompts, world, contrast_limits=(0, 255))
    assert_array_equal(out.labels > 0, mask)
    third = world.boxes[False][-1]
    tight = box_on(mask, 4).box
    assert (third[:2] <= tight[:2]).all()
    assert (third[2:] >= tight[2:]).all()


def test_where_both_ends_agree_nobody_else_is_asked() -> None:
    mask = column(*[25] * 9)
    prompts = {1: {i: box_on(mask, i) for i in (0, 8)}}
    asked = []
    for loses in (False, True):
        world = Forgetful(4, loses)
        follow(numbered(mask), prompts, world, contrast_limits=(0, 255))
        asked.append(len(world.boxes[False]))
    assert asked[1] == asked[0] + 1


def test_an_object_that_drifts_fast_is_followed() -> None:
    mask = column(10, 14, 18, 22, 26, 30, 34, 38)
    out = follow(lit(mask), {1: {0: box_on(mask, 0)}}, World(reach=1))
    found = [np.count_nonzero(out.labels[i] & mask[i]) for i in range(8)]
    assert min(found) > 0.8 * 13 * 15


def test_branches_are_followed_apart_and_together() -> None:
    mask = np.zeros((9, 60, 60), bool)
    for z in range(9):
        for col in (30 - 2 * abs(z - 4) - 4, 30 + 2 * abs(z - 4) + 4):
            mask[z, 24:36, col - 5 : col + 6] = True
    out = follow(lit(mask), {1: {4: box_on(mask, 4)}}, World(reach=2))
    for found, true in zip(out.labels > 0, mask, strict=True):
        # A branch that sets off is followed a little late.
        assert np.count_nonzero(found & true) >= 0.9 * np.count_nonzero(true)
        assert not (found & ~true).any()


def test_holes_stay_open() -> None:
    ring = np.zeros((5, 60, 60), bool)
    ring[:, 10:50, 10:50] = True
    ring[:, 22:38, 22:38] = False
    out = follow(lit(ring), {1: {2: box_on(ring, 2)}})
    assert_array_equal(out.labels > 0, ring)


def test_objects_do_not_grow_into_each_other() -> None:
    volume = np.full((6, 40, 60), 20, np.uint8)
    volume[:, 10:30, 10:50] = 200  # nothing tells the two apart
    right = np.zeros((40, 60), bool)
    right[10:30, 30:50] = True
    out = ns.segment_volume(
        volume,
        {1: {2: Prompt(box=(10, 10, 29, 29))}},
        World(reach=1),
        masks={2: dict.fromkeys(range(6), right)},
        contrast_limits=(0, 255),
    )
    assert (out.labels[:, 10:30, 10:30] == 1).all()
    assert_array_equal(out.labels == 2, np.broadcast_to(right, volume.shape))


def test_painted_masks_are_taken_as_they_are_and_followed() -> None:
    painted = ellipsoid(SHAPE, (6, 15, 18), (5, 9, 11))[6]
    out = ns.segment_volume(
        lit(BALL), {}, World(reach=3), masks={4: {6: painted}}, contrast_limits=(0, 255)
    )
    assert_array_equal(out.labels[6] == 4, painted)
    assert statuses(out, 4)[6] == "anchor"
    others = np.arange(len(BALL)) != 6
    assert_array_equal(out.labels[others] == 4, BALL[others])


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros(SHAPE[1:], bool), "object 4 on slice 6 is empty"),
        (np.ones(SHAPE[1:], int), "is int64 of shape"),
        (np.ones((3, 3), bool), r"is bool of shape \(3, 3\): give bool of shape"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ns.segment_volume(lit(BALL), {}, World(), masks={4: {6: mask}})


def test_only_what_a_correction_touches_is_computed_again() -> None:
    tall = ellipsoid((30, 40, 44), (15, 18, 20), (13, 11, 13))
    other = ellipsoid((30, 40, 44), (15, 35, 40), (13, 4, 3))
    volume = lit(tall | other)
    given = {
        1: {i: box_on(tall, i) for i in (8, 14, 20)},
        2: {15: box_on(other, 15)},
    }
    before = ns.segment_volume(volume, given, World(reach=2), contrast_limits=(0, 255))
    world = World(reach=2)
    after = ns.segment_volume(
        volume,
        given,
        world,
        masks={1: {11: tall[11]}},
        previous=before,
        contrast_limits=(0, 255),
    )
    assert after.recomputed == 4  # 9, 10, 12 and 13; 11 was painted
    assert len(world.seen) == 4
    kept = {i for i, s in before.of_object(1).items() if s in after.slices}
    assert kept == set(before.of_object(1)) - {9, 10, 11, 12, 13}
    assert_array_equal(after.labels == 1, tall)
    assert_array_equal(after.labels == 2, before.labels == 2)


def test_a_moved_anchor_has_both_of_its_sides_walked_again() -> None:
    volume = lit(BALL)
    first = ns.segment_volume(volume, {6: box_on(BALL, 6)}, World())
    same = ns.segment_volume(volume, {6: box_on(BALL, 6)}, World(), previous=first)
    moved = ns.segment_volume(volume, {7: box_on(BALL, 7)}, World(), previous=first)
    assert same.recomputed == 0
    assert_array_equal(same.labels, first.labels)
    assert moved.recomputed >= np.count_nonzero(BALL.any((1, 2)))
    assert statuses(moved)[6] == "propagated"


def broken_off(after: int, stack: Stack, prompts: dict) -> VolumeResult:
    plan, options = prompted_slices(prompts, {}), PropagationOptions()
    slices = Propagation(
        stack, plan, options, World(reach=2), EmbeddingCache(), (0, 255)
    )
    assert len(list(islice(slices, after))) == after
    return slices.result()


class Watched(World):
    """Remembers the slices that it was asked about since it was looked at."""

    def __init__(self) -> None:
        super().__init__(score=0.3)
        self.slices: set[int] = set()

    def _answer(self, embedding: Any, prompt: Prompt) -> Prediction:
        self.slices.add(int(embedding.pixels[0, 0]))  # as `numbered` says
        return super()._answer(embedding, prompt)


@pytest.mark.parametrize("anchors", [(1,), (1, 12)])
def test_it_can_be_cancelled_at_each_slice(anchors: tuple[int, ...]) -> None:
    mask = column(*[25] * 14)
    volume = numbered(mask)
    volume[3:9, 1:25] = DARK  # lost for long, in thin slices
    world = Watched()
    prompts = {1: {i: box_on(mask, i) for i in anchors}}
    stack = Stack(volume, spacing=(0.1, 1, 1))
    most = []
    for _ in propagate(stack, prompts, world, contrast_limits=(0, 255)):
        most.append(len(world.slices))
        world.slices.clear()
    assert max(most) == 1
    assert sum(most) >= len(mask)


@pytest.mark.parametrize("after", range(1, 24, 2))
def test_work_that_was_broken_off_is_gone_on_with(after: int) -> None:
    tall = ellipsoid((24, 40, 44), (12, 18, 20), (10, 11, 13))
    prompts = {1: {8: box_on(tall, 8), 14: box_on(tall, 14)}}
    volume = lit(tall)
    whole = ns.segment_volume(volume, prompts, World(reach=2), contrast_limits=(0, 255))
    part = broken_off(after, Stack(volume), prompts)
    rest = ns.segment_volume(
        volume, prompts, World(reach=2), previous=part, contrast_limits=(0, 255)
    )
    assert_array_equal(rest.labels, whole.labels)
    assert statuses(rest) == statuses(whole)


def test_thick_slices_are_judged_by_their_thickness() -> None:
    # A cone that loses half its area from slice to slice.
    mask = np.zeros((5, 60, 60), bool)
    for z, half in enumerate((24, 17, 12, 8, 6)):
        mask[z, 30 - half : 30 + half, 30 - half : 30 + half] = True
    prompts = {0: box_on(mask, 0)}
    confidences = []
    for thick in (1, 8):
        out = ns.segment_volume(lit(mask), prompts, World(), spacing=(thick, 1, 1))
        confidences.append([s.confidence for s in out.slices])
    assert confidences[0] != confidences[1]


@pytest.mark.parametrize("spacing", [(1, 1), (0, 1, 1), (1, -1, 1), (1, np.nan, 1)])
def test_spacings_that_are_none_are_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="one positive number per axis"):
        ns.segment_volume(lit(BALL), {6: box_on(BALL, 6)}, World(), spacing=spacing)
