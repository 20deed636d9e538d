"""Interpolation and combination of masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.masks.interpolation import blend, interpolate, majority
from napari_sam.masks.morphology import signed_distance
from napari_sam.masks.patch import MaskPatch, patch_iou

GRID = np.indices((60, 60)).T


def disc(centre: tuple[float, float], radius: float) -> MaskPatch:
    mask = (((GRID - centre) ** 2).sum(-1) <= radius**2).T
    return MaskPatch.from_mask(mask)


def on_plane(patch: MaskPatch) -> np.ndarray:
    plane = np.zeros((60, 60), bool)
    plane[patch.region] = patch.mask
    return plane


centres = st.tuples(st.integers(20, 40), st.integers(20, 40))


@given(centres, centres, st.integers(4, 15), st.integers(4, 15))
def test_interpolation_at_the_ends_gives_the_known_masks(
    one: tuple[int, int], other: tuple[int, int], small: int, large: int
) -> None:
    first, second = disc(one, small), disc(other, large)
    for fraction, expected in ((0.0, first), (1.0, second)):
        found = interpolate(first, second, fraction)
        np.testing.assert_array_equal(on_plane(found), on_plane(expected))


@given(centres, centres, st.integers(6, 15), st.integers(6, 15))
def test_interpolation_half_way_between_discs_is_a_disc(
    one: tuple[int, int], other: tuple[int, int], small: int, large: int
) -> None:
    found = interpolate(disc(one, small), disc(other, large), 0.5)
    middle = (np.array(one) + other) / 2
    assert patch_iou(found, disc(tuple(middle), (small + large) / 2)) > 0.75


@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_interpolation_stays_on_the_plane(seed: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    plane = (24, 24)
    # Corners and arms at the border shift the centres most.
    masks = [np.zeros(plane, bool) for _ in range(2)]
    for mask in masks:
        for _ in range(2):
            top, left = rng.integers(0, 18, 2)
            height, width = rng.integers(1, 24, 2)
            mask[top : top + height, left : left + width] = True
    first, second = map(MaskPatch.from_mask, masks)
    found = interpolate(first, second, fraction)
    if found.logits.size:
        (top, left), (height, width) = found.origin, found.logits.shape
        assert min(top, left) >= 0
        assert top + height <= plane[0]
        assert left + width <= plane[1]


def test_blend_lies_between_two_masks() -> None:
    small, large = disc((30, 30), 8), disc((30, 30), 14)
    areas = [np.count_nonzero(blend(small, large, s).mask) for s in (0, 0.3, 0.7, 1)]
    assert areas == sorted(areas)
    assert areas[0] == np.count_nonzero(small.mask)
    assert areas[-1] == np.count_nonzero(large.mask)


def test_blend_of_equal_masks_is_the_same() -> None:
    one = disc((25, 33), 9)
    np.testing.assert_array_equal(on_plane(blend(one, one, 0.4)), on_plane(one))


def test_blend_keeps_thin_parts_where_one_mask_is_certain() -> None:
    mask = np.zeros((9, 30), bool)
    mask[3:5] = True
    certain = MaskPatch((10, 10), np.where(mask, 6.0, -6.0).astype(np.float32))
    uncertain = MaskPatch((12, 10), np.where(mask, 0.5, -0.5).astype(np.float32))
    assert patch_iou(blend(certain, uncertain, 0.5), certain) > 0.9


@given(st.lists(st.tuples(centres, st.integers(4, 15)), min_size=3, max_size=3))
def test_majority_is_where_two_of_three_masks_are(
    discs: list[tuple[tuple[int, int], int]],
) -> None:
    three = [disc(centre, radius) for centre, radius in discs]
    votes = np.sum([on_plane(patch) for patch in three], axis=0)
    np.testing.assert_array_equal(on_plane(majority(three)), votes >= 2)


def test_signed_distance_is_positive_inside() -> None:
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:5] = True
    distance = signed_distance(mask)
    np.testing.assert_array_equal(distance > 0, mask)
    assert distance[2, 3] == 1.5
    assert distance[2, 1] == -0.5
