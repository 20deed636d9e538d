"""Linking of the objects of single planes through a stack."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.automatic.linking import Linking, link_labels


def shuffled(
    truth: np.ndarray, rng: np.random.Generator, dropped: float = 0.0
) -> np.ndarray:
    """Renumber every plane, and drop some inner slices of objects, no two in a row."""
    planes, last = np.zeros_like(truth), {}
    for index, plane in enumerate(truth):
        labels = np.unique(plane[plane > 0])
        for label, number in zip(labels, rng.permutation(len(labels)) + 1, strict=True):
            inner = all(
                0 <= i < len(truth) and (truth[i] == label).any()
                for i in (index - 1, index + 1)
            )
            if inner and last.get(label) != index - 1 and rng.random() < dropped:
                last[label] = index
                continue
            planes[index][plane == label] = number
    return planes


def partition(labels: np.ndarray, where: np.ndarray) -> set[frozenset[int]]:
    """The objects as sets of voxels, independent of their labels."""
    flat = labels.ravel()
    inside = np.flatnonzero(where.ravel())
    groups: dict[int, list[int]] = {}
    for voxel in inside.tolist():
        groups.setdefault(int(flat[voxel]), []).append(voxel)
    return {frozenset(group) for group in groups.values()}


@st.composite
def stacks(draw: st.DrawFn) -> np.ndarray:
    """Up to nine columns that shift by at most a pixel per plane and never touch."""
    depth = draw(st.integers(3, 7))
    truth = np.zeros((depth, 48, 48), np.int32)
    cells = [(r, c) for r in range(3) for c in range(3)]
    for label, (r, c) in enumerate(
        draw(st.sets(st.sampled_from(cells), min_size=1)), 1
    ):
        first = draw(st.integers(0, depth - 1))
        last = draw(st.integers(first, depth - 1))
        size = draw(st.integers(5, 9))
        row, col = 16 * r + 3, 16 * c + 3
        for index in range(first, last + 1):
            truth[index, row : row + size, col : col + size] = label
            row = int(np.clip(row + draw(st.integers(-1, 1)), 16 * r, 16 * r + 6))
            col = int(np.clip(col + draw(st.integers(-1, 1)), 16 * c, 16 * c + 6))
    return truth


@settings(deadline=None, max_examples=40)
@given(stacks(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.4]))
def test_no_object_is_split_or_merged_where_half_overlaps(
    truth: np.ndarray, seed: int, dropped: float
) -> None:
    planes = shuffled(truth, np.random.default_rng(seed), dropped)
    linked = link_labels(planes, Linking(gap=1, min_slices=1))
    assert partition(linked, planes > 0) == partition(truth, planes > 0)


@settings(deadline=None, max_examples=20)
@given(stacks(), st.integers(0, 2**32 - 1))
def test_labels_of_planes_do_not_matter(truth: np.ndarray, seed: int) -> None:
    planes = shuffled(truth, np.random.default_rng(seed))
    before = planes.copy()
    linked = link_labels(planes, Linking(min_slices=1))
    assert_array_equal(planes, before)
    assert_array_equal(linked > 0, truth > 0)
    numbers = np.unique(linked[linked > 0])
    assert_array_equal(numbers, np.arange(1, len(numbers) + 1))


def block(*planes: tuple[int, int]) -> np.ndarray:
    """One square per plane, given as (first column, width); width 0 for none."""
    labels = np.zeros((len(planes), 12, 40), np.int32)
    for index, (col, width) in enumerate(planes):
        labels[index, 2:10, col : col + width] = 5
    return labels


def test_a_gap_is_interpolated() -> None:
    linked = link_labels(block((4, 10), (0, 0), (8, 10)), Linking(gap=1))
    assert_array_equal(linked[1, 5] > 0, np.isin(np.arange(40), np.arange(6, 16)))
    assert linked.max() == 1


def test_a_long_gap_ends_the_object() -> None:
    linked = link_labels(
        block((4, 9), (0, 0), (0, 0), (4, 9)), Linking(gap=1, min_slices=1)
    )
    assert linked.max() == 2
    assert not linked[1:3].any()


def test_short_objects_are_dropped() -> None:
    labels = block((4, 9), (4, 9), (4, 9), (0, 0))
    labels[3, 2:10, 25:30] = 3
    linked = link_labels(labels, Linking(min_slices=3))
    assert_array_equal(linked > 0, labels == 5)


def test_links_are_optimal_for_the_stack_not_greedy() -> None:
    # From plane 0 the wide one is the better successor, yet then the narrow one of
    # plane 0, which has no other, would end there.
    labels = np.zeros((2, 10, 40), np.int32)
    labels[0, :, 0:10], labels[0, :, 10:20] = 1, 2
    labels[1, :, 0:4], labels[1, :, 4:16] = 1, 2
    linked = link_labels(labels, Linking(min_slices=1))
    assert linked[0, 0, 0] == linked[1, 0, 0]
    assert linked[0, 0, 12] == linked[1, 0, 12]


def test_interpolation_does_not_overwrite_other_objects() -> None:
    labels = block((4, 10), (0, 0), (4, 10))
    labels[:, 2:10, 16:30] = 7
    labels[1, 2:10, 10:30] = 7
    linked = link_labels(labels, Linking(gap=1))
    other = linked[1, 5, 25]
    assert_array_equal(linked[1] == other, labels[1] == 7)


def test_an_empty_stack_has_no_objects() -> None:
    assert not link_labels(np.zeros((3, 8, 8), np.int32)).any()


@pytest.mark.parametrize(
    "wrong", [{"gap": -1}, {"min_slices": 0}, {"overlap": 0.0}, {"overlap": 1.5}]
)
def test_invalid_linking_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give a"):
        Linking(**wrong)  # type: ignore[arg-type]


def test_identical_regions_are_linked() -> None:
    plane = np.zeros((20, 20), np.int32)
    plane[2:8, 2:8], plane[12:18, 12:18] = 1, 2
    linked = link_labels(np.stack([plane, plane[::-1, ::-1], plane]))
    for one, other in pairwise(linked):
        assert_array_equal(one, other)
