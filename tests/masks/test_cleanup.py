"""Clean-up of results and of single labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from napari_sam.masks.cleanup import (
    CleanUp,
    LabelCleanUp,
    clean_up_pieces,
    prompted_pixels,
)
from napari_sam.masks.morphology import fill_holes
from napari_sam.masks.painting import ObjectPlaneMask, paint_pieces
from napari_sam.masks.patch import MaskPatch, mask_to_window
from napari_sam.prompts.prompt import Prompt
from tests.helpers.cleanup import clean_up_labels

labels_3d = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.sampled_from([0, 0, 1, 2, 3]),
)
cleanups = st.builds(CleanUp, st.booleans(), st.booleans(), st.floats(0, 2))
ALL = CleanUp(keep_prompted=True, fill_holes=True, smooth=1.0, min_size=4)


def scene() -> np.ndarray:
    """(6, 12, 14): object 5 with a hole, an island and object 9 inside."""
    labels = np.zeros((6, 12, 14), np.int32)
    labels[1:5, 1:9, 1:9] = 5
    labels[2, 3, 3] = 0
    labels[2, 5:7, 5:7] = 9
    labels[3, 10, 12] = 5
    return labels


def as_pieces(labels: np.ndarray, axis: int = 0) -> list[ObjectPlaneMask]:
    pieces = []
    for i in range(labels.shape[axis]):
        plane_index = tuple(i if a == axis else slice(None) for a in range(3))
        plane = labels[plane_index]
        for object_id in np.unique(plane[plane > 0]):
            window = mask_to_window(plane == object_id)
            assert window is not None
            origin = window[0].start, window[1].start
            mask = plane[window] == object_id
            pieces.append(ObjectPlaneMask(int(object_id), plane_index, origin, mask))
    return pieces


def cleaned(
    labels: np.ndarray, cleanup: CleanUp, axis: int = 0, seeds: Any = None
) -> np.ndarray:
    """Clean up all objects as pieces, and paint them."""
    pieces = clean_up_pieces(as_pieces(labels, axis), cleanup, seeds or {}, axis)
    painted = paint_pieces(pieces, labels.shape)
    # No voxel is given to two objects.
    assert np.count_nonzero(painted) == sum(piece.mask.sum() for piece in pieces)
    keys = [(piece.plane_index[axis], piece.object_id) for piece in pieces]
    assert keys == sorted(keys)
    return painted


# -- options -------------------------------------------------------------------


def test_clean_up_is_false_when_no_step_is_on() -> None:
    assert not CleanUp()
    assert not CleanUp(min_size=1)
    assert all(CleanUp(**{name: 2}) for name in ("smooth", "min_size"))
    assert all(CleanUp(**{name: True}) for name in ("fill_holes", "keep_prompted"))
    assert_array_equal(cleaned(scene(), CleanUp()), scene())


def test_steps_are_done_in_order() -> None:
    # An island would close the hole if it were still there.
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 1, 0:3] = mask[0, 2, 0] = mask[0, 2, 2] = mask[0, 3, 0:3] = True
    assert_array_equal(ALL.apply(mask), fill_holes(mask, 0))


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ValueError, match="smooth=-1: give"):
        CleanUp(smooth=-1)
    with pytest.raises(ValueError, match="min_size=-2: give"):
        CleanUp(min_size=-2)
    with pytest.raises(ValueError, match="does not fit 3 axes"):
        ALL.apply(scene() == 5, spacing=(1, 1))


# -- results -------------------------------------------------------------------


@settings(max_examples=80)
@given(labels=labels_3d, cleanup=cleanups, axis=st.integers(0, 2))
def test_pieces_are_cleaned_like_labels(
    labels: np.ndarray, cleanup: CleanUp, axis: int
) -> None:
    # Of components of one size the first remains, slices counted first.
    upright = clean_up_labels(np.moveaxis(labels, axis, 0), cleanup)
    expected = np.moveaxis(upright, 0, axis)
    assert_array_equal(cleaned(labels, cleanup, axis), expected)


@given(labels=labels_3d, size=st.integers(0, 6))
def test_small_components_are_removed(labels: np.ndarray, size: int) -> None:
    cleanup = CleanUp(min_size=size)
    assert_array_equal(cleaned(labels, cleanup), clean_up_labels(labels, cleanup))


def test_a_hole_is_filled_around_another_object() -> None:
    expected = scene()
    expected[2, 3, 3] = 5
    assert_array_equal(cleaned(scene(), CleanUp(fill_holes=True)), expected)


def test_islands_are_removed() -> None:
    expected = scene()
    expected[3, 10, 12] = 0
    for cleanup in (CleanUp(keep_prompted=True), CleanUp(min_size=2)):
        assert_array_equal(cleaned(scene(), cleanup), expected)


def test_prompted_islands_are_kept_and_the_rest_removed() -> None:
    seeds = {5: [(3, 10, 12)]}
    after = cleaned(scene(), CleanUp(keep_prompted=True), seeds=seeds)
    assert np.argwhere(after == 5).tolist() == [[3, 10, 12]]
    assert (after == 9).sum() == 4


def test_the_lower_id_gets_background_that_two_objects_enclose() -> None:
    labels = np.zeros((2, 7, 7), np.int32)
    labels[:, :, 0] = labels[:, 0] = labels[:, -1] = labels[:, :, -1] = 1
    labels[:, 2, 2:5] = labels[:, 4, 2:5] = labels[:, 3, 2] = labels[:, 3, 4] = 2
    after = cleaned(labels, CleanUp(fill_holes=True))
    assert (after == 2).sum() == (labels == 2).sum()
    assert (after != 0).all()


def test_removed_objects_make_room_for_the_others() -> None:
    labels = np.zeros((1, 5, 5), np.int32)
    labels[0, 1:4, 1:4] = 1
    labels[0, 2, 2] = 2
    after = cleaned(labels, CleanUp(fill_holes=True, min_size=2))
    assert (after[0, 1:4, 1:4] == 1).all()


def test_a_single_plane() -> None:
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    plane_index = (slice(None), slice(None))
    piece = ObjectPlaneMask(1, plane_index, (2, 5), mask)
    (piece,) = clean_up_pieces([piece], CleanUp(fill_holes=True), {})
    assert (piece.plane_index, piece.origin) == (plane_index, (2, 5))
    assert piece.mask.all()


def test_no_pieces() -> None:
    assert clean_up_pieces([], ALL, {}) == []


def test_prompted_pixels_are_points_or_the_innermost_pixel() -> None:
    patch = MaskPatch.from_mask(np.ones((3, 5), bool), (10, 20))
    clicked = Prompt(points=[(4.6, 2), (9, 9)], labels=[1, 0])
    assert prompted_pixels(clicked, patch).tolist() == [[5, 2]]
    boxed = Prompt(box=(0, 0, 90, 90))
    ((row, col),) = prompted_pixels(boxed, patch).tolist()
    assert row == 11
    assert 20 < col < 24
    assert prompted_pixels(boxed, MaskPatch.empty()).shape == (0, 2)


# -- one label of an array -----------------------------------------------------


@settings(max_examples=60)
@given(labels=labels_3d, cleanup=cleanups, axis=st.integers(0, 2), data=st.data())
def test_one_label_is_cleaned_and_no_other_changes(
    labels: np.ndarray, cleanup: CleanUp, axis: int, data: Any
) -> None:
    ids = np.unique(labels[labels > 0]).tolist()
    if not ids:
        return
    label = data.draw(st.sampled_from(ids))
    series = np.stack([labels * 0, labels])
    job = LabelCleanUp(label, cleanup, axis + 1, {0: 1})
    again = LabelCleanUp.from_json(job.to_json())
    assert again == job
    changes = again.changes(series)
    series[changes.indices] = changes.values
    assert not series[0].any()
    assert_array_equal(series[1], clean_up_labels(labels, cleanup, [label], axis))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64, ">i2"])
def test_a_label_of_a_plane_of_any_integer_dtype(dtype: Any) -> None:
    labels = np.ones((3, 4), dtype)
    labels[1, 2] = 0
    changes = LabelCleanUp(1, CleanUp(fill_holes=True)).changes(labels)
    assert [a.tolist() for a in changes.indices] == [[1], [2]]
    assert changes.values.tolist() == [1]
    assert changes.values.dtype == dtype


def test_missing_and_vanishing_labels_are_refused() -> None:
    labels = np.ones((3, 4), np.uint8)
    with pytest.raises(ValueError, match="no label 2"):
        LabelCleanUp(2, CleanUp(fill_holes=True)).changes(labels)
    with pytest.raises(ValueError, match="Nothing of label 1"):
        LabelCleanUp(1, CleanUp(min_size=99)).changes(labels)
