"""Holes, connected components, smoothing across slices, innermost pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy import ndimage

from napari_sam.masks.morphology import (
    components_at,
    fill_holes,
    innermost,
    keep_prompted,
    large_components,
    largest_component,
    minimum_size,
    smooth_across,
)
from napari_sam.masks.patch import mask_iou

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, max_side=7))
stacks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7))
CORNERS = np.ones((3, 3, 3))


def block(*sides: tuple[int, int]) -> np.ndarray:
    """(9, 20, 20) with a block; each side is (start, stop)."""
    mask = np.zeros((9, 20, 20), bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def steps(mask: np.ndarray) -> int:
    """Count pixels that differ between neighbouring slices of the object."""
    both = mask.any((1, 2))[1:] & mask.any((1, 2))[:-1]
    return int((mask[1:] != mask[:-1])[both].sum())


# -- holes ---------------------------------------------------------------------


@given(mask=masks)
def test_fill_holes_equals_scipy(mask: np.ndarray) -> None:
    assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


@given(mask=stacks, axis=st.integers(-3, 2))
def test_fill_holes_with_an_axis_fills_each_plane(mask: np.ndarray, axis: int) -> None:
    filled = np.moveaxis(fill_holes(mask, axis), axis, 0)
    for before, after in zip(np.moveaxis(mask, axis, 0), filled, strict=True):
        assert_array_equal(after, ndimage.binary_fill_holes(before))


@given(mask=masks)
def test_fill_holes_only_adds_and_is_idempotent(mask: np.ndarray) -> None:
    filled = fill_holes(mask)
    assert (filled >= mask).all()
    assert_array_equal(fill_holes(filled), filled)


def test_a_tunnel_is_a_hole_in_planes_but_not_in_3d() -> None:
    tunnel = block((1, 8), (4, 12), (4, 12)) & ~block((0, 9), (7, 9), (7, 9))
    assert_array_equal(fill_holes(tunnel), tunnel)
    assert_array_equal(fill_holes(tunnel, 0), block((1, 8), (4, 12), (4, 12)))


def test_a_plane_is_filled_with_any_axis() -> None:
    ring = np.ones((5, 5), bool)
    ring[1:4, 2] = False
    assert fill_holes(ring, 0).all()


# -- connected components ------------------------------------------------------


@given(mask=masks, data=st.data())
def test_keep_prompted_keeps_components_with_a_prompt(
    mask: np.ndarray, data: Any
) -> None:
    voxel = st.tuples(*(st.integers(-2, size + 1) for size in mask.shape))
    seeds = data.draw(st.lists(voxel, max_size=4))
    kept = keep_prompted(mask, seeds)
    assert (kept <= mask).all()
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    hit = {
        int(parts[s])
        for s in seeds
        if all(0 <= i < n for i, n in zip(s, mask.shape, strict=True))
    }
    if hit - {0}:
        assert_array_equal(kept, np.isin(parts, list(hit - {0})))
    elif count:
        sizes = np.bincount(parts.ravel())[1:]
        assert np.count_nonzero(kept) == sizes.max()
        assert len(np.unique(parts[kept])) == 1
    else:
        assert not kept.any()


def test_voxels_that_share_a_corner_are_connected() -> None:
    mask = np.zeros((3, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 3, 3] = True
    assert_array_equal(
        np.argwhere(keep_prompted(mask, [(0, 0, 0)])), [[0] * 3, [1] * 3]
    )
    assert_array_equal(minimum_size(mask, 2), keep_prompted(mask, []))


@given(mask=masks, size=st.integers(0, 9))
def test_minimum_size_removes_small_components(mask: np.ndarray, size: int) -> None:
    kept = minimum_size(mask, size)
    parts, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = np.bincount(parts.ravel())
    assert_array_equal(kept, mask & (sizes[parts] >= size))


@given(mask=masks, size=st.integers(0, 9), data=st.data())
def test_components_equal_those_of_scipy(
    mask: np.ndarray, size: int, data: Any
) -> None:
    connectivity = data.draw(st.integers(1, mask.ndim))
    structure = ndimage.generate_binary_structure(mask.ndim, connectivity)
    labels, count = ndimage.label(mask, structure)
    components = [labels == i for i in range(1, count + 1)]
    expected = sorted(components, key=lambda c: -np.count_nonzero(c))
    largest = largest_component(mask, connectivity)
    assert_array_equal(largest, expected[0] if expected else mask)
    large = large_components(mask, size, connectivity)
    assert len(large) == sum(np.count_nonzero(c) >= size for c in expected)
    for found, component in zip(large, expected, strict=False):
        assert_array_equal(found, component)
    for component in components[:3]:
        seeds = np.argwhere(component)[-1:]
        assert_array_equal(components_at(mask, seeds, connectivity), component)
    assert not components_at(mask, np.argwhere(~mask), connectivity).any()


# -- smoothing -----------------------------------------------------------------


@settings(max_examples=50)
@given(
    mask=stacks,
    axis=st.integers(-3, 2),
    radius=st.floats(0, 3),
    depth=st.floats(0.25, 4),
)
def test_smoothing_keeps_slices_with_and_without_the_object(
    mask: np.ndarray, axis: int, radius: float, depth: float
) -> None:
    spacing = np.ones(3)
    spacing[axis] = depth
    before = mask.copy()
    smooth = smooth_across(mask, axis, spacing, radius)
    assert_array_equal(mask, before)
    others = tuple(i for i in range(3) if i != axis % 3)
    assert_array_equal(smooth.any(others), mask.any(others))
    # Nothing appears where no slice has the object.
    assert (smooth.any(axis) <= mask.any(axis)).all()


@given(plane=hnp.arrays(bool, (6, 7)), count=st.integers(1, 6), radius=st.floats(0, 4))
def test_smoothing_keeps_identical_slices(
    plane: np.ndarray, count: int, radius: float
) -> None:
    mask = np.repeat(plane[None], count, axis=0)
    assert_array_equal(smooth_across(mask, 0, radius=radius), mask)


def test_smoothing_aligns_a_shifted_slice() -> None:
    straight = block((1, 8), (4, 14), (4, 14))
    jagged = straight.copy()
    jagged[4] = False
    jagged[4, 6:16, 4:14] = True
    smooth = smooth_across(jagged, 0)
    assert steps(smooth) < steps(jagged)
    assert mask_iou(smooth[4], straight[4]) > mask_iou(jagged[4], straight[4])


def test_smoothing_keeps_the_size_of_tapering_objects() -> None:
    z, y, x = np.indices((12, 41, 41))
    cone = np.hypot(y - 20, x - 20) < 4 + z
    smooth = smooth_across(cone, 0, radius=1.5)
    assert abs(smooth.sum() / cone.sum() - 1) < 0.02
    z, y, x = np.indices((25, 41, 41))
    ball = ((z - 12) / 10) ** 2 + ((y - 20) / 16) ** 2 + ((x - 20) / 16) ** 2 < 1
    blurred = ndimage.gaussian_filter1d(ball.astype(float), 1.5, axis=0) > 0.5
    smooth = smooth_across(ball, 0, radius=1.5)
    assert abs(smooth.sum() / ball.sum() - 1) < 0.03
    assert blurred.any((1, 2)).sum() <= smooth.any((1, 2)).sum()


def test_single_slices_and_planes_are_not_smoothed() -> None:
    alone = np.zeros((5, 8, 8), bool)
    alone[1, 2:5, 2:5] = alone[3, 1:3, 6] = True
    assert_array_equal(smooth_across(alone, 0, radius=3), alone)
    assert_array_equal(smooth_across(alone[1], 0, radius=3), alone[1])


def test_smoothing_keeps_a_thin_oblique_object() -> None:
    rod = np.zeros((6, 9, 40), bool)
    for index in range(6):
        rod[index, 4, 6 * index : 6 * index + 2] = True
    assert smooth_across(rod, 0, radius=2).any((1, 2)).all()


def test_smoothing_radius_is_in_the_unit_of_the_spacing() -> None:
    jagged = block((1, 8), (4, 14), (4, 14))
    jagged[4, :, 12:] = False
    in_slices = smooth_across(jagged, 0, radius=1)
    assert_array_equal(smooth_across(jagged, 0, (5, 1, 1), 5), in_slices)
    assert_array_equal(smooth_across(jagged, 0, (50, 1, 1), 1), jagged)


@pytest.mark.parametrize("axis", [1, 2])
def test_smoothing_along_any_axis(axis: int) -> None:
    jagged = block((1, 8), (4, 14), (4, 14))
    jagged[4, :, 12:] = False
    turned = smooth_across(np.moveaxis(jagged, 0, axis), axis)
    assert_array_equal(np.moveaxis(turned, axis, 0), smooth_across(jagged, 0))


# ------------------------------------------------------------------------------


def test_innermost_is_farthest_from_the_outline() -> None:
    mask = np.zeros((9, 30), bool)
    mask[0:5, 10:30] = True
    mask[0:9, 2:11] = True
    assert innermost(mask).tolist() == [4, 6]


@pytest.mark.parametrize("mask", [np.zeros((3, 3)), np.zeros(3, bool)])
def test_masks_must_be_boolean_with_two_or_three_axes(mask: np.ndarray) -> None:
    for function in (
        fill_holes,
        lambda m: keep_prompted(m, []),
        lambda m: minimum_size(m, 1),
    ):
        with pytest.raises(ValueError, match="boolean mask"):
            function(mask)


def test_invalid_numbers_are_refused() -> None:
    mask = block((1, 8), (4, 14), (4, 14))
    with pytest.raises(ValueError, match="radius=-1"):
        smooth_across(mask, 0, radius=-1)
    with pytest.raises(ValueError, match="radius=nan"):
        smooth_across(mask, 0, radius=float("nan"))
    with pytest.raises(ValueError, match=r"size_voxels=2\.5"):
        minimum_size(mask, 2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="axis=5 is out of range"):
        smooth_across(mask, 5)
