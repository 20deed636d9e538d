"""Expected mask on the next slice, and its prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from napari_sam.masks.patch import MaskPatch, mask_to_box, mask_to_window
from napari_sam.volume.tracking.box_motion import user_margin
from napari_sam.volume.tracking.mask_projection import (
    CrossSection,
    ExpectedMask,
    combine,
    expect,
    split_parts,
)

SHAPE = (80, 90)
BOX = frozenset({"box"})
GRID = np.indices(SHAPE).T


def patch_of(mask: np.ndarray) -> MaskPatch:
    window = mask_to_window(mask)
    assert window is not None
    logits = np.where(mask, 1.0, -1.0).astype(np.float32)[window]
    return MaskPatch((window[0].start, window[1].start), logits)


def disc(row: float, col: float, radius: float) -> np.ndarray:
    inside: np.ndarray = (((GRID - (row, col)) ** 2).sum(-1) <= radius**2).T
    return inside


def section(index: int, mask: np.ndarray) -> CrossSection:
    return CrossSection.of(index, patch_of(mask))


def expected_mask(*args: Any, **kwargs: Any) -> ExpectedMask:
    expected = expect(*args, **kwargs)
    assert expected is not None
    return expected


def full_mask(patch: MaskPatch) -> np.ndarray:
    plane = np.zeros(SHAPE, bool)
    plane[patch.region] = patch.mask
    return plane


def test_one_slice_is_expected_unchanged() -> None:
    mask = disc(30, 40, 12)
    expected = expected_mask([section(5, mask)], 6, SHAPE, margin=0, kinds=BOX)
    assert_array_equal(full_mask(expected.patch), mask)
    (prompt,) = expected.prompts
    # The smallest margin is one pixel.
    assert_allclose(prompt.box, np.add(mask_to_box(mask), (-1, -1, 1, 1)))
    assert prompt.kinds == BOX


@pytest.mark.parametrize("step", [1, -1])
def test_motion_and_growth_continue(step: int) -> None:
    history = [section(10 + step * i, disc(30, 30 + 4 * i, 10 + i)) for i in range(3)]
    expected = expected_mask(history, 10 + step * 3, SHAPE, margin=0, kinds=BOX)
    box = mask_to_box(full_mask(expected.patch))
    assert box is not None
    last = mask_to_box(disc(30, 38, 12))
    assert last is not None
    assert 1 <= (box[1] + box[3] - last[1] - last[3]) / 2 <= 4
    assert last[3] - last[1] < box[3] - box[1] <= last[3] - last[1] + 2


def test_the_expected_mask_moves_towards_the_goal() -> None:
    start, goal = section(0, disc(40, 20, 10)), section(10, disc(40, 70, 10))
    expected = expected_mask([start], 1, SHAPE, margin=0, kinds=BOX, goal=goal)
    assert_array_equal(full_mask(expected.patch), disc(40, 25, 10))


@pytest.mark.parametrize("upwards", [True, False])
def test_an_object_shrinks_late_towards_its_end(upwards: bool) -> None:
    # A ball of radius 30 in slices of 3: its middle and its last slice but one.
    radii = [np.sqrt(30**2 - (3 * index) ** 2) for index in range(10)]
    first, last = (0, 9) if upwards else (9, 0)
    start, goal = (section(i, disc(40, 45, radii[i])) for i in (first, last))
    for index in range(1, 9):
        expected = expected_mask([start], index, SHAPE, margin=0, kinds=BOX, goal=goal)
        box = mask_to_box(full_mask(expected.patch))
        assert box is not None
        evenly = np.interp(index, [0, 9], [radii[0], radii[9]])
        assert evenly <= (box[3] - box[1] + 1) / 2 <= radii[index] + 1


def test_the_margin_of_the_user_is_kept_on_other_slices() -> None:
    mask = disc(40, 45, 20)
    box = mask_to_box(mask)
    assert box is not None
    # Of 40: a tenth, none, less than usual, too much.
    drawn = np.add(box, (-4, 0, 1, 90))
    margin = user_margin(drawn, box, 0.06)
    assert_allclose(margin, [0.1, 0.06, 0.06, 0.12])
    expected = expected_mask([section(0, mask)], 1, SHAPE, margin=margin, kinds=BOX)
    assert_allclose(expected.prompts[0].box, box + 40 * margin * (-1, -1, 1, 1))


def test_an_object_that_left_the_plane_is_not_expected() -> None:
    history = [section(i, disc(40, 20 - 9 * i, 10)) for i in range(3)]
    expected_mask(history, 3, SHAPE, margin=0, kinds=BOX)
    assert expect(history, 9, SHAPE, margin=0, kinds=BOX) is None


def test_each_branch_gets_a_prompt() -> None:
    both = disc(40, 25, 8) | disc(40, 65, 10)
    expected = expected_mask([section(3, both)], 4, SHAPE, margin=0, kinds=BOX)
    assert len(expected.prompts) == 2
    assert_array_equal(full_mask(expected.patch), both)
    boxes = sorted(prompt.box[1] for prompt in expected.prompts)
    assert_allclose(boxes, [25 - 9, 65 - 11])


def test_branches_keep_their_own_motion() -> None:
    history = [
        section(i, disc(40, 30 - 3 * i, 8) | disc(40, 60 + 3 * i, 8)) for i in range(3)
    ]
    expected = expected_mask(history, 3, SHAPE, margin=0, kinds=BOX)
    left, right = sorted(part.box[[1, 3]].mean() for part in expected.parts)
    assert left < 24
    assert right > 66


def test_small_components_get_no_prompt() -> None:
    mask = disc(40, 40, 12)
    mask[5, 5] = True
    assert len(split_parts(patch_of(mask))) == 1


def test_holes_are_expected_and_subtracted() -> None:
    ring = disc(40, 40, 20) & ~disc(40, 40, 8)
    expected = expected_mask([section(3, ring)], 4, SHAPE, margin=0, kinds=BOX)
    assert [part.is_hole for part in expected.parts] == [False, True]
    assert_array_equal(full_mask(expected.patch), ring)


def test_prompts_have_the_kinds_that_are_asked_for() -> None:
    ring = disc(40, 40, 20) & ~disc(40, 40, 8)
    kinds = frozenset({"box", "point", "mask"})
    expected = expected_mask([section(3, ring)], 4, SHAPE, margin=0.1, kinds=kinds)
    prompt = expected.prompts[0]
    assert prompt.kinds == kinds
    row, col = prompt.positives[0].astype(int)
    assert ring[row, col]
    assert_allclose(prompt.negatives, [(40, 40)])


@given(data=st.data())
def test_the_next_prompt_does_not_depend_on_the_crop(data: st.DataObject) -> None:
    plane = data.draw(hnp.arrays(bool, st.tuples(*[st.integers(1, 9)] * 2)))
    plane.flat[data.draw(st.integers(0, plane.size - 1))] = True
    kinds = frozenset({"point", "box"})
    full = MaskPatch((0, 0), np.where(plane, 1.0, -1.0))
    rows, cols = mask_to_window(plane)
    crop = MaskPatch((rows.start, cols.start), full.logits[rows, cols])
    first, second = (
        expected_mask([CrossSection.of(0, p)], 1, plane.shape, margin=0.05, kinds=kinds)
        for p in (full, crop)
    )
    for one, other in zip(first.prompts, second.prompts, strict=True):
        assert_array_equal(one.box, other.box)
        assert_array_equal(one.points, other.points)


def test_components_combine_by_largest_logit_and_holes_win() -> None:
    one = MaskPatch((0, 0), np.full((4, 4), 2.0, np.float32))
    other = MaskPatch((2, 2), np.full((4, 4), 5.0, np.float32))
    hole = MaskPatch((3, 3), np.full((1, 1), 1.0, np.float32))
    joined = combine([one, other], [hole])
    assert joined.origin == (0, 0)
    assert joined.logits.shape == (6, 6)
    assert joined.logits[2, 2] == 5
    assert not joined.mask[3, 3]
    assert not joined.mask[0, 5]
    assert np.count_nonzero(joined.mask) == 16 + 16 - 4 - 1
