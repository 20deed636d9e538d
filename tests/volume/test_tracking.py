"""Tracking: two directions that disagree."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.images.stack import Stack
from napari_sam.masks.patch import MaskPatch
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.volume.object_windows import ObjectWindows
from napari_sam.volume.results import PropagationOptions
from napari_sam.volume.slice_ranges import SliceRange
from napari_sam.volume.tracking.merging import merge_directions
from napari_sam.volume.tracking.object_tracker import ObjectTracker
from napari_sam.volume.tracking.observation import Observation
from tests.helpers.models import World

LAST = 8
HERE, ELSEWHERE = (MaskPatch((row, 5), np.ones((6, 6), np.float32)) for row in (4, 20))


def square(side: int) -> MaskPatch:
    return MaskPatch.from_mask(np.ones((side, side), bool), (15, 15))


def tracker(
    direction: int,
    options: PropagationOptions,
    patches: tuple[MaskPatch, MaskPatch] = (HERE, HERE),
) -> ObjectTracker:
    """Make a tracker between two prompted slices."""
    stack = Stack(np.zeros((LAST + 1, 40, 40), np.uint8))
    known = zip((0, LAST), patches, strict=True)
    ends = [Observation(index, patch) for index, patch in known][::direction]
    windows = ObjectWindows(WindowGrid.of(World(), stack.plane_shape), "off")
    slice_range = SliceRange(1, 1, LAST - 1, 0, LAST)
    return ObjectTracker(
        slice_range, direction, *ends, ends[1], None, stack, options, windows, None
    )


@pytest.mark.parametrize(("fit_border", "expected"), [(True, HERE), (False, ELSEWHERE)])
def test_where_directions_disagree_the_surer_mask_counts(
    fit_border: bool, expected: MaskPatch
) -> None:
    options = PropagationOptions(fit_border=fit_border)
    up, down = (tracker(direction, options) for direction in (1, -1))
    # Slice 2 is nearer to where the wrong mask comes from.
    list(up.update(Observation(2, ELSEWHERE, 0.9, 0.4, 0.4)))
    list(down.update(Observation(2, HERE, 0.9, 0.97, 0.97)))
    merged = {result.index: result for result in merge_directions(up, down)}
    assert merged[2].origin == expected.origin
    assert_array_equal(merged[2].mask, expected.mask)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("first", [2, 4, 7])
def test_a_tube_is_not_expected_wider_than_its_drawn_ends(
    direction: int, first: int
) -> None:
    # The ball through both discs, 8 slices apart, has a radius of 4 pixels at least.
    patches = square(first), square(5)
    following = tracker(direction, PropagationOptions(), patches)
    expected = following.expect(LAST // 2, (40, 40), frozenset({"box"}))
    assert expected is not None
    box = expected.patch.box
    assert (box[2:] - box[:2] + 1 <= max(first, 5)).all()
