"""Objects that wait are cleaned as labels are; a label is cleaned where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.cleanup_objects import LabelCleaning, clean_pieces
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.masks.patch import mask_to_window
from tests.helpers.cleanup import apply_to_labels, object_windows

labels_3d = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.sampled_from([0, 0, 1, 2, 3]),
)
cleanups = st.builds(CleanUp, st.booleans(), st.booleans(), st.floats(0, 2))


def as_pieces(labels: np.ndarray, axis: int) -> list[ObjectPlaneMask]:
    """What lies on the planes across an axis, each object cut to its box."""
    pieces = []
    for plane_index in range(labels.shape[axis]):
        index = tuple(plane_index if a == axis else slice(None) for a in range(3))
        for number in (n for n in np.unique(labels[index]) if n):
            mask = labels[index] == number
            window = mask_to_window(mask)
            assert window is not None
            origin = window[0].start, window[1].start
            pieces.append(ObjectPlaneMask(int(number), index, origin, mask[window]))
    return pieces


def painted(pieces: list[ObjectPlaneMask], shape: tuple[int, ...]) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for piece in pieces:
        part = labels[piece.index][piece.region]
        assert not part[piece.mask].any()  # nothing is given twice
        part[piece.mask] = piece.number
    return labels


@settings(max_examples=80)
@given(labels=labels_3d, cleanup=cleanups, axis=st.integers(0, 2))
def test_waiting_objects_end_as_labels_do(
    labels: np.ndarray, cleanup: CleanUp, axis: int
) -> None:
    cleaned = clean_pieces(as_pieces(labels, axis), cleanup, {}, axis)
    # Of parts of the same size the first one is the largest, slices counted first.
    upright = apply_to_labels(np.moveaxis(labels, axis, 0), cleanup)
    expected = np.moveaxis(upright, 0, axis)
    assert_array_equal(painted(cleaned, labels.shape), expected)


@given(labels=labels_3d, size=st.integers(0, 6))
def test_parts_that_are_too_small_are_gone(labels: np.ndarray, size: int) -> None:
    cleaned = clean_pieces(as_pieces(labels, 0), CleanUp(min_size=size), {}, 0)
    expected = apply_to_labels(labels, CleanUp(min_size=size))
    assert_array_equal(painted(cleaned, labels.shape), expected)


def test_what_vanishes_makes_room_for_the_others() -> None:
    labels = np.zeros((1, 5, 5), np.int32)
    labels[0, 1:4, 1:4] = 1
    labels[0, 2, 2] = 2
    cleanup = CleanUp(fill_holes=True, min_size=2)
    cleaned = clean_pieces(as_pieces(labels, 0), cleanup, {}, 0)
    assert (painted(cleaned, labels.shape)[0, 1:4, 1:4] == 1).all()


def test_the_part_of_the_prompt_is_kept() -> None:
    labels = np.zeros((2, 6, 9), np.int32)
    labels[:, 1:5, 1:5] = 1
    labels[0, 2, 7] = 1
    pieces = as_pieces(labels, 0)
    seeds = {1: [(0, 2, 7)]}
    cleaned = clean_pieces(pieces, CleanUp(keep_prompted=True), seeds, 0)
    assert np.argwhere(painted(cleaned, labels.shape)).tolist() == [[0, 2, 7]]


def test_a_single_plane() -> None:
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    index = (slice(None), slice(None))
    (piece,) = clean_pieces(
        [ObjectPlaneMask(1, index, (2, 5), mask)], CleanUp(fill_holes=True), {}
    )
    assert (piece.index, piece.origin) == (index, (2, 5))
    assert piece.mask.all()


@settings(max_examples=60)
@given(labels=labels_3d, cleanup=cleanups, axis=st.integers(0, 2), data=st.data())
def test_one_label_is_cleaned_and_no_other_changes(
    labels: np.ndarray, cleanup: CleanUp, axis: int, data: Any
) -> None:
    there = list(object_windows(labels))
    if not there:
        return
    label = data.draw(st.sampled_from(there))
    series = np.stack([labels * 0, labels])
    job = LabelCleaning(label, cleanup, axis + 1, {0: 1})
    again = LabelCleaning.from_json(job.to_json())
    assert again == job
    changes = again.changes(series)
    series[changes.indices] = changes.values
    assert not series[0].any()
    assert_array_equal(series[1], apply_to_labels(labels, cleanup, [label], axis))


def test_a_label_of_a_plane() -> None:
    labels = np.ones((3, 4), np.uint8)
    labels[1, 2] = 0
    changes = LabelCleaning(1, CleanUp(fill_holes=True)).changes(labels)
    assert [a.tolist() for a in changes.indices] == [[1], [2]]
    assert changes.values.dtype == np.uint8


def test_what_cannot_be_cleaned_is_refused() -> None:
    labels = np.ones((3, 4), np.uint8)
    with pytest.raises(ValueError, match="no label 2 here: select another"):
        LabelCleaning(2, CleanUp(fill_holes=True)).changes(labels)
    with pytest.raises(ValueError, match="Nothing of label 1 would remain"):
        LabelCleaning(1, CleanUp(min_size=99)).changes(labels)
