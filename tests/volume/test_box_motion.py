"""Refitting of boxes to objects that grow and move."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from napari_sam.volume.tracking.box_motion import extrapolate_box, refit_box

SHAPE = (80, 90)


def test_a_mask_well_inside_its_box_needs_no_refit() -> None:
    box = np.array([10.0, 20.0, 50.0, 60.0])
    assert refit_box(box, np.add(box, (3, 3, -3, -3)), SHAPE, 0.06) is None


def test_a_side_that_the_mask_touches_moves_outwards() -> None:
    box = np.array([10.0, 20.0, 50.0, 60.0])
    moved = refit_box(box, np.add(box, (3, 3, -3, 0)), SHAPE, 0.06)
    assert moved is not None
    assert_array_equal(moved[:3], box[:3])
    assert moved[3] > box[3]


def test_a_box_follows_a_mask_that_has_moved() -> None:
    box = np.array([10.0, 20.0, 50.0, 60.0])
    moved = refit_box(box, np.add(box, (3, 12, -3, 0)), SHAPE, 0.06)
    assert moved is not None
    assert_array_equal(moved[[0, 2]], box[[0, 2]])
    assert moved[1] > box[1]
    assert_allclose(moved[2:] - moved[:2], box[2:] - box[:2])


def test_a_box_does_not_grow_at_the_border_of_the_plane() -> None:
    box = np.array([0.0, 0.0, SHAPE[0] - 1, SHAPE[1] - 1])
    assert refit_box(box, box, SHAPE, 0.06) is None


@given(box=hnp.arrays(float, 4, elements=st.floats(5, 40)), data=st.data())
def test_refitting_commutes_with_flipping(box: np.ndarray, data: st.DataObject) -> None:
    box = np.concatenate([box[:2], box[:2] + 4 + box[2:]])
    inset = st.floats(0, 1.9)
    mask_box = box + data.draw(hnp.arrays(float, 4, elements=inset)) * (1, 1, -1, -1)

    def mirrored(sides: np.ndarray) -> np.ndarray:
        low = SHAPE[0] - 1 - sides[2]
        return np.array([low, sides[1], SHAPE[0] - 1 - sides[0], sides[3]])

    moved = refit_box(box, mask_box, SHAPE, 0.06)
    other = refit_box(mirrored(box), mirrored(mask_box), SHAPE, 0.06)
    assert (moved is None) == (other is None)
    if moved is not None and other is not None:
        assert_allclose(mirrored(moved), other, atol=1e-9)


def test_a_box_grows_at_once_towards_a_large_goal() -> None:
    small, large = np.array([28.0, 28, 32, 32]), np.array([10.0, 10, 50, 50])
    goal = ((0, small), (9, large))
    slow, fast = (
        extrapolate_box([(0, small)], 1, goal, slice_step=step)
        for step in (None, np.full(2, 2.0))
    )
    sides = np.array([slow, fast])[:, 2:] - np.array([slow, fast])[:, :2] + 1
    # As a ball does, whose poles are 9 slices of 2 pixels apart.
    assert_allclose(sides[1] ** 2, (8 * 5**2 + 41**2) / 9 + 8 / 81 * (2 * 9 * 2) ** 2)
    assert (sides[0] < 5 * 1.4).all()


def test_measured_growth_is_limited_with_a_goal_too() -> None:
    boxes = [(0, np.array([30.0, 30, 31, 31])), (1, np.array([10.0, 10, 50, 50]))]
    goal = (boxes[-1], (5, boxes[-1][1]))
    box = extrapolate_box(boxes, 2, goal, slice_step=np.ones(2))
    assert (box[2:] - box[:2] + 1 <= 41 * np.exp(0.3)).all()


def test_a_box_of_full_size_grows_where_two_opposite_sides_are_touched() -> None:
    box = np.array([10.0, 20.0, 50.0, 60.0])

    def refitted(inset: tuple[int, ...]) -> np.ndarray | None:
        return refit_box(box, np.add(box, inset), SHAPE, 0.06, has_full_size=True)

    assert refitted((3, 3, -3, 0)) is None
    assert refitted((0, 3, -3, 0)) is None
    grown = refitted((3, 0, -3, 0))
    assert grown is not None
    assert_array_equal(grown[[0, 2]], box[[0, 2]])
    assert grown[1] < box[1]
    assert grown[3] > box[3]


def test_a_box_of_full_size_follows_movements() -> None:
    box = np.array([10.0, 20.0, 50.0, 60.0])
    moved = np.add(box, (3, 12, -3, 0))
    expected = refit_box(box, moved, SHAPE, 0.06)
    assert expected is not None
    assert_array_equal(refit_box(box, moved, SHAPE, 0.06, has_full_size=True), expected)
