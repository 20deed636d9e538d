"""Painting of objects into labels: changed pixels by overlap policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.masks.painting import (
    POLICIES,
    ObjectPlaneMask,
    next_free_label,
    paint_pieces,
    pieces_from_patches,
    plan_changes,
)
from napari_sam.masks.patch import MaskPatch, mask_to_window, resolve_overlaps
from tests.helpers.requests import painted

if TYPE_CHECKING:
    from napari_sam.masks.painting import PixelChanges, Policy

FULL = slice(None)


@dataclass(frozen=True)
class Case:
    """Labels, and objects that do not overlap, as an array of their ids."""

    data: np.ndarray
    objects: np.ndarray
    pieces: list[ObjectPlaneMask]
    ids: dict[int, int]
    policy: Policy
    replaced: set[int]

    def plan(self) -> PixelChanges:
        return plan_changes(
            self.data, self.pieces, self.ids, self.policy, self.replaced
        )

    @property
    def new_labels(self) -> np.ndarray:
        """Labels of the objects at each pixel; 0 outside them."""
        return np.array([0, *(self.ids[object_id] for object_id in (1, 2, 3))])[
            self.objects
        ]

    @property
    def others(self) -> np.ndarray:
        """Pixels of other labels that are not replaced."""
        erased = list(self.replaced) if self.policy != "background" else []
        there = (self.data != 0) & (self.data != self.new_labels)
        return there & ~np.isin(self.data, erased)

    @property
    def planes(self) -> np.ndarray:
        """True on planes that have pieces."""
        touched = np.zeros(self.data.shape, bool)
        for piece in self.pieces:
            touched[piece.plane_index] = True
        return touched


@st.composite
def cases(draw: st.DrawFn, policies: tuple[Policy, ...] = POLICIES) -> Case:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6))
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.int32, np.uint64]))
    data = draw(hnp.arrays(dtype, shape, elements=st.integers(0, 5)))
    objects = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 3)))
    # Planes along any two axes.
    rows, cols = sorted(draw(st.permutations(range(len(shape))))[:2])
    pieces = []
    others = [1 if axis in (rows, cols) else size for axis, size in enumerate(shape)]
    for position in np.ndindex(*others):
        plane_index = tuple(
            FULL if axis in (rows, cols) else index
            for axis, index in enumerate(position)
        )
        for object_id in (1, 2, 3):
            mask = objects[plane_index] == object_id
            window = mask_to_window(mask)
            if window is not None:
                origin = window[0].start, window[1].start
                pieces.append(
                    ObjectPlaneMask(object_id, plane_index, origin, mask[window])
                )
    return Case(
        data,
        objects,
        draw(st.permutations(pieces)),
        draw(st.fixed_dictionaries({n: st.integers(1, 7) for n in (1, 2, 3)})),
        draw(st.sampled_from(policies)),
        draw(st.sets(st.integers(1, 7), max_size=3)),
    )


def applied(case: Case) -> np.ndarray:
    changes = case.plan()
    after = case.data.copy()
    after[changes.indices] = changes.values
    return after


@given(case=cases())
def test_changes_list_each_changed_pixel_once(case: Case) -> None:
    before = case.data.copy()
    changes = case.plan()
    np.testing.assert_array_equal(case.data, before)
    assert len(changes.indices) == case.data.ndim
    assert changes.values.dtype == case.data.dtype
    assert (case.data[changes.indices] != changes.values).all()
    pixels = set(zip(*(axis.tolist() for axis in changes.indices), strict=True))
    assert len(pixels) == len(changes.values)


@given(case=cases(("keep",)))
def test_keep_leaves_other_labels(case: Case) -> None:
    after = applied(case)
    np.testing.assert_array_equal(after[case.others], case.data[case.others])
    free = (case.objects > 0) & ~case.others
    np.testing.assert_array_equal(after[free], case.new_labels[free])


@given(case=cases(("background",)))
def test_background_paints_only_background(case: Case) -> None:
    after = applied(case)
    np.testing.assert_array_equal(after[case.data != 0], case.data[case.data != 0])
    ground = case.data == 0
    np.testing.assert_array_equal(after[ground], case.new_labels[ground])


@given(case=cases(("overwrite",)))
def test_overwrite_paints_all_pixels_of_the_objects(case: Case) -> None:
    inside = case.objects > 0
    np.testing.assert_array_equal(applied(case)[inside], case.new_labels[inside])
    assert case.plan().kept == 0


@given(case=cases())
def test_outside_the_objects_only_replaced_labels_change(case: Case) -> None:
    after, around = applied(case), case.objects == 0
    vanish = case.planes & np.isin(case.data, list(case.replaced))
    if case.policy == "background":
        vanish[:] = False
    np.testing.assert_array_equal(after[around & vanish], 0)
    stay = around & ~vanish
    np.testing.assert_array_equal(after[stay], case.data[stay])


@given(case=cases(("keep", "overwrite")))
def test_replaced_labels_remain_only_inside_the_objects(case: Case) -> None:
    left = case.planes & np.isin(applied(case), list(case.replaced))
    np.testing.assert_array_equal(left & (case.objects == 0), False)
    np.testing.assert_array_equal(applied(case)[left], case.new_labels[left])


@given(case=cases(("keep", "background")))
def test_kept_counts_the_pixels_of_other_labels(case: Case) -> None:
    brute = 0
    for pixel in np.ndindex(*case.data.shape):
        brute += bool(case.objects[pixel] and case.others[pixel])
    assert case.plan().kept == brute


@given(case=cases())
def test_old_values_restore_the_labels(case: Case) -> None:
    changes = case.plan()
    data = case.data.copy()
    old = data[changes.indices].copy()
    data[changes.indices] = changes.values
    again = plan_changes(data, case.pieces, case.ids, case.policy)
    assert len(again.values) == 0  # painting twice changes nothing more
    data[changes.indices] = old
    np.testing.assert_array_equal(data, case.data)


@pytest.mark.parametrize("side", [40, 1000])
def test_pieces_far_apart_change_what_pieces_nearby_do(side: int) -> None:
    data = np.zeros((2, side, side), np.int32)
    corners = [(0, 0), (0, side - 3), (side - 3, 0), (side - 3, side - 3)]
    data[0, :2, :2], data[1, -1] = 7, 8
    pieces = [
        ObjectPlaneMask(number, (plane, FULL, FULL), corner, np.ones((3, 3), bool))
        for plane in (0, 1)
        for number, corner in enumerate(corners, start=1)
    ]
    changes = plan_changes(data, pieces, {1: 1, 2: 2, 3: 3, 4: 4})
    assert changes.kept == 4 + 6
    data[changes.indices] = changes.values
    for piece in pieces:
        painted = data[piece.plane_index][piece.region]
        assert set(np.unique(painted)) <= {piece.object_id, 7, 8}
    assert np.count_nonzero(data) == 8 * 9 + side - 6
    assert len(changes.values) == 8 * 9 - 10


@pytest.mark.parametrize("replaced", [(), (1,)])
def test_no_pieces_change_nothing(replaced: tuple[int, ...]) -> None:
    data = np.ones((3, 4, 5), np.int16)
    changes = plan_changes(data, [], {}, "keep", replaced)
    data[changes.indices] = changes.values
    assert len(changes.values) == changes.kept == 0
    assert (data == 1).all()


def test_replaced_labels_stay_on_planes_without_pieces() -> None:
    data = np.full((3, 4, 5), 2)
    piece = ObjectPlaneMask(1, (1, FULL, FULL), (0, 0), np.ones((2, 2), bool))
    changes = plan_changes(data, [piece], {1: 2}, "keep", {2})
    data[changes.indices] = changes.values
    assert (data[[0, 2]] == 2).all()
    assert np.count_nonzero(data[1]) == 4


@given(data=hnp.arrays(np.uint16, (3, 4), elements=st.integers(0, 2**16 - 1)))
def test_next_free_label_is_above_the_largest(data: np.ndarray) -> None:
    assert next_free_label(data) == max(data.ravel().tolist()) + 1


@pytest.mark.parametrize("empty", [np.zeros((0, 4), int), np.zeros((2, 2), np.uint8)])
def test_next_free_label_of_empty_labels_is_1(empty: Any) -> None:
    assert next_free_label(empty) == 1


patches = st.builds(
    MaskPatch,
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5),
        elements=st.sampled_from([-1.0, 1.0, 2.0, 3.0]),
    ),
)


@given(members=st.lists(patches, max_size=5), fixed=st.sampled_from([(), (2,)]))
def test_pieces_do_not_overlap_and_are_tight(
    members: list[MaskPatch], fixed: Any
) -> None:
    object_ids = [*range(1, len(members) + 1)]
    index = (*fixed, FULL, FULL)
    shape = (*(3 for _ in fixed), 10, 10)
    pieces = pieces_from_patches(object_ids, index, members)
    expected = np.zeros(shape, int)
    for object_id, patch, mask in zip(
        object_ids, members, resolve_overlaps(members), strict=True
    ):
        expected[index][patch.region][mask] = object_id
    np.testing.assert_array_equal(painted(pieces, shape), expected)
    np.testing.assert_array_equal(paint_pieces(pieces, shape), expected)
    for piece in pieces:  # tight
        assert piece.plane_index == index
        for axis in (0, 1):
            assert piece.mask.any(axis=axis)[[0, -1]].all()
