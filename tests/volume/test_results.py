"""Propagation of bright objects with a stand-in for the model, and its results."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.stack import Stack
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.results import PropagationOptions, SliceResult, assemble
from tests.helpers.models import World
from tests.helpers.scenes import (
    BALL,
    BRIGHT,
    DARK,
    SHAPE,
    SMALL,
    box_on,
    ellipsoid,
    lit,
    propagate_stack,
    start_propagation,
    statuses,
)


@pytest.mark.parametrize("start", [2, 3, 6, 9, 10])
def test_an_ellipsoid_is_propagated_to_both_ends(start: int) -> None:
    out = propagate_stack(lit(BALL), {1: {start: box_on(BALL, start)}}, World(reach=3))
    assert out.labels.dtype == np.int32
    assert_array_equal(out.labels, BALL.astype(int))
    expected = dict.fromkeys(range(2, 11), "propagated")
    expected |= {start: "anchor", 1: "stopped", 11: "stopped"}
    assert statuses(out) == expected


def test_an_object_can_fill_the_stack() -> None:
    column = np.zeros((5, 20, 20), bool)
    column[:, 5:12, 6:15] = True
    out = propagate_stack(lit(column), {7: {2: box_on(column, 2)}})
    assert_array_equal(out.labels, np.where(column, 7, 0))
    assert set(statuses(out, 7).values()) == {"anchor", "propagated"}


def test_a_stack_of_one_slice() -> None:
    out = propagate_stack(lit(BALL[6:7]), {1: {0: box_on(BALL, 6)}})
    assert statuses(out) == {0: "anchor"}
    assert_array_equal(out.labels[0] > 0, BALL[6])


def test_stopped_slices_are_empty_and_results_are_sorted() -> None:
    prompts = {2: {7: box_on(SMALL, 7)}, 1: {6: box_on(BALL, 6)}}
    out = propagate_stack(lit(BALL | SMALL), prompts)
    keys = [(s.object_id, s.index) for s in out.slices]
    assert keys == sorted(keys)
    for piece in out.slices:
        assert piece.mask.any() == (piece.status != "stopped")
        if piece.status == "stopped":
            assert piece.confidence == pytest.approx(1)


def test_each_plane_is_encoded_once_for_all_objects(rng: np.random.Generator) -> None:
    volume = lit(BALL | SMALL)
    volume += rng.integers(0, 9, volume.shape, np.uint8)  # no two planes alike
    world = World()
    prompts = {1: {6: box_on(BALL, 6)}, 5: {8: box_on(SMALL, 8)}}
    out = propagate_stack(volume, prompts, world)
    assert_array_equal(out.labels, BALL * 1 + SMALL * 5)
    encoded = [pixels.tobytes() for pixels in world.embedded]
    assert len(encoded) == len(set(encoded))
    # The objects, two slices beyond to find their ends, and one prefetched.
    assert len(encoded) <= 14


def test_a_leaning_column_between_two_prompted_slices() -> None:
    columns = np.zeros((11, 40, 60), bool)
    for z in range(11):
        columns[z, 12:24, 5 + 4 * z : 17 + 4 * z] = True
    prompts = {i: box_on(columns, i) for i in (0, 10)}
    out = propagate_stack(lit(columns), {1: prompts}, World(reach=2))
    assert_array_equal(out.labels > 0, columns)
    assert len(out.slices) == 11  # no slice twice
    assert not any(s.provisional for s in out.slices)


def test_prompts_on_neighbouring_slices() -> None:
    prompts = {i: box_on(BALL, i) for i in (5, 6)}
    out = propagate_stack(lit(BALL), {1: prompts})
    assert_array_equal(out.labels > 0, BALL)
    assert [i for i, s in statuses(out).items() if s == "anchor"] == [5, 6]


@settings(max_examples=20)
@given(
    centre=st.tuples(st.integers(3, 6), st.integers(8, 14), st.integers(8, 16)),
    radii=st.tuples(st.integers(3, 5), st.integers(6, 9), st.integers(6, 9)),
    axis=st.sampled_from([0, 1, 2, -1, -2, -3]),
)
def test_every_axis_gives_the_same_object(
    centre: tuple[int, ...], radii: tuple[int, ...], axis: int
) -> None:
    mask = ellipsoid((10, 24, 26), centre, radii)
    prompts = {1: {centre[0]: box_on(mask, centre[0])}}
    straight = propagate_stack(lit(mask), prompts)
    turned = propagate_stack(np.moveaxis(lit(mask), 0, axis), prompts, axis=axis)
    assert_array_equal(np.moveaxis(turned.labels, axis, 0), straight.labels)
    assert statuses(turned) == statuses(straight)


def test_one_time_point_of_a_series_and_along_time() -> None:
    still = lit(BALL)
    for series, axis, plane_index in (
        (np.stack([np.zeros_like(still), still]), 1, (1,)),
        (np.stack([np.zeros_like(still), still], axis=1), 0, (slice(None), 1)),
    ):
        out = ns.segment_volume(
            series,
            {6: box_on(BALL, 6)},
            World(),
            axis,
            fixed={1 - axis: -1},
            contrast_limits=(0, 255),
        )
        assert out.labels.shape == series.shape
        assert_array_equal(out.labels[plane_index] > 0, BALL)
        assert np.count_nonzero(out.labels) == np.count_nonzero(BALL)


@pytest.mark.parametrize("axis", [0, -1])
def test_colour_stacks(axis: int) -> None:
    gray = np.moveaxis(lit(BALL), 0, axis)
    colour = np.stack([gray, gray // 2, gray // 3], axis=-1)
    out = propagate_stack(colour, {1: {6: box_on(BALL, 6)}}, rgb=True, axis=axis)
    assert_array_equal(np.moveaxis(out.labels, axis, 0) > 0, BALL)


@pytest.mark.parametrize("fixed", [{0: 1}, {-4: -2}])
def test_other_time_points_stay_empty(fixed: dict[int, int]) -> None:
    series = np.stack([np.zeros(SHAPE, np.uint8), lit(BALL), lit(SMALL)])
    out = propagate_stack(series, {1: {6: box_on(BALL, 6)}}, axis=1, fixed=fixed)
    assert out.labels.shape == series.shape
    assert_array_equal(out.labels[1] > 0, BALL)
    assert not out.labels[[0, 2]].any()


class Lazy:
    """Like dask or zarr, and reading all of it is an error."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.read: list[int] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.read.append(index[0])
        plane = self.data[index]
        assert plane.ndim == 2
        return plane

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the whole volume was read")


