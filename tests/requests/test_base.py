"""A question and its answer: which planes are read, which pixels are whose."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.masks.painting import pieces_from_patches
from napari_sam.masks.patch import MaskPatch, resolve_overlaps
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.base import (
    Score,
    SegmentationResult,
    run_to_end,
)
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.requests.view import ImageView
from napari_sam.volume.results import PropagationOptions
from tests.helpers.arrays import Recorder
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SHAPE, SMALL, box_on, ellipsoid, lit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.prediction.predictor import Predictor

FULL = slice(None)
AT = (6, FULL, FULL)
SCENE = lit(BALL | SMALL)
DISPLAY = IntensityMapping.display()


def view_of(data: Any, mapping: IntensityMapping = DISPLAY, **reader: Any) -> ImageView:
    return ImageView(PlaneReader((data,), **reader), mapping, (0.0, 255.0))


def painted(pieces: Iterable[ObjectPlaneMask], shape: tuple[int, ...]) -> np.ndarray:
    """Object numbers; pieces must not overlap."""
    labels = np.zeros(shape, int)
    for piece in pieces:
        target = labels[piece.plane_index][piece.region]
        assert not target[piece.mask].any()
        target[piece.mask] = piece.object_id
    return labels


def ask(
    request: Any, model: Any = None, cache: EmbeddingCache | None = None
) -> SegmentationResult:
    # An empty cache is false.
    cache = EmbeddingCache() if cache is None else cache
    return run_to_end(request.run(model or World(), cache))


# -- one slice -----------------------------------------------------------------


def test_a_slice_equals_the_script() -> None:
    prompts = {1: box_on(BALL, 6), 2: box_on(SMALL, 6)}
    result = ask(PlaneRequest(view_of(SCENE), AT, prompts))
    script = ns.segment(
        SCENE[6],
        boxes=[prompt.box for prompt in prompts.values()],
        model=World(),
        contrast_limits=(0, 255),
    )
    assert_array_equal(painted(result.pieces, SHAPE)[6], script)
    assert not painted(result.pieces, SHAPE)[[5, 7]].any()
    assert result.contrast_limits == (0, 255)
    assert result.volume is None
    assert len(result.predictions) == 2
    assert result.scores == {
        number: (Score(None, pytest.approx(0.9), "prompt"),) for number in (1, 2)
    }


def test_only_the_plane_of_the_slice_is_read() -> None:
    source = Recorder(SCENE)
    ask(PlaneRequest(view_of(source), AT, {1: box_on(BALL, 6)}))
    assert source.planes == [(6, None, None)]


def test_brightness_is_measured_once_for_all_slices() -> None:
    source = Recorder(SCENE)
    view = view_of(source, IntensityMapping.full())
    for index in (5, 6, 7):
        plane_index = (index, FULL, FULL)
        result = ask(PlaneRequest(view, plane_index, {1: box_on(BALL, 6)}))
        assert result.contrast_limits == (SCENE.min(), SCENE.max())
    assert len(source.planes) == len(SCENE) + 3


def test_a_plane_is_encoded_once(tiny_sam: Predictor) -> None:
    cache, view = EmbeddingCache(), view_of(SCENE)
    for box in (box_on(BALL, 6), box_on(SMALL, 6)):
        ask(PlaneRequest(view, AT, {1: box}), tiny_sam, cache)
    assert len(cache) == 1
    brighter = ImageView(view.reader, IntensityMapping.window(60, 100))
    ask(PlaneRequest(brighter, AT, {1: box}), tiny_sam, cache)
    assert len(cache) == 2


def test_pyramids_are_read_at_the_size_of_the_model(tiny_sam: Predictor) -> None:
    # tiny_sam sees 64 pixels a side.
    full = np.random.default_rng(2).integers(0, 255, (3, 256, 200), np.uint8)
    levels = [Recorder(full[:, ::step, ::step]) for step in (1, 2, 4, 8)]
    view = ImageView(PlaneReader(levels), DISPLAY, (0.0, 255.0))
    request = PlaneRequest(view, (1, FULL, FULL), {1: Prompt(box=(20, 30, 230, 190))})
    result = ask(request, tiny_sam)
    assert [len(level.planes) for level in levels] == [0, 0, 1, 0]
    (prediction,) = result.predictions
    assert prediction.mask.shape == (256, 200)  # answers are of the full plane
    assert_array_equal(painted(result.pieces, full.shape)[1] > 0, prediction.mask)


def test_channels_are_seen_as_colours() -> None:
    dark = np.full_like(SCENE, 20)
    data = np.stack([dark, lit(BALL), lit(SMALL)])
    source = (data,)
    channels = [Channel(source, 0, 1), Channel(source, 0, 2)]
    contrast_limits = ((0.0, 255.0), (0.0, 255.0), (0.0, 1.0))
    view = ImageView(PlaneReader(source, False, channels), DISPLAY, contrast_limits)
    world = World()
    prompts = {1: box_on(BALL, 6), 2: box_on(SMALL, 6)}
    result = ask(PlaneRequest(view, (0, *AT), prompts), world)
    seen = np.stack([data[1, 6], data[2, 6], np.zeros_like(data[0, 6])], axis=-1)
    assert_array_equal(world.embedded[0], seen)
    assert_array_equal(
        painted(result.pieces, data.shape)[0, 6], BALL[6] * 1 + SMALL[6] * 2
    )


def test_an_empty_mask_has_a_score_and_no_piece() -> None:
    result = ask(PlaneRequest(view_of(SCENE), AT, {1: Prompt(box=(0, 30, 4, 40))}))
    assert result.pieces == ()
    assert list(result.scores) == [1]


def test_progress_is_told_before_the_work() -> None:
    world = World()
    steps = PlaneRequest(view_of(SCENE), AT, {1: box_on(BALL, 6)}).run(
        world, EmbeddingCache()
    )
    assert "Encoding" in next(steps).what
    assert not world.embedded
    assert "Segmenting" in next(steps).what
    assert len(world.embedded) == 1


# -- overlaps ------------------------------------------------------------------

patches = st.builds(
    MaskPatch,
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5),
        elements=st.sampled_from([-1.0, 1.0, 2.0, 3.0]),
    ),
)


@given(members=st.lists(patches, max_size=5), plane_index=st.sampled_from([(), (2,)]))
def test_each_pixel_belongs_to_one_object(
    members: list[MaskPatch], plane_index: Any
) -> None:
    numbers = [*range(1, len(members) + 1)]
    index = (*plane_index, FULL, FULL)
    pieces = pieces_from_patches(numbers, index, members)
    found = painted(pieces, (*(3 for _ in plane_index), 10, 10))
    expected = np.zeros((10, 10), int)
    for number, patch, mask in zip(
        numbers, members, resolve_overlaps(members), strict=True
    ):
        expected[patch.region][mask] = number
    assert_array_equal(found[plane_index], expected)
    for piece in pieces:  # cut to its box
        assert piece.plane_index == index
        for axis in (0, 1):
            assert piece.mask.any(axis=axis)[[0, -1]].all()


# -- stacks --------------------------------------------------------------------


def stack_request(data: Any = SCENE, **stack: Any) -> StackRequest:
    view = view_of(data)
    prompts = {1: {6: box_on(BALL, 6)}, 2: {8: box_on(SMALL, 8)}}
    return StackRequest(
        view, Stack(view.reader, **stack), prompts, PropagationOptions()
    )


def test_a_stack_equals_the_script() -> None:
    request = stack_request()
    result = ask(request)
    script = ns.segment_volume(
        SCENE, request.prompts, model=World(), contrast_limits=(0, 255)
    )
    found = painted(result.pieces, SHAPE)
    assert_array_equal(found, script.labels)
    assert_array_equal(found, BALL * 1 + SMALL * 2)
    assert result.volume is not None
    assert_array_equal(result.volume.labels, found)
    assert result.predictions == ()


def test_overlaps_in_a_stack_are_settled() -> None:
    near = ellipsoid(SHAPE, (6, 20, 27), (5, 11, 12))
    view = view_of(lit(BALL | near))
    prompts = {1: {6: box_on(BALL, 6)}, 2: {6: box_on(near, 6)}}
    result = ask(StackRequest(view, Stack(view.reader), prompts, PropagationOptions()))
    assert result.volume is not None
    assert_array_equal(painted(result.pieces, SHAPE), result.volume.labels)
    assert set(np.unique(result.volume.labels)) == {0, 1, 2}


def test_scores_are_those_of_the_slices_that_hold_the_object() -> None:
    result = ask(stack_request())
    for number, truth in ((1, BALL), (2, SMALL)):
        scores = result.scores[number]
        assert [s.index for s in scores] == np.flatnonzero(truth.any((1, 2))).tolist()
        assert {s.status for s in scores} == {"anchor", "propagated"}
    assert result.lowest_score == pytest.approx(0.9)


def test_what_was_reached_can_be_finished() -> None:
    request = stack_request()
    slices = request.iter_slices(World(), EmbeddingCache())
    some = list(islice(slices, 5))
    result = request.finish(World(), slices.result())
    reached = {(s.object_id, s.index) for s in some if s.status != "stopped"}
    assert {(p.object_id, p.plane_index[0]) for p in result.pieces} == reached
    assert {(n, s.index) for n, g in result.scores.items() for s in g} == reached
    nothing = request.finish(World(), slices.result([]))
    assert (nothing.pieces, nothing.scores) == ((), {})
    assert nothing.lowest_score == 0


def test_a_stack_that_is_stopped_keeps_what_is_done() -> None:
    request, seen = stack_request(), []

    def stopped() -> bool:
        seen.append(1)
        return len(seen) == 4

    steps = request.run(World(), EmbeddingCache(), stopped)
    result = run_to_end(steps)
    assert result.volume is not None
    assert not result.volume.complete
    assert len(result.volume.slices) == 4


def test_progress_counts_slices() -> None:
    request = stack_request()
    steps = [*request.run(World(), EmbeddingCache())]
    done = [step.done for step in steps]
    assert done == [*range(len(done))]
    assert {step.total for step in steps[1:]} == {2 * len(SCENE)}
    assert done[-1] <= 2 * len(SCENE)


def test_time_points_are_pieces_of_their_own() -> None:
    series = np.stack([np.zeros_like(SCENE), SCENE])
    result = ask(stack_request(series, axis=1, fixed={0: 1}))
    assert_array_equal(painted(result.pieces, series.shape)[1], BALL * 1 + SMALL * 2)
    assert {piece.plane_index[0] for piece in result.pieces} == {1}


def test_all_slices_share_the_limits_of_the_stack() -> None:
    volume = SCENE.astype(np.int16) * 10
    view = view_of(volume, IntensityMapping.percentiles(5, 95))
    world = World()
    prompts = {1: {6: box_on(BALL, 6)}}
    request = StackRequest(view, Stack(view.reader), prompts, PropagationOptions())
    result = ask(request, world)
    assert result.contrast_limits == view.contrast_limits(AT) == request.contrast_limits
    low, high = np.percentile(volume, (5, 95))
    assert result.contrast_limits == (low, high)
    assert_array_equal(painted(result.pieces, SHAPE), BALL)
