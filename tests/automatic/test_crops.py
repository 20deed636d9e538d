"""Crops cover the plane, overlap, and detect objects that they cut off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.automatic.crops import Crop, make_crops

SIDES = st.integers(8, 300)


@given(st.tuples(SIDES, SIDES), st.integers(0, 2))
def test_every_layer_covers_the_area_and_stays_inside(
    shape: tuple[int, int], n_layers: int
) -> None:
    area = Crop((3, 5), shape)
    crops = make_crops(area, n_layers)
    assert len(crops) == sum(4**layer for layer in range(n_layers + 1))
    for layer in range(n_layers + 1):
        covered = np.zeros((3 + shape[0], 5 + shape[1]), int)
        for crop in (c for c in crops if c.layer == layer):
            part = covered[crop.window]
            assert part.shape == crop.shape
            part += 1
        assert covered[3:, 5:].all()
        assert not covered[:3].any()
        assert not covered[:, :5].any()


def test_objects_are_cut_at_inner_edges_only() -> None:
    crop = Crop((0, 50), (100, 100))
    plane = (200, 150)
    assert not crop.cuts(np.array([0, 70, 40, 149]), plane)  # top and right border
    assert crop.cuts(np.array([20, 51, 40, 80]), plane)  # the left edge
    assert crop.cuts(np.array([60, 70, 98, 90]), plane)  # the bottom edge
    assert not crop.cuts(np.array([20, 60, 40, 80]), plane)


def test_a_crop_of_the_full_plane_cuts_nothing() -> None:
    assert not Crop((0, 0), (40, 50)).cuts(np.array([0, 0, 39, 49]), (40, 50))


def test_a_negative_number_of_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        make_crops(Crop((0, 0), (10, 10)), -1)
