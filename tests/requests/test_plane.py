"""Segmentation of one plane: planes that are read, scores, progress."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.projection import Projection
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.zoom import answers
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.base import Score
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.view import ImageView
from tests.helpers.arrays import Recorder
from tests.helpers.models import World
from tests.helpers.requests import DISPLAY, painted, run, view_of
from tests.helpers.scenes import BALL, SHAPE, SMALL, box_on, lit

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor

FULL = slice(None)
AT = (6, FULL, FULL)
SCENE = lit(BALL | SMALL)


def test_a_plane_request_gives_the_labels_of_segment() -> None:
    prompts = {1: box_on(BALL, 6), 2: box_on(SMALL, 6)}
    result = run(PlaneRequest(view_of(SCENE), AT, prompts))
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


def test_many_prompts_tell_how_many_are_done_and_give_the_masks_of_one_batch(
    tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners = [(r, c, r + 9, c + 7) for r in range(0, 30, 3) for c in range(0, 28, 3)]
    prompts = {i: Prompt(box=box) for i, box in enumerate(corners, start=1)}
    request = PlaneRequest(view_of(SCENE), AT, prompts, zoom="off")
    steps = request.run(tiny_predictor, EmbeddingCache())
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as stop:
            result = stop.value
            break
    counts = [(p.what, p.done) for p in told if p.total == len(prompts)]
    assert [done for what, done in counts if what == "Segmenting"] == [0, 32, 64, 96]
    assert [done for what, done in counts if "Combining" in what] == [32, 64, 96]
    monkeypatch.setattr(answers, "DECODED_AT_ONCE", len(prompts))
    together = run(request, tiny_predictor)
    for one, other in zip(result.predictions, together.predictions, strict=True):
        assert_array_equal(one.logits, other.logits)
    assert_array_equal(result.paint(SHAPE), together.paint(SHAPE))


@pytest.mark.parametrize("value", [0, 50, 200, 255, np.nan])
def test_a_plane_that_shows_nothing_is_refused(value: float) -> None:
    volume = lit(BALL | SMALL).astype(float)
    volume[6] = value
    mapping = IntensityMapping.window(125, 150)  # 50 to 200
    request = PlaneRequest(view_of(volume, mapping), AT, {1: box_on(BALL, 6)})
    with pytest.raises(
        ValueError, match="shows nothing between the contrast limits 50 "
    ):
        run(request)
    volume[6, 3, 3] = 120
    assert run(request).scores


def test_black_colour_planes_are_refused() -> None:
    view = ImageView(PlaneReader((np.zeros((9, 9, 3), np.uint8),), rgb=True), DISPLAY)
    request = PlaneRequest(view, (FULL, FULL), {1: Prompt(points=[(3, 3)])})
    with pytest.raises(
        ValueError, match="shows nothing: all of it has the same colour"
    ):
        run(request)


def test_scripts_say_that_a_plane_shows_nothing() -> None:
    empty = np.zeros((30, 40), np.uint8)
    for segment in (
        lambda: ns.segment(empty, points=[(3, 3)], model=World()),
        lambda: ns.segment_everything(empty, model=World()),
        lambda: ns.segment_everything_volume(np.stack([empty] * 3), model=World()),
        lambda: ns.segment_volume(
            np.stack([empty] * 3), {1: Prompt(points=[(3, 3)])}, model=World()
        ),
    ):
        with pytest.raises(ValueError, match="shows nothing between the contrast limi"):
            segment()


def test_a_thick_slice_is_segmented_and_repeated_from_its_record() -> None:
    volume = np.zeros(SHAPE)
    volume[4:9] = np.where(BALL[6], 200, 0)
    volume[6] = 0
    margins = ((2.0, 2.0), (0.0, 0.0), (0.0, 0.0))
    view = view_of(volume, projection=Projection("max", margins))
    request = PlaneRequest(view, AT, {1: box_on(BALL, 6)})
    result = run(request)
    assert_array_equal(painted(result.pieces, SHAPE)[6] > 0, BALL[6])
    entry = json.loads(json.dumps(view.to_json((0, 255))))
    assert ImageView.from_json(entry, (volume,)).reader.projection == (
        view.reader.projection
    )


def test_only_the_requested_plane_is_read() -> None:
    source = Recorder(SCENE)
    run(PlaneRequest(view_of(source), AT, {1: box_on(BALL, 6)}))
    assert source.planes == [(6, None, None)]


def test_contrast_limits_are_measured_once_for_all_planes() -> None:
    source = Recorder(SCENE)
    view = view_of(source, IntensityMapping.full())
    for index in (5, 6, 7):
        plane_index = (index, FULL, FULL)
        result = run(PlaneRequest(view, plane_index, {1: box_on(BALL, 6)}))
        assert result.contrast_limits == (SCENE.min(), SCENE.max())
    assert len(source.planes) == len(SCENE) + 3


def test_a_plane_is_encoded_once(tiny_sam: Predictor) -> None:
    cache, view = EmbeddingCache(), view_of(SCENE)
    for box in (box_on(BALL, 6), box_on(SMALL, 6)):
        run(PlaneRequest(view, AT, {1: box}), tiny_sam, cache)
    assert len(cache) == 1
    brighter = ImageView(view.reader, IntensityMapping.window(60, 100))
    run(PlaneRequest(brighter, AT, {1: box}), tiny_sam, cache)
    assert len(cache) == 2


def test_pyramids_are_read_at_the_resolution_of_the_model(tiny_sam: Predictor) -> None:
    # tiny_sam sees 64 pixels a side.
    full = np.random.default_rng(2).integers(0, 255, (3, 256, 200), np.uint8)
    levels = [Recorder(full[:, ::step, ::step]) for step in (1, 2, 4, 8)]
    view = ImageView(PlaneReader(levels), DISPLAY, (0.0, 255.0))
    request = PlaneRequest(view, (1, FULL, FULL), {1: Prompt(box=(20, 30, 230, 190))})
    result = run(request, tiny_sam)
    assert [len(level.planes) for level in levels] == [0, 0, 1, 0]
    (prediction,) = result.predictions
    assert prediction.mask.shape == (256, 200)  # answers are of the full plane
    assert_array_equal(painted(result.pieces, full.shape)[1] > 0, prediction.mask)


def test_channels_become_colours() -> None:
    dark = np.full_like(SCENE, 20)
    data = np.stack([dark, lit(BALL), lit(SMALL)])
    source = (data,)
    channels = [Channel(source, 0, 1), Channel(source, 0, 2)]
    contrast_limits = ((0.0, 255.0), (0.0, 255.0), (0.0, 1.0))
    view = ImageView(PlaneReader(source, False, channels), DISPLAY, contrast_limits)
    world = World()
    prompts = {1: box_on(BALL, 6), 2: box_on(SMALL, 6)}
    result = run(PlaneRequest(view, (0, *AT), prompts), world)
    colours = np.stack([data[1, 6], data[2, 6], np.zeros_like(data[0, 6])], axis=-1)
    assert_array_equal(world.embedded[0], colours)
    assert_array_equal(
        painted(result.pieces, data.shape)[0, 6], BALL[6] * 1 + SMALL[6] * 2
    )


def test_an_empty_mask_has_a_score_and_no_piece() -> None:
    result = run(PlaneRequest(view_of(SCENE), AT, {1: Prompt(box=(0, 30, 4, 40))}))
    assert result.pieces == ()
    assert list(result.scores) == [1]


def test_progress_comes_before_each_step() -> None:
    world = World()
    steps = PlaneRequest(view_of(SCENE), AT, {1: box_on(BALL, 6)}).run(
        world, EmbeddingCache()
    )
    assert "Encoding" in next(steps).what
    assert not world.embedded
    assert "Segmenting" in next(steps).what
    assert len(world.embedded) == 1


def test_refinish_selects_the_alternative_of_a_size(tiny_sam: Predictor) -> None:
    request = PlaneRequest(view_of(SCENE), AT, {1: Prompt(points=[(15, 18)])})
    result = run(request, tiny_sam)
    areas = {}
    for size in ("small", "large"):
        sized = replace(request, size=size)
        (prediction,) = sized.refinish(result).predictions
        (expected,) = run(sized, tiny_sam).predictions
        assert_array_equal(prediction.logits, expected.logits)
        areas[size] = np.count_nonzero(prediction.mask)
    assert areas["small"] < areas["large"]


def test_records_repeat_the_windows_of_clicks() -> None:
    class Small(World):
        """Sees 32 pixels a side, in windows of 16 pixels and more."""

        smallest_window = 16

    request = PlaneRequest(
        view_of(SCENE), AT, {1: Prompt(points=[(15, 18)]), 2: box_on(SMALL, 6)}
    )
    model = Small()
    result = run(request, model)
    assert any(w is not None for w in result.windows[1])
    entries = [
        {"object": o, **json.loads(json.dumps(request.to_json(o, result)))}
        for o in (1, 2)
    ]
    repeated = PlaneRequest.from_json(request.view, entries)
    again = run(repeated, Small())
    assert again.windows == result.windows
    assert_array_equal(painted(again.pieces, SHAPE), painted(result.pieces, SHAPE))
    for entry in entries:
        del entry["windows"]  # as in records of earlier formats
    earlier = PlaneRequest.from_json(request.view, entries)
    assert run(earlier, Small()).windows == {1: (None,), 2: (None,)}
