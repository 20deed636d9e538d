"""Propagation requests: pieces, scores, progress and cancelling."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.stack import Stack
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.stack import StackRequest
from napari_sam.volume.results import PropagationOptions
from tests.helpers.models import World
from tests.helpers.requests import painted, run, view_of
from tests.helpers.scenes import BALL, SHAPE, SMALL, box_on, ellipsoid, lit

FULL = slice(None)
AT = (6, FULL, FULL)
SCENE = lit(BALL | SMALL)


def two_objects(data: Any = SCENE, **stack: Any) -> StackRequest:
    view = view_of(data)
    prompts = {1: {6: box_on(BALL, 6)}, 2: {8: box_on(SMALL, 8)}}
    return StackRequest(
        view, Stack(view.reader, **stack), prompts, PropagationOptions()
    )


def test_a_stack_request_gives_the_labels_of_segment_volume() -> None:
    request = two_objects()
    result = run(request)
    script = ns.segment_volume(
        SCENE, request.prompts, model=World(), contrast_limits=(0, 255)
    )
    found = painted(result.pieces, SHAPE)
    assert_array_equal(found, script.labels)
    assert_array_equal(found, BALL * 1 + SMALL * 2)
    assert result.volume is not None
    assert_array_equal(result.volume.labels, found)
    assert result.predictions == ()


def test_overlaps_in_a_stack_are_resolved() -> None:
    near = ellipsoid(SHAPE, (6, 20, 27), (5, 11, 12))
    view = view_of(lit(BALL | near))
    prompts = {1: {6: box_on(BALL, 6)}, 2: {6: box_on(near, 6)}}
    result = run(StackRequest(view, Stack(view.reader), prompts, PropagationOptions()))
    assert result.volume is not None
    assert_array_equal(painted(result.pieces, SHAPE), result.volume.labels)
    assert set(np.unique(result.volume.labels)) == {0, 1, 2}


def test_scores_of_the_slices_with_the_object() -> None:
    result = run(two_objects())
    for number, truth in ((1, BALL), (2, SMALL)):
        scores = result.scores[number]
        assert [s.index for s in scores] == np.flatnonzero(truth.any((1, 2))).tolist()
        assert {s.status for s in scores} == {"anchor", "propagated"}
    assert result.lowest_score == pytest.approx(0.9)


def test_a_cancelled_propagation_can_be_finished() -> None:
    request = two_objects()
    slices = request.iter_slices(World(), EmbeddingCache())
    some = list(islice(slices, 5))
    result = request.finish(World(), slices.result())
    reached = {(s.object_id, s.index) for s in some if s.status != "stopped"}
    assert {(p.object_id, p.plane_index[0]) for p in result.pieces} == reached
    assert {(n, s.index) for n, g in result.scores.items() for s in g} == reached
    nothing = request.finish(World(), slices.result([]))
    assert (nothing.pieces, nothing.scores) == ((), {})
    assert nothing.lowest_score == 0


def test_stopped_ends_with_the_slices_so_far() -> None:
    request, seen = two_objects(), []

    def stopped() -> bool:
        seen.append(1)
        return len(seen) == 4

    steps = request.run(World(), EmbeddingCache(), stopped)
    result = run_to_end(steps)
    assert result.volume is not None
    assert not result.volume.complete
    assert len(result.volume.slices) == 4


def test_progress_never_goes_back_nor_beyond_its_total() -> None:
    request = two_objects()
    steps = [*request.run(World(), EmbeddingCache())]
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[0] == 0 < done[-1]
    known = [step for step in steps if step.total]
    assert all(step.done <= step.total for step in known)
    assert known[-1].done == known[-1].total


def test_pieces_lie_at_their_time_point() -> None:
    series = np.stack([np.zeros_like(SCENE), SCENE])
    result = run(two_objects(series, axis=1, fixed={0: 1}))
    assert_array_equal(painted(result.pieces, series.shape)[1], BALL * 1 + SMALL * 2)
    assert {piece.plane_index[0] for piece in result.pieces} == {1}


def test_all_slices_share_contrast_limits() -> None:
    volume = SCENE.astype(np.int16) * 10
    view = view_of(volume, IntensityMapping.percentiles(5, 95))
    world = World()
    prompts = {1: {6: box_on(BALL, 6)}}
    request = StackRequest(view, Stack(view.reader), prompts, PropagationOptions())
    result = run(request, world)
    assert result.contrast_limits == view.contrast_limits(AT) == request.contrast_limits
    low, high = np.percentile(volume, (5, 95))
    assert result.contrast_limits == (low, high)
    assert_array_equal(painted(result.pieces, SHAPE), BALL)


def test_resume_reuses_a_result_of_the_same_settings() -> None:
    first = two_objects()
    result = run(first)
    second = StackRequest(first.view, first.stack, first.prompts, first.options)
    assert second.resume(first, result).previous is result.volume
    world = World()
    again = run(second.resume(first, result), world)
    assert_array_equal(again.paint(SHAPE), result.paint(SHAPE))
    assert world.embedded == []


@pytest.mark.parametrize("change", ["view", "options", "stack"])
def test_resume_ignores_a_result_of_other_settings(change: str) -> None:
    first = two_objects()
    others = {
        "view": view_of(SCENE, IntensityMapping.full()),
        "options": PropagationOptions(margin=0.1),
        "stack": Stack(first.view.reader, 1),
    }
    second = replace(first, **{change: others[change]})
    assert second.resume(first, run(first)).previous is None
