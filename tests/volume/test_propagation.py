"""Propagation: ends, gaps, several prompted slices, corrections and neighbours."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.results import PropagationOptions, VolumeResult
from tests.helpers.models import World
from tests.helpers.scenes import (
    BALL,
    DARK,
    SHAPE,
    box_on,
    ellipsoid,
    lit,
    propagate_stack,
    start_propagation,
    statuses,
)

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Prediction

NOT_HERE = Prompt(points=[(15, 18)], labels=[0])


def column(*rows: int) -> np.ndarray:
    """Make a square column from the row of its centre on each slice."""
    mask = np.zeros((len(rows), 50, 50), bool)
    for index, row in enumerate(rows):
        mask[index, row - 6 : row + 7, 18:33] = True
    return mask


def test_negative_points_alone_end_the_object() -> None:
    prompts = {1: {6: box_on(BALL, 6), 9: NOT_HERE, 4: NOT_HERE}}
    out = propagate_stack(lit(BALL), prompts)
    kept = np.isin(np.arange(len(BALL)), [5, 6, 7, 8])[:, None, None]
    assert_array_equal(out.labels > 0, BALL & kept)


@pytest.mark.parametrize(("first", "last"), [(5, 8), (None, 7), (4, None), (0, 99)])
def test_first_and_last_limit_the_slices(first: int | None, last: int | None) -> None:
    options = PropagationOptions(first=first, last=last)
    out = propagate_stack(lit(BALL), {1: {6: box_on(BALL, 6)}}, options=options)
    slices = np.arange(len(BALL))
    kept = (slices >= (first or 0)) & (slices <= (99 if last is None else last))
    assert_array_equal(out.labels > 0, BALL & kept[:, None, None])


class Together(World):
    """Encodes up to three planes together."""

    planes_at_once = 3

    def __init__(self, reach: int) -> None:
        super().__init__(reach=reach)
        self.batches: list[int] = []

    def embed_batch(
        self, planes: Any, *args: Any, windows: Any = None, **shape: Any
    ) -> list[Any]:
        self.batches.append(len(planes))
        parts = [None] * len(planes) if windows is None else windows
        return [
            self.embed(plane, *args, window=part, **shape)
            for plane, part in zip(planes, parts, strict=True)
        ]


def test_batched_encoding_gives_the_same_labels() -> None:
    volume, prompts = lit(BALL), {1: {6: box_on(BALL, 6)}}
    expected = propagate_stack(volume, prompts, World(reach=2))
    together = Together(reach=2)
    assert_array_equal(
        propagate_stack(volume, prompts, together).labels, expected.labels
    )
    assert max(together.batches) == 3
    planes = {plane.tobytes() for plane in together.embedded}
    assert len(together.embedded) == len(planes)


def test_a_dark_slice_is_interpolated() -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[4] = 0  # a fault of the camera
    out = propagate_stack(volume, {1: {1: box_on(mask, 1)}})
    assert statuses(out)[4] == "interpolated"
    assert_array_equal(out.labels > 0, mask)


def test_an_object_ends_after_more_bad_slices_than_patience() -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[4:6] = DARK
    prompts = {1: {1: box_on(mask, 1)}}
    assert statuses(propagate_stack(volume, prompts))[4] == "stopped"
    patient = PropagationOptions(patience=2)
    assert_array_equal(
        propagate_stack(volume, prompts, options=patient).labels > 0, mask
    )


@pytest.mark.parametrize("count", [1, 3])
def test_slices_that_show_nothing_do_not_end_an_object(count: int) -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[3 : 3 + count] = 0
    out = propagate_stack(volume, {1: {1: box_on(mask, 1)}})
    assert_array_equal(out.labels > 0, mask)
    assert out.empty == set(range(3, 3 + count))
    assert {statuses(out)[i] for i in out.empty} == {"interpolated"}


def test_reach_allows_more_bad_slices_when_they_are_thin() -> None:
    mask = column(*[25] * 8)
    volume = lit(mask)
    volume[4:6, :25] = DARK  # half of the object
    prompts = {1: {1: box_on(mask, 1)}}
    unsure, options = World(score=0.1), PropagationOptions(min_confidence=0.15)
    thick = propagate_stack(volume, prompts, unsure, options=options)
    assert statuses(thick)[4] == "stopped"
    thin = propagate_stack(
        volume, prompts, unsure, spacing=(0.25, 1, 1), options=options
    )
    assert {statuses(thin)[i] for i in (4, 5)} == {"interpolated"}
    assert_array_equal(thin.labels > 0, mask)


def test_an_object_without_any_rest_ends_on_thin_slices_too() -> None:
    mask = column(*[25] * 12)
    mask[6:] = False
    out = propagate_stack(lit(mask), {1: {1: box_on(mask, 1)}}, spacing=(0.25, 1, 1))
    assert statuses(out)[6] == "stopped"
    assert max(statuses(out)) == 6


def test_doubtful_masks_are_kept_between_prompted_slices() -> None:
    mask = column(*[25] * 5)
    unsure = World(score=0.2, gain=0.01)  # no logit is stable
    one = {1: {0: box_on(mask, 0)}}
    assert statuses(propagate_stack(lit(mask), one, unsure))[1] == "stopped"
    two = {1: {i: box_on(mask, i) for i in (0, 4)}}
    out = propagate_stack(lit(mask), two, unsure)
    assert {statuses(out)[i] for i in (1, 2, 3)} == {"doubtful"}


def test_a_gap_between_prompted_slices_is_interpolated() -> None:
    mask = column(15, 17, 19, 21, 23, 25, 27, 29, 31)
    volume = lit(mask)
    volume[2:7] = 0
    prompts = {1: {i: box_on(mask, i) for i in (0, 8)}}
    out = propagate_stack(volume, prompts, World(reach=2))
    assert {statuses(out)[i] for i in range(2, 7)} == {"interpolated"}
    assert_array_equal(out.labels > 0, mask)


class Forgetful(World):
    """Loses the lower part of an object on a slice in the upward sweep."""

    def __init__(self, plane_index: int, loses: bool = True) -> None:
        super().__init__(reach=2)
        self.plane_index, self.loses = plane_index, loses
        self.here, self.torn = 0, False
        self.boxes: dict[bool, list[np.ndarray]] = {True: [], False: []}

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        index = int(pixels[0, 0])  # see `numbered`
        if index != self.here:
            self.torn, self.here = self.here < index == self.plane_index, index
        if index == self.plane_index:
            self.boxes[self.torn].append(prompt.box)
        lost = 6 if self.torn and self.loses else 0
        return super().answer(pixels, Prompt(box=prompt.box - (0, 0, lost, 0)))


def numbered(mask: np.ndarray) -> np.ndarray:
    """Make a bright volume with the slice number in the first pixel of each plane."""
    volume = lit(mask)
    volume[:, 0, 0] = np.arange(len(volume))
    return volume


def test_a_third_mask_breaks_ties_between_both_directions() -> None:
    mask = column(*[25] * 9)
    world = Forgetful(4)
    prompts = {1: {i: box_on(mask, i) for i in (0, 8)}}
    out = propagate_stack(numbered(mask), prompts, world, contrast_limits=(0, 255))
    assert_array_equal(out.labels > 0, mask)
    third = world.boxes[False][-1]
    tight = box_on(mask, 4).box
    assert (third[:2] <= tight[:2]).all()
    assert (third[2:] >= tight[2:]).all()


def test_no_third_mask_where_both_directions_agree() -> None:
    mask = column(*[25] * 9)
    prompts = {1: {i: box_on(mask, i) for i in (0, 8)}}
    counts = []
    for loses in (False, True):
        world = Forgetful(4, loses)
        propagate_stack(numbered(mask), prompts, world, contrast_limits=(0, 255))
        counts.append(len(world.boxes[False]))
    assert counts[1] == counts[0] + 1


def test_a_fast_drifting_object_is_propagated() -> None:
    mask = column(10, 14, 18, 22, 26, 30, 34, 38)
    out = propagate_stack(lit(mask), {1: {0: box_on(mask, 0)}}, World(reach=1))
    overlaps = [np.count_nonzero(out.labels[i] & mask[i]) for i in range(8)]
    assert min(overlaps) > 0.8 * 13 * 15


def test_branches_that_split_and_merge_are_propagated() -> None:
    mask = np.zeros((9, 60, 60), bool)
    for z in range(9):
        for col in (30 - 2 * abs(z - 4) - 4, 30 + 2 * abs(z - 4) + 4):
            mask[z, 24:36, col - 5 : col + 6] = True
    out = propagate_stack(lit(mask), {1: {4: box_on(mask, 4)}}, World(reach=2))
    for labels, truth in zip(out.labels > 0, mask, strict=True):
        # A new branch is segmented a few slices late.
        assert np.count_nonzero(labels & truth) >= 0.9 * np.count_nonzero(truth)
        assert not (labels & ~truth).any()


def test_holes_stay_open() -> None:
    ring = np.zeros((5, 60, 60), bool)
    ring[:, 10:50, 10:50] = True
    ring[:, 22:38, 22:38] = False
    out = propagate_stack(lit(ring), {1: {2: box_on(ring, 2)}})
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


def test_painted_masks_are_kept_and_propagated() -> None:
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
def test_masks_that_do_not_fit_raise(mask: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ns.segment_volume(lit(BALL), {}, World(), masks={4: {6: mask}})


def test_a_correction_recomputes_only_its_slice_range() -> None:
    tall = ellipsoid((30, 40, 44), (15, 18, 20), (13, 11, 13))
    other = ellipsoid((30, 40, 44), (15, 35, 40), (13, 4, 3))
    volume = lit(tall | other)
    prompts = {
        1: {i: box_on(tall, i) for i in (8, 14, 20)},
        2: {15: box_on(other, 15)},
    }
    before = ns.segment_volume(
        volume, prompts, World(reach=2), contrast_limits=(0, 255)
    )
    world = World(reach=2)
    after = ns.segment_volume(
        volume,
        prompts,
        world,
        masks={1: {11: tall[11]}},
        previous=before,
        contrast_limits=(0, 255),
    )
    assert after.recomputed == 4  # 9, 10, 12 and 13; 11 was painted
    assert len(world.embedded) == 4
    kept = {i for i, s in before.of_object(1).items() if s in after.slices}
    assert kept == set(before.of_object(1)) - {9, 10, 11, 12, 13}
    assert_array_equal(after.labels == 1, tall)
    assert_array_equal(after.labels == 2, before.labels == 2)


def test_a_moved_prompt_recomputes_both_sides() -> None:
    volume = lit(BALL)
    first = ns.segment_volume(volume, {6: box_on(BALL, 6)}, World())
    same = ns.segment_volume(volume, {6: box_on(BALL, 6)}, World(), previous=first)
    moved = ns.segment_volume(volume, {7: box_on(BALL, 7)}, World(), previous=first)
    assert same.recomputed == 0
    assert_array_equal(same.labels, first.labels)
    assert moved.recomputed >= np.count_nonzero(BALL.any((1, 2)))
    assert statuses(moved)[6] == "propagated"


def cancelled(after: int, volume: np.ndarray, prompts: dict) -> VolumeResult:
    slices = start_propagation(
        volume, prompts, World(reach=2), contrast_limits=(0, 255)
    )
    assert len(list(islice(slices, after))) == after
    return slices.result()


class Recording(World):
    """Records the slices that were decoded."""

    def __init__(self) -> None:
        super().__init__(score=0.3)
        self.slices: set[int] = set()

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        self.slices.add(int(pixels[0, 0]))  # see `numbered`
        return super().answer(pixels, prompt)


@pytest.mark.parametrize("prompted", [(1,), (1, 12)])
def test_every_slice_yields(prompted: tuple[int, ...]) -> None:
    mask = column(*[25] * 14)
    volume = numbered(mask)
    volume[3:9, 1:25] = DARK  # lost for long, in thin slices
    world = Recording()
    prompts = {1: {i: box_on(mask, i) for i in prompted}}
    decoded = []
    for _ in start_propagation(
        volume, prompts, world, contrast_limits=(0, 255), spacing=(0.1, 1, 1)
    ):
        decoded.append(len(world.slices))
        world.slices.clear()
    assert max(decoded) == 1
    assert sum(decoded) >= len(mask)


@pytest.mark.parametrize("after", range(1, 24, 2))
def test_a_cancelled_propagation_can_be_resumed(after: int) -> None:
    tall = ellipsoid((24, 40, 44), (12, 18, 20), (10, 11, 13))
    prompts = {1: {8: box_on(tall, 8), 14: box_on(tall, 14)}}
    volume = lit(tall)
    expected = ns.segment_volume(
        volume, prompts, World(reach=2), contrast_limits=(0, 255)
    )
    part = cancelled(after, volume, prompts)
    rest = ns.segment_volume(
        volume, prompts, World(reach=2), previous=part, contrast_limits=(0, 255)
    )
    assert_array_equal(rest.labels, expected.labels)
    assert statuses(rest) == statuses(expected)


def test_confidence_depends_on_slice_thickness() -> None:
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
def test_invalid_spacings_raise(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="one positive number per axis"):
        ns.segment_volume(lit(BALL), {6: box_on(BALL, 6)}, World(), spacing=spacing)
