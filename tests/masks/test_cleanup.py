"""Objects of a label array are cleaned in their boxes, and leave others alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from scipy import ndimage

from napari_sam.masks.cleanup import CleanUp, fill_holes
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.stack import prompt_seeds
from napari_sam.volume.results import SliceResult
from tests.helpers.cleanup import apply_to_labels, object_windows

IDS = [0, 0, 1, 2, 2**31 - 1]
labels_2d_3d = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
    elements=st.sampled_from(IDS),
)
cleanups = st.builds(
    CleanUp, st.booleans(), st.booleans(), st.floats(0, 2), st.integers(0, 5)
)
ALL = CleanUp(keep_prompted=True, fill_holes=True, smooth=1.0, min_size=4)


def scene(dtype: Any = np.int32) -> np.ndarray:
    """(6, 12, 14): object 5 with a hole, an island and object 9 inside."""
    labels = np.zeros((6, 12, 14), dtype)
    labels[1:5, 1:9, 1:9] = 5
    labels[2, 3, 3] = 0
    labels[2, 5:7, 5:7] = 9
    labels[3, 10, 12] = 5
    return labels


@settings(max_examples=60)
@given(labels=labels_2d_3d, cleanup=cleanups, data=st.data())
def test_objects_gain_from_the_background_only(
    labels: np.ndarray, cleanup: CleanUp, data: Any
) -> None:
    before = labels.copy()
    axis = data.draw(st.integers(0, labels.ndim - 1))
    ids = data.draw(st.none() | st.lists(st.sampled_from(IDS), max_size=2))
    cleaned = apply_to_labels(labels, cleanup, ids, axis)
    assert_array_equal(labels, before)
    assert cleaned.dtype == labels.dtype
    if ids is not None:
        changed = cleaned != labels
        assert set(np.unique([labels[changed], cleaned[changed]])) <= {0, *ids}


@given(labels=labels_2d_3d)
def test_boxes_just_hold_their_objects(labels: np.ndarray) -> None:
    windows = object_windows(labels)
    assert list(windows) == [label for label in np.unique(labels) if label]
    for label, window in windows.items():
        assert window == ndimage.find_objects((labels == label).astype(int))[0]


def test_nothing_is_done_unless_asked() -> None:
    assert not CleanUp()
    assert not CleanUp(min_size=1)
    assert all(CleanUp(**{name: 2}) for name in ("smooth", "min_size"))
    assert all(CleanUp(**{name: True}) for name in ("fill_holes", "keep_prompted"))
    assert_array_equal(apply_to_labels(scene(), CleanUp()), scene())


def test_a_hole_is_filled_around_another_object() -> None:
    expected = scene()
    expected[2, 3, 3] = 5
    assert_array_equal(apply_to_labels(scene(), CleanUp(fill_holes=True)), expected)


def test_islands_go() -> None:
    expected = scene()
    expected[3, 10, 12] = 0
    for cleanup in (CleanUp(keep_prompted=True), CleanUp(min_size=2)):
        assert_array_equal(apply_to_labels(scene(), cleanup), expected)


def test_prompted_islands_stay_and_the_rest_goes() -> None:
    seeds = {5: [(3, 10, 12)]}
    cleaned = apply_to_labels(scene(), CleanUp(keep_prompted=True), seeds=seeds)
    assert np.argwhere(cleaned == 5).tolist() == [[3, 10, 12]]
    assert (cleaned == 9).sum() == 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64, ">i2"])
def test_labels_of_any_integer_type(dtype: Any) -> None:
    cleaned = apply_to_labels(scene(dtype), ALL)
    assert cleaned.dtype == dtype
    assert_array_equal(cleaned, apply_to_labels(scene(), ALL))


def test_objects_do_not_claim_the_same_background() -> None:
    # Two rings that share a hole between them, closed by both together only.
    labels = np.zeros((2, 7, 7), np.int32)
    labels[:, :, 0] = labels[:, 0] = labels[:, -1] = labels[:, :, -1] = 1
    labels[:, 2, 2:5] = labels[:, 4, 2:5] = labels[:, 3, 2] = labels[:, 3, 4] = 2
    cleaned = apply_to_labels(labels, CleanUp(fill_holes=True))
    assert (cleaned == 2).sum() == (labels == 2).sum()  # 1 came first
    assert (cleaned != 0).all()


def test_the_steps_follow_each_other() -> None:
    # An island would close a hole if it were still there.
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 1, 0:3] = mask[0, 2, 0] = mask[0, 2, 2] = mask[0, 3, 0:3] = True
    assert_array_equal(ALL.apply(mask), fill_holes(mask, 0))


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="radius -1"):
        CleanUp(smooth=-1)
    with pytest.raises(ValueError, match="minimum size -2"):
        CleanUp(min_size=-2)
    with pytest.raises(ValueError, match="give two or three axes"):
        apply_to_labels(np.zeros((2, 2, 2, 2), int), ALL)
    with pytest.raises(ValueError, match="does not fit 3 axes"):
        apply_to_labels(scene(), ALL, spacing=(1, 1))


def result(number: int, index: int, mask: np.ndarray) -> SliceResult:
    logits = np.where(mask, 1, -1).astype(np.float16)
    return SliceResult(number, index, 0.9, "prompted", (10, 20), logits)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_seeds_are_points_or_the_innermost_pixel(axis: int) -> None:
    mask = np.ones((3, 5), bool)
    clicked = Prompt(points=[(4.6, 2), (9, 9)], labels=[1, 0])
    prompts = {7: {2: Prompt(box=(0, 0, 90, 90)), 4: clicked}, 8: {2: clicked}}
    results = [result(7, 2, mask), result(7, 3, mask), result(7, 4, mask)]
    found = prompt_seeds(prompts, results, axis)
    expected = [
        np.insert(place, axis, plane_index)
        for plane_index, place in ((2, (11, 21)), (4, (5, 2)))
    ]
    assert list(found) == [7]
    assert len(found[7]) == 2
    assert found[7][:, axis].tolist() == [2, 4]
    assert_array_equal(found[7][1], expected[1])
    assert np.delete(found[7][0], axis)[0] == 11


def test_a_prompt_that_found_nothing_gives_no_seed() -> None:
    empty = result(1, 2, np.zeros((0, 0), bool))
    (seeds,) = prompt_seeds({1: {2: Prompt(box=(0, 0, 5, 5))}}, [empty]).values()
    assert seeds.shape == (0, 3)
