"""Nearest and central pixels along an axis."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.axes import check_axis, check_spacing, nearest, sample_centres


def test_nearest_rounds_half_up_and_ignores_rounding_errors() -> None:
    positions = [-0.5, -0.4, 0.5, 1.5, 1.5 - 1e-9, 2.49, 1.4999]
    assert nearest(positions).tolist() == [0, 0, 1, 2, 2, 2, 1]
    assert int(nearest(2.5)) == 3


@given(size=st.integers(1, 3000), count=st.integers(1, 3000))
def test_sample_centres_are_the_centres_of_equal_parts(size: int, count: int) -> None:
    exact = [int((i + Fraction(1, 2)) * Fraction(size, count)) for i in range(count)]
    assert sample_centres(size, count).tolist() == exact


def test_check_spacing() -> None:
    assert check_spacing(None, 3).tolist() == [1, 1, 1]
    assert check_spacing((2, 0.5), 2).tolist() == [2, 0.5]
    for spacing in ((1, 1), (1, 0, 1), (1, -1, 1), (1, np.inf, 1)):
        with pytest.raises(ValueError, match=r"spacing .*3 axes"):
            check_spacing(spacing, 3)


def test_check_axis() -> None:
    assert check_axis(-1, 3) == 2
    assert check_axis(7, 2) == 0
    with pytest.raises(ValueError, match="axis=3 is out of range"):
        check_axis(3, 3)