def test_only_needed_planes_are_read() -> None:
    lazy = Lazy(np.pad(lit(BALL), [(9, 9), (0, 0), (0, 0)], constant_values=DARK))
    out = propagate_stack(lazy, {1: {15: box_on(BALL, 6)}}, contrast_limits=(0, 255))
    assert_array_equal(out.labels[9:-9] > 0, BALL)
    # Slices 11 to 19, two beyond to find the ends, and one prefetched.
    assert set(range(11, 20)) <= set(lazy.read) <= set(range(8, 23))


def test_contrast_limits_of_a_lazy_volume_come_from_single_planes() -> None:
    out = propagate_stack(Lazy(lit(BALL).astype(np.int16)), {1: {6: box_on(BALL, 6)}})
    assert_array_equal(out.labels > 0, BALL)


def test_stopping_iteration_cancels_and_keeps_results() -> None:
    world = World()
    slices = start_propagation(lit(BALL), {1: {6: box_on(BALL, 6)}}, world)
    assert len(list(islice(slices, 3))) == 3
    assert len(world.embedded) <= 4  # the next one is prefetched
    out = slices.result()
    assert not out.complete
    done = np.isin(np.arange(len(BALL)), [6, 7, 8])[:, None, None]
    assert_array_equal(out.labels > 0, BALL & done)
    assert_array_equal(slices.result([]).labels, np.zeros(SHAPE))


OVERLAPPING = np.zeros((3, 20, 20), np.uint8)
OVERLAPPING[:] = np.linspace(130, 250, 400).reshape(20, 20)
PIECES = propagate_stack(
    OVERLAPPING, {i: {1: Prompt(box=(i, i, i + 9, i + 9))} for i in (1, 4, 7)}
).slices


