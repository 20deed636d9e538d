"""Branches: one box around several parts is not answered by what lies between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter

from napari_sam.masks.patch import MaskPatch, mask_iou
from napari_sam.volume.appearance import View
from napari_sam.volume.tracking.branches import branch_boxes, is_clearer

SHAPE = (70, 90)
BOX = np.array([15.0, 20, 54, 69])
LEFT, RIGHT = np.array([15.0, 20, 54, 29]), np.array([20.0, 56, 54, 69])


def filled(*boxes: np.ndarray) -> np.ndarray:
    """Return the pixels of boxes on the plane, bool."""
    mask = np.zeros(SHAPE, bool)
    for row, col, last_row, last_col in np.array(boxes).astype(int):
        mask[row : last_row + 1, col : last_col + 1] = True
    return mask


def view(mask: np.ndarray, contrast: float = 100.0, noise: float = 3.0) -> View:
    """Return a view of a plane that shows a mask, with the box of a user."""
    rng = np.random.default_rng(7)
    light = gaussian_filter(contrast * mask, 0.7) + rng.normal(120, noise, SHAPE)
    return View((0, 0), np.zeros(SHAPE, np.float32), light.astype(np.float32), BOX)


def boxes_of(seen: View, found: np.ndarray) -> np.ndarray:
    boxes = branch_boxes(seen, MaskPatch.from_mask(found))
    return np.array(sorted(boxes, key=lambda box: box[1]))


@pytest.mark.parametrize("contrast", [100.0, -100.0])
def test_branches_are_found_where_the_mask_fills_their_box(contrast: float) -> None:
    seen = view(filled(LEFT, RIGHT), contrast)
    boxes = boxes_of(seen, filled(BOX))
    assert_array_equal(boxes, [LEFT, RIGHT])
    branches = MaskPatch.from_mask(filled(LEFT, RIGHT))
    assert is_clearer(seen, branches, MaskPatch.from_mask(filled(BOX)))


def test_branches_are_found_where_the_mask_is_what_lies_between() -> None:
    between = np.array([15.0, 32, 54, 53])
    seen = view(filled(LEFT, RIGHT))
    assert_array_equal(boxes_of(seen, filled(between)), [LEFT, RIGHT])


def test_a_mask_that_shows_the_branches_is_kept() -> None:
    seen = view(filled(LEFT, RIGHT))
    found = filled(LEFT, RIGHT)
    assert not branch_boxes(seen, MaskPatch.from_mask(found))
    assert not is_clearer(seen, MaskPatch.from_mask(found), MaskPatch.from_mask(found))


@pytest.mark.parametrize("noise", [0.0, 5.0, 60.0])
def test_an_object_of_one_part_is_not_split(noise: float) -> None:
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    disc = np.hypot((rows - 34.5) / 20, (cols - 44.5) / 25) <= 1
    found = np.hypot((rows - 34.5) / 18, (cols - 44.5) / 22) <= 1
    assert not branch_boxes(view(disc, noise=noise), MaskPatch.from_mask(found))


def test_parts_far_smaller_than_the_box_are_not_branches() -> None:
    specks = filled(np.array([20.0, 25, 24, 29]), np.array([20.0, 33, 24, 36]))
    assert not branch_boxes(view(specks), MaskPatch.from_mask(filled(BOX)))


def test_a_flat_plane_has_no_branches() -> None:
    seen = view(np.zeros(SHAPE, bool), noise=0.0)
    assert not branch_boxes(seen, MaskPatch.from_mask(filled(BOX)))


@given(
    gain=st.floats(0.1, 1e4),
    offset=st.floats(-1e4, 1e4),
    shift=st.tuples(st.integers(0, 500), st.integers(0, 500)),
)
def test_units_and_the_place_of_the_view_change_nothing(
    gain: float, offset: float, shift: tuple[int, int]
) -> None:
    seen = view(filled(LEFT, RIGHT))
    by = np.tile(shift, 2)
    gray = (seen.gray.astype(float) * gain + offset).astype(np.float32)
    other = View(shift, seen.logits, gray, BOX + by)
    found = MaskPatch.from_mask(filled(BOX), shift)
    boxes = sorted(branch_boxes(other, found), key=lambda box: float(box[1]))
    assert_array_equal(boxes, [LEFT + by, RIGHT + by])


@pytest.mark.weights
@pytest.mark.parametrize("gap", [14, 30])
def test_one_box_around_two_branches_gives_both(gap: int) -> None:
    import napari_sam as ns

    rng = np.random.default_rng(3)
    rows, cols = np.ogrid[:200, :200]
    truth = np.zeros((200, 200), bool)
    for sign in (-1, 1):
        truth |= np.hypot(rows - 90 - 8 * sign, cols - 100 - sign * (gap / 2 + 7)) <= 7
    plane = gaussian_filter(600.0 * truth, 1) + 100
    stack = rng.poisson(np.stack([plane] * 3)).astype(np.uint16)
    box = (75, 100 - gap // 2 - 14, 105, 100 + gap // 2 + 14)
    prompts = {1: {1: ns.Prompt(box=box)}}
    labels = ns.segment_volume(stack, prompts, ns.load_model("lite_medsam")).labels
    for found in labels:
        assert mask_iou(found == 1, truth) > 0.8
