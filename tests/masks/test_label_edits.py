"""Edits of label arrays change what they name, and nothing else."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from napari_sam.masks.label_edits import ids_in_order, renumber, split_label
from napari_sam.masks.painting import PixelChanges
from napari_sam.masks.splitting import split_mask

LABELS = arrays(
    st.sampled_from([np.uint8, np.int32, np.uint16]),
    array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.integers(0, 5),
)


def changed(labels: np.ndarray, changes: PixelChanges) -> np.ndarray:
    new = labels.copy()
    new[changes.indices] = changes.values
    return new


def disc(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> Any:
    offsets = np.indices(shape) - np.reshape(centre, (-1, *[1] * len(shape)))
    return (offsets**2).sum(axis=0) <= radius**2


def around(mask: np.ndarray) -> np.ndarray:
    """Return the mask and what touches it."""
    return ndimage.binary_dilation(mask, iterations=2)


@given(LABELS, st.dictionaries(st.integers(1, 5), st.integers(0, 9), min_size=1))
def test_renumbering_maps_every_pixel(labels: np.ndarray, new: dict[int, int]) -> None:
    lookup = np.arange(10)
    lookup[list(new)] = list(new.values())
    wanted = lookup[labels]
    before = labels.copy()
    if (wanted == labels).all():
        with pytest.raises(
            ValueError, match=r"There is no label|these numbers already"
        ):
            renumber(labels, new)
        return
    changes = renumber(labels, new)
    np.testing.assert_array_equal(changed(labels, changes), wanted)
    np.testing.assert_array_equal(labels, before)
    assert len(changes.values) == np.count_nonzero(wanted != labels)
    lazy = renumber(da.from_array(labels, chunks=2), new)
    np.testing.assert_array_equal(changed(labels, lazy), wanted)


@given(LABELS)
def test_labels_in_order_keep_their_order(labels: np.ndarray) -> None:
    order = ids_in_order(labels)
    assert list(order) == [i for i in np.unique(labels) if i]
    assert list(order.values()) == list(range(1, len(order) + 1))


@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=3, max_side=12)),
    st.integers(2, 4),
    st.randoms(use_true_random=False),
)
def test_each_point_keeps_its_pixel(mask: np.ndarray, count: int, random: Any) -> None:
    pixels = np.argwhere(mask)
    if len(pixels) < count:
        return
    points = pixels[random.sample(range(len(pixels)), count)]
    parts = split_mask(mask, points)
    np.testing.assert_array_equal(parts > 0, mask)
    assert set(np.unique(parts)) <= set(range(count + 1))
    assert len(np.unique(parts[mask])) == count


@pytest.mark.parametrize("radii", [(12, 12), (16, 8)])
@given(data=st.data())
def test_touching_discs_are_cut_where_they_touch(
    radii: tuple[int, int], data: st.DataObject
) -> None:
    first = disc((50, 70), (25, 20), radii[0])
    second = disc((50, 70), (25, 19 + sum(radii)), radii[1])
    mask = first | second
    points = [
        data.draw(st.sampled_from(np.argwhere(one & ~near).tolist()))
        for one, near in ((first, around(second)), (second, around(first)))
    ]
    parts = split_mask(mask, np.array(points))
    for number, own in enumerate((first, second), start=1):
        found = parts == number
        assert (found & own).sum() / (found | own).sum() > 0.9


def test_three_discs_in_a_row() -> None:
    columns = [15, 37, 55]
    discs = [
        disc((40, 75), (20, c), r) for c, r in zip(columns, (12, 11, 8), strict=True)
    ]
    mask = np.logical_or.reduce(discs)
    parts = split_mask(mask, np.array([(20, c) for c in columns]))
    for number, own in enumerate(discs, start=1):
        assert ((parts == number) & own).sum() / own.sum() > 0.95


def test_the_largest_part_keeps_the_label_and_other_labels_stay() -> None:
    labels = np.zeros((2, 40, 60), np.uint8)
    labels[1][disc((40, 60), (20, 15), 10)] = 3
    labels[1][disc((40, 60), (20, 37), 13)] = 3
    labels[1, :5] = 2
    labels[0, 20:30, 20:30] = 3
    points = np.array([[1.0, 20, 13], [1, 20, 40]])
    new = changed(
        labels, split_label(labels, 3, points, 7, (1, slice(None), slice(None)))
    )
    assert new[1, 20, 40] == 3
    assert new[1, 20, 13] == 7
    np.testing.assert_array_equal(new > 0, labels > 0)
    np.testing.assert_array_equal(new[0], labels[0])
    np.testing.assert_array_equal(new == 2, labels == 2)


def test_balls_in_a_stack_with_thick_slices() -> None:
    shape, spacing = (7, 40, 60), np.array([3.0, 1, 1])
    grid = np.indices(shape) * spacing[:, None, None, None]
    one, other = (
        ((grid - np.reshape(c, (3, 1, 1, 1))) ** 2).sum(axis=0) <= 10**2
        for c in ((9, 20, 15), (9, 20, 34))
    )
    points = np.array([(3, 20, 12), (2, 18, 38)])
    parts = split_mask(one | other, points, spacing.tolist(), 0)
    assert ((parts == 1) & one).sum() / one.sum() > 0.95
    assert ((parts == 2) & other).sum() / other.sum() > 0.95