@given(st.permutations(range(len(PIECES))))
def test_the_order_of_results_does_not_matter(order: list[int]) -> None:
    stack = Stack(OVERLAPPING)
    ahead, mixed = assemble(stack, PIECES), assemble(stack, [PIECES[i] for i in order])
    assert_array_equal(mixed.labels, ahead.labels)
    assert mixed.slices == ahead.slices
    assert set(np.unique(ahead.labels)) == {0, 1, 4, 7}


@pytest.mark.parametrize("certain", [1, 2])
def test_overlaps_go_to_the_larger_logit(certain: int) -> None:
    volume = np.full((1, 20, 20), BRIGHT, np.uint8)
    results: list[SliceResult] = []
    for object_id, corner in ((1, 0), (2, 5)):
        world = World(gain=10.0 if object_id == certain else 1.0)
        box = Prompt(box=(corner, corner, corner + 9, corner + 9))
        results += propagate_stack(volume, {object_id: {0: box}}, world).slices
    labels = assemble(Stack(volume), results).labels[0]
    assert (labels[5:10, 5:10] == certain).all()
    assert np.count_nonzero(labels == 3 - certain) == 100 - 25


@pytest.mark.parametrize("gain", [1e-12, 1e-6, 1.0, 1e6])
def test_masks_survive_half_precision(gain: float) -> None:
    # Of faint logits none is stable.
    options = PropagationOptions(min_confidence=0)
    out = propagate_stack(
        lit(BALL), {1: {6: box_on(BALL, 6)}}, World(gain=gain), options
    )
    assert_array_equal(out.labels > 0, BALL)
    for piece in out.slices:
        assert piece.logits.dtype == np.float16
        assert np.isfinite(piece.logits).all()
        mask = np.zeros(SHAPE[1:], bool)
        mask[piece.region] = piece.mask
        expected = BALL[piece.index] & (piece.status != "stopped")
        assert_array_equal(mask, expected)


def test_the_cache_of_the_caller_is_filled_and_used() -> None:
    cache, prompts = EmbeddingCache(), {1: {6: box_on(BALL, 6)}}
    propagate_stack(lit(BALL), prompts, cache=cache)
    assert len(cache) > 0
    again = World()
    out = propagate_stack(lit(BALL), prompts, again, cache=cache)
    assert_array_equal(out.labels > 0, BALL)
    assert again.embedded == []


def test_contrast_is_the_same_on_all_planes() -> None:
    # Each slice has its own brightest value; equal values must look equal.
    ramp = np.linspace(100, 1000, 10)[:, None, None]
    volume = np.where(np.arange(24) < 12, 100.0, np.broadcast_to(ramp, (10, 24, 24)))
    world = World()
    for index in (9, 4):
        propagate_stack(volume, {1: {index: Prompt(box=(0, 12, 23, 23))}}, world)
    bright = [pixels.max() for pixels in world.embedded]
    assert {pixels.min() for pixels in world.embedded} == {0}
    assert max(bright) == 255
    assert min(bright) < 128


def test_contrast_limits_are_used() -> None:
    world = World()
    volume = lit(BALL).astype(np.int16) * 100
    propagate_stack(volume, {1: {6: box_on(BALL, 6)}}, world, contrast_limits=(0, 2e4))
    assert {int(v) for v in np.unique(world.embedded[0])} == {round(255 * 0.1), 255}


def test_nan_pixels_are_background() -> None:
    volume = lit(BALL).astype(float)
    volume[:, 0, :5] = np.nan
    volume[:, 15, 18] = np.nan  # inside the object
    expected = BALL & ~np.isnan(volume)
    out = propagate_stack(volume, {1: {6: box_on(BALL, 6)}})
    assert_array_equal(out.labels > 0, expected)


@pytest.mark.parametrize("value", [np.nan, 0.0, 7.0])
def test_prompts_on_a_slice_that_shows_nothing_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"^Slice 6 shows nothing between the contr"):
        propagate_stack(np.full(SHAPE, value), {1: {6: Prompt(box=(3, 3, 9, 9))}})


