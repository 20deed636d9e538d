"""Border of an object: contrast, and where the image is sharpest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.masks.border import measure_border

DISC = np.hypot(*(np.indices((40, 44)) - np.reshape((15, 18), (2, 1, 1)))) < 12


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, bool])
def test_contrast_is_positive_for_bright_objects(dtype: Any) -> None:
    bright = DISC.astype(dtype)
    dark = (~DISC).astype(dtype)
    assert measure_border(bright, DISC).contrast == pytest.approx(1)
    assert measure_border(dark, DISC).contrast == pytest.approx(-1)
    colour = np.stack([bright] * 3, axis=-1)
    assert measure_border(colour, DISC).contrast == pytest.approx(1)


def test_contrast_of_masks_without_a_border_is_0() -> None:
    plane = DISC * 9.0
    assert measure_border(plane, np.zeros_like(DISC)).contrast == 0
    assert measure_border(plane, np.ones_like(DISC)).contrast == 0


def test_contrast_ignores_nan_and_infinities() -> None:
    plane = np.where(DISC, 5.0, 2.0)
    plane[15, 18], plane[0, 0] = np.nan, np.inf
    assert measure_border(plane, DISC).contrast == pytest.approx(3)
    assert measure_border(np.full_like(plane, np.nan), DISC).contrast == 0


@given(
    mask=hnp.arrays(bool, (8, 9)),
    plane=hnp.arrays(np.uint8, (8, 9)),
    low=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_contrast_of_a_crop_equals_that_of_the_plane(
    mask: np.ndarray, plane: np.ndarray, low: tuple[int, int]
) -> None:
    mask[: low[0]] = mask[:, : low[1]] = False
    part = mask[low[0] :, low[1] :]
    assert measure_border(plane, part, low, (8, 9)) == measure_border(plane, mask)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_contrast_on_a_downsampled_plane(factor: int) -> None:
    plane = np.where(DISC, 90.0, 20.0)
    zoom = np.ones((factor, factor), bool)
    large = np.kron(DISC, zoom)
    expected = measure_border(plane, DISC).contrast
    assert measure_border(plane, large, plane_shape=large.shape).contrast == expected
    part = large[factor:, 2 * factor :]
    found = measure_border(plane, part, (factor, 2 * factor), large.shape).contrast
    assert found == expected


def test_contrast_of_an_object_lost_by_downsampling_is_0() -> None:
    speck = np.ones((1, 1), bool)
    plane = np.arange(25.0).reshape(5, 5)
    assert measure_border(plane, speck, (0, 0), (50, 50)).contrast == 0
