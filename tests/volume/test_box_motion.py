"""Refitting of boxes to objects that grow and move."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from napari_sam.volume.tracking.box_motion import refit_box

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