def test_an_object_ends_where_the_model_is_unsure() -> None:
    unsure = World(score=0.0, gain=1e-3)  # no logit is stable
    prompts = {1: {6: box_on(BALL, 6)}}
    out = propagate_stack(lit(BALL), prompts, unsure)
    assert statuses(out) == {5: "stopped", 6: "anchor", 7: "stopped"}
    patient = PropagationOptions(min_confidence=0)
    out = propagate_stack(lit(BALL), prompts, unsure, options=patient)
    assert_array_equal(out.labels > 0, BALL)


def test_an_object_ends_where_another_thing_begins() -> None:
    mask = np.zeros((4, 30, 30), bool)
    mask[:2, 5:25, 5:25] = True
    mask[2:, 6:10, 6:10] = True  # what is left is another thing
    prompts = {1: {0: box_on(mask, 0)}}
    options = PropagationOptions(min_confidence=0.15)
    out = propagate_stack(lit(mask), prompts, World(score=0.4), options=options)
    assert statuses(out)[2] == "stopped"
    patient = PropagationOptions(min_confidence=0)
    assert_array_equal(
        propagate_stack(lit(mask), prompts, options=patient).labels > 0, mask
    )


def test_low_contrast_makes_slices_doubtful() -> None:
    volume = np.full((4, 30, 30), 120, np.uint8)
    volume[:2, 8:20, 8:20] = 250
    volume[2:, 8:20, 8:20] = 140  # "bright" still, and nearly as its surroundings
    prompts = {1: {0: Prompt(box=(8, 8, 19, 19))}}
    unsure = World(score=0.55)
    assert statuses(propagate_stack(volume, prompts, unsure))[2] in {
        "doubtful",
        "stopped",
    }
    patient = PropagationOptions(min_confidence=0)
    assert set(
        statuses(propagate_stack(volume, prompts, unsure, patient)).values()
    ) <= {
        "anchor",
        "propagated",
        "doubtful",
    }


BOX = Prompt(box=(4, 5, 12, 15))


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ({}, "There are no prompts"),
        ({1: {}}, "There are no prompts"),
        ({1: {14: BOX}}, "slice 14, the stack has slices 0 to 13"),
        ({1: {-1: BOX}}, "slice -1, the stack has slices 0 to 13"),
        ({1: {4.5: BOX}}, r"slice=4\.5: give a whole number"),
        ({0: {4: BOX}}, "Object id 0 is not a label"),
        ({-3: {4: BOX}}, "Object id -3 is not a label"),
        ({1: {4: Prompt()}}, "The prompt is empty"),
        ({1: {4: (4, 5, 12, 15)}}, "Slice 4 of object 1 has a tuple"),
        ({1: {4: Prompt(points=[(99, 0)])}}, "point .* lies outside the plane"),
        ({1: {4: Prompt(box=(50, 50, 60, 60))}}, "box .* lies outside the plane"),
        ({1: {4: BOX}, 2: {5: Prompt(points=[(1, 1)], labels=[0])}}, "only background"),
    ],
)
def test_invalid_prompts_raise_before_any_work(prompts: Any, sentence: str) -> None:
    world = World()
    with pytest.raises(ValueError, match=sentence):
        propagate_stack(lit(BALL), prompts, world)
    assert world.embedded == []


@pytest.mark.parametrize("shape", [(4,), (4, 5), (2, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_volumes_of_other_dimensions_raise(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"give three axes .* pick a time point"):
        Stack(np.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"axis": 4}, "axis=4 is not an axis"),
        ({"axis": -5}, "axis=-5 is not an axis"),
        ({"axis": 0}, "axis=0 is not an axis"),
        ({"axis": 1, "fixed": {0: 2}}, "Axis 0 of the volume has indices 0 to 1"),
        ({"axis": 1, "fixed": {4: 0}}, "does not name different axes"),
        ({"axis": 1, "fixed": {}}, "give three axes"),
    ],
)
def test_invalid_axes_raise(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Stack(np.zeros((2, 3, 4, 5)), **{"fixed": {0: 0}, **arguments})


@pytest.mark.parametrize("dtype", [complex, object])
def test_complex_and_object_dtypes_raise(dtype: type) -> None:
    with pytest.raises(ValueError, match="only real numbers can be segmented"):
        propagate_stack(lit(BALL).astype(dtype), {1: {6: BOX}})
