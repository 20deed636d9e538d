from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.api import by_object, make_prompts
from napari_sam.cache import EmbeddingCache
from napari_sam.volume import Stack, assemble, propagate
from tests.plugin.conftest import BrightPredictor


@pytest.fixture
def tube() -> np.ndarray:
    """(8, 20, 24), bright in slices 2 to 6 only."""
    volume = np.full((8, 20, 24), 10, np.uint8)
    volume[2:7, 5:12, 6:15] = 200
    return volume


def follow(volume: Any, prompts: Any, **stack: Any) -> ns.VolumeResult:
    whole = Stack(volume, **stack)
    return assemble(whole, propagate(whole, prompts, BrightPredictor()))


BOX = ns.Prompt(box=(4, 5, 12, 15))


def test_an_object_is_followed_to_both_of_its_ends(tube: np.ndarray) -> None:
    out = follow(tube, {1: {4: BOX}})
    assert_array_equal(out.labels, (tube > 127).astype(int))
    status = {s.index: s.status for s in out.slices}
    assert status[4] == "prompted"
    assert [i for i, s in status.items() if s == "propagated"] == [2, 3, 5, 6]
    assert [i for i, s in status.items() if s == "stopped"] == [1, 7]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_every_axis_gives_the_same_object(tube: np.ndarray, axis: int) -> None:
    turned = np.moveaxis(tube, 0, axis)
    out = follow(turned, {1: {4: BOX}}, axis=axis)
    assert_array_equal(np.moveaxis(out.labels, axis, 0) > 0, tube > 127)


def test_time_points_and_colour_stay_apart(tube: np.ndarray) -> None:
    series = np.stack([np.zeros_like(tube), tube])
    out = follow(series, {1: {4: BOX}}, axis=1, fixed={0: 1})
    assert not out.labels[0].any()
    assert_array_equal(out.labels[1] > 0, tube > 127)
    assert Stack(np.zeros((4, 5, 6, 3)), rgb=True).shape == (4, 5, 6)


def test_planes_are_encoded_once_for_all_objects(tube: np.ndarray) -> None:
    tube[2:7, 14:18, 16:22] = 200
    predictor, count = BrightPredictor(), []
    embed = predictor.embed
    predictor.embed = lambda *a: count.append(1) or embed(*a)  # type: ignore[method-assign]
    prompts = {1: {4: BOX}, 2: {3: ns.Prompt(box=(13, 15, 18, 22))}}
    cache = EmbeddingCache()
    stack = Stack(tube)
    out = assemble(stack, propagate(stack, prompts, predictor, cache=cache))
    assert len(count) <= len(tube)
    assert set(np.unique(out.labels)) == {0, 1, 2}


def test_stopping_keeps_what_was_done_and_order_does_not_matter(
    tube: np.ndarray,
) -> None:
    stack = Stack(tube)
    results = list(propagate(stack, {1: {4: BOX}}, BrightPredictor()))
    forward, backward = assemble(stack, results), assemble(stack, results[::-1])
    assert_array_equal(forward.labels, backward.labels)
    some = assemble(stack, results[:2])
    assert 0 < np.count_nonzero(some.labels) < np.count_nonzero(forward.labels)


def test_only_planes_are_read(tube: np.ndarray) -> None:
    class Lazy:
        shape, dtype = tube.shape, tube.dtype

        def __getitem__(self, index: Any) -> np.ndarray:
            assert isinstance(index[0], int)
            return tube[index]

        def __array__(self, *_: Any) -> np.ndarray:
            raise AssertionError("the whole volume was read")

    assert_array_equal(follow(Lazy(), {1: {4: BOX}}).labels > 0, tube > 127)


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ({}, "no prompts"),
        ({1: {}}, "no prompts"),
        ({1: {8: BOX}}, "slice 8"),
        ({1: {-1: BOX}}, "slice -1"),
        ({0: {4: BOX}}, "Object id 0"),
        ({1: {4: ns.Prompt(points=[(99, 0)])}}, "outside the plane"),
    ],
)
def test_prompts_that_do_not_fit(tube: np.ndarray, prompts: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        follow(tube, prompts)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_volumes_of_other_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="three axes"):
        Stack(np.zeros(shape))


def test_forms_of_points_and_boxes() -> None:
    points = [(1, 2), (3, 4)]
    assert len(make_prompts(points, None, None)) == 2
    (one,) = make_prompts(points, [1, 0], None)
    assert list(one.labels) == [1, 0]
    assert len(make_prompts(None, None, [(0, 0, 5, 5), (1, 1, 6, 6)])) == 2
    (both,) = make_prompts(points, None, (0, 0, 5, 5))
    assert both.kinds == {"point", "box"}
    nested = make_prompts([points, points], [[1, 0], [1, 1]], [(0, 0, 5, 5)] * 2)
    assert [list(p.labels) for p in nested] == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match="no prompts"):
        make_prompts(None, None, None)
    with pytest.raises(ValueError, match="1 objects and 2 boxes"):
        make_prompts(points, None, [(0, 0, 5, 5)] * 2)
    assert by_object({4: BOX}) == {1: {4: BOX}}
    with pytest.raises(ValueError, match="mix"):
        by_object({4: BOX, 5: {4: BOX}})


@pytest.mark.parametrize(
    ("plane", "sentence"),
    [
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((4, 4), object), "object"),
        (np.zeros((1, 2, 3, 4, 5)), "one plane"),
    ],
)
def test_planes_that_cannot_be_segmented(
    tiny_predictor: Any, plane: np.ndarray, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ns.segment(plane, points=[(0, 0)], model=tiny_predictor)
