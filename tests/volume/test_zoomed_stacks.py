"""Small objects of a stack, followed in windows of its planes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.planes import PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.from_arrays import stack_request
from napari_sam.requests.small_objects import SmallObjectWarning
from napari_sam.requests.stack import StackRequest
from napari_sam.volume.results import PropagationOptions
from tests.helpers.models import World
from tests.helpers.requests import DISPLAY, painted, run, view_of
from tests.helpers.scenes import box_on, ellipsoid, lit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.images.window import Window
    from napari_sam.prediction.predictor import Prediction
    from napari_sam.volume.results import VolumeResult

SHAPE = (16, 220, 240)
LEFT = ellipsoid(SHAPE, (7, 60, 60), (5, 4, 5))
RIGHT = ellipsoid(SHAPE, (9, 66, 76), (4, 5, 4))
FAR = ellipsoid(SHAPE, (8, 180, 200), (5, 5, 4))
LARGE = ellipsoid(SHAPE, (7, 120, 110), (6, 50, 60))


class ZoomingWorld(World):
    """Zooms in windows of 32 and 64 pixels; records what it is asked about."""

    input_size = 256
    smallest_window = 32

    def __init__(self, reach: int = 2) -> None:
        super().__init__(reach=reach)
        self.windows: list[Window | None] = []
        self.prompted: list[Window | None] = []

    def embed(self, plane: Any, *args: Any, window: Any = None, **options: Any) -> Any:
        self.windows.append(window)
        return super().embed(plane, *args, window=window, **options)

    def predict_batch(self, embedding: Any, prompts: Any, **_: Any) -> list[Prediction]:
        self.prompted += [embedding.window] * len(prompts)
        return super().predict_batch(embedding, prompts)


class WindowArray:
    """Array that records how many values are read from each plane."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.read: list[tuple[int, int]] = []

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        part: np.ndarray = self.data[index]
        self.read.append((index[0], part.size))
        return part

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the full array was read")


def noisy(mask: np.ndarray) -> np.ndarray:
    """Make a volume of which no two windows are alike."""
    noise = np.random.default_rng(3).integers(0, 9, mask.shape, np.uint8)
    volume: np.ndarray = lit(mask) + noise
    return volume


def follow(
    volume: Any, prompts: Any, model: Any = None, **options: Any
) -> VolumeResult:
    return ns.segment_volume(
        volume, prompts, model or ZoomingWorld(), contrast_limits=(0, 255), **options
    )


def windows_used(result: VolumeResult, object_id: int) -> list[Window | None]:
    return [piece.window for piece in result.of_object(object_id).values()]


THREE = {1: {7: box_on(LEFT, 7)}, 2: {9: box_on(RIGHT, 9)}, 3: {8: box_on(FAR, 8)}}


def test_small_objects_are_followed_in_windows() -> None:
    world = ZoomingWorld()
    result = follow(noisy(LEFT | RIGHT | FAR), THREE, world)
    assert_array_equal(result.labels, LEFT * 1 + RIGHT * 2 + FAR * 3)
    assert None not in world.windows
    assert all(window.side in (64, 128) for window in world.windows if window)
    assert all(window is not None for window in windows_used(result, 1))


def test_each_window_of_a_slice_is_encoded_once() -> None:
    world, cache = ZoomingWorld(), EmbeddingCache()
    volume = noisy(LEFT | RIGHT | FAR)
    result = follow(volume, THREE, world, cache=cache)
    encoded = [pixels.tobytes() for pixels in world.embedded]
    assert len(encoded) == len(set(encoded)) == cache.encoded_count
    places = {(piece.index, piece.window) for piece in result.slices}
    # Two slices beyond each end, and what was encoded ahead of them in vain.
    assert len(encoded) <= len(places) + 3 * 4
    shared = set(windows_used(result, 1)) & set(windows_used(result, 2))
    assert shared
    assert len({window for _, window in places}) <= 4


def test_only_windows_are_read() -> None:
    array = WindowArray(noisy(LEFT | FAR))
    prompts = {1: THREE[1], 3: THREE[3]}
    result = follow(array, prompts)
    assert_array_equal(result.labels, LEFT * 1 + FAR * 3)
    assert max(size for _, size in array.read) <= 64 * 64


def test_pyramids_give_windows_at_their_resolution() -> None:
    volume = noisy(LEFT)
    levels = [WindowArray(volume), WindowArray(volume[:, ::2, ::2])]
    reader = PlaneReader(levels)
    view = replace(view_of(volume, DISPLAY), reader=reader)
    request = StackRequest(view, Stack(reader), {1: THREE[1]}, PropagationOptions())
    result = run(request, ZoomingWorld())
    assert_array_equal(painted(result.pieces, SHAPE), LEFT)
    assert not levels[1].read
    assert max(size for _, size in levels[0].read) <= 64 * 64


def test_large_objects_are_followed_on_whole_planes() -> None:
    volume = noisy(LARGE | FAR)
    prompts = {1: {7: box_on(LARGE, 7)}}
    worlds = {zoom: ZoomingWorld() for zoom in ("auto", "off")}
    results = {z: follow(volume, prompts, w, zoom=z) for z, w in worlds.items()}
    for auto, off in zip(*(r.slices for r in results.values()), strict=True):
        assert_array_equal(auto.logits, off.logits)
        assert auto.confidence == off.confidence
        assert auto.window is off.window is None
    for auto, off in zip(*(w.embedded for w in worlds.values()), strict=True):
        assert_array_equal(auto, off)


def test_a_small_object_beside_a_large_one() -> None:
    prompts = {1: {7: box_on(LARGE, 7)}, 3: {8: box_on(FAR, 8)}}
    result = follow(noisy(LARGE | FAR), prompts)
    assert_array_equal(result.labels, np.where(FAR, 3, LARGE))
    assert set(windows_used(result, 1)) == {None}
    assert None not in windows_used(result, 3)


def test_objects_in_different_windows_do_not_grow_into_each_other() -> None:
    volume = np.full((6, *SHAPE[1:]), 20, np.uint8)
    volume[:, 50:62, 50:150] = 200  # nothing tells the two apart
    right = np.zeros(SHAPE[1:], bool)
    right[50:62, 60:150] = True
    result = follow(
        volume,
        {1: {2: Prompt(box=(50, 50, 61, 59))}},
        ZoomingWorld(reach=1),
        masks={2: dict.fromkeys(range(6), right)},
    )
    assert set(windows_used(result, 2)) == {None}
    assert None not in windows_used(result, 1)
    assert (result.labels[:, 50:62, 50:60] == 1).all()
    assert_array_equal(result.labels == 2, np.broadcast_to(right, volume.shape))


def cone(*radii: float) -> np.ndarray:
    mask = np.zeros((len(radii), *SHAPE[1:]), bool)
    rows, cols = np.indices(SHAPE[1:])
    for index, radius in enumerate(radii):
        mask[index] = (rows - 100) ** 2 + (cols - 110) ** 2 < radius**2
    return mask


def test_a_growing_object_gets_larger_windows_and_a_shrinking_one_keeps_them() -> None:
    mask = cone(3, 4, 5, 6.5, 8, 10, 13, 16, 19, 22, 19, 16, 13, 10, 8, 6.5)
    result = follow(noisy(mask), {1: {0: box_on(mask, 0)}})
    assert_array_equal(result.labels, mask.astype(int))
    sides = [window.side if window else 999 for window in windows_used(result, 1)]
    assert sides[0] == 64
    assert sides == sorted(sides)
    assert sides[-1] > 64


def test_the_scale_is_that_of_the_largest_prompt() -> None:
    mask = cone(4.5, 5, 6.5, 8, 8, 8, 8, 8)
    prompts = {1: {0: box_on(mask, 0), 5: box_on(mask, 5)}}
    result = follow(noisy(mask), prompts)
    assert_array_equal(result.labels, mask.astype(int))
    assert {w.side if w else None for w in windows_used(result, 1)} == {128}


def test_a_small_end_of_a_large_object_is_seen() -> None:
    mask = cone(3, 4, 6, 9, 13, 18, 24, 31, 39, 48, 58, 60)
    prompts = {1: {0: box_on(mask, 0), 10: box_on(mask, 10)}}
    result = follow(noisy(mask), prompts)
    assert_array_equal(result.labels, mask.astype(int))
    windows = windows_used(result, 1)
    assert windows[0] is not None
    assert windows[0].side == 64
    assert windows[10] is windows[11] is None


def test_a_mask_that_is_cut_is_asked_again() -> None:
    # From one slice to the next it becomes much wider than anything expects.
    mask = cone(*[4.5] * 5)
    mask[3, 98:103, 80:160] = True
    world = ZoomingWorld(reach=60)
    result = follow(noisy(mask), {1: {1: box_on(mask, 1)}}, world)
    assert {w.side for w in world.prompted if w} > {64}
    assert result.of_object(1)


def test_a_click_finds_the_size_and_keeps_it() -> None:
    world = ZoomingWorld()
    prompts = {1: {7: Prompt(points=[(60, 60)])}}
    result = follow(noisy(LEFT), prompts, world)
    asked = world.prompted[:3]
    assert len({window.side if window else None for window in asked}) == len(asked)
    assert_array_equal(result.labels, LEFT.astype(int))
    sides = {piece.window.side for piece in result.slices if piece.index != 7}  # type: ignore[union-attr]
    assert sides == {64}


def test_a_click_takes_the_size_from_other_prompts_of_the_object() -> None:
    world = ZoomingWorld()
    prompts = {1: {7: box_on(LEFT, 7), 9: Prompt(points=[(60, 60)])}}
    result = follow(noisy(LEFT), prompts, world)
    assert_array_equal(result.labels, LEFT.astype(int))
    # One for the box, one of the same size for the click, and one for larger objects.
    first = world.prompted[:3]
    assert first[0] == first[1] != first[2]


def test_painted_masks_are_followed_in_windows() -> None:
    world = ZoomingWorld()
    result = follow(noisy(LEFT), {}, world, masks={4: {7: LEFT[7]}})
    assert_array_equal(result.labels, LEFT * 4)
    assert None not in world.windows


@settings(max_examples=15)
@given(after=st.integers(1, 60))
def test_a_cancelled_propagation_can_be_resumed(after: int) -> None:
    mask = cone(3, 4, 5, 6.5, 8, 10, 13, 16, 13, 10, 8, 6.5, 5, 4, 3, 2) | FAR
    volume = noisy(mask)
    prompts = {1: {5: box_on(mask & ~FAR, 5)}, 3: {8: box_on(FAR, 8)}}
    expected = follow(volume, prompts)
    request = stack_request(volume, prompts, intensity=(0, 255))
    slices = request.iter_slices(ZoomingWorld(), EmbeddingCache())
    list(islice(slices, after))
    part = slices.result()
    rest = follow(volume, prompts, previous=part)
    assert [(s.object_id, s.index, s.window) for s in rest.slices] == [
        (s.object_id, s.index, s.window) for s in expected.slices
    ]
    assert_array_equal(rest.labels, expected.labels)


def test_a_slice_is_done_before_the_next_one_begins() -> None:
    world = ZoomingWorld()
    volume = noisy(LEFT | RIGHT | FAR)
    request = stack_request(volume, THREE, intensity=(0, 255))
    for _ in request.iter_slices(world, EmbeddingCache()):
        # The three windows of a slice, with the prompts of one object each.
        assert len(world.prompted) <= 3 * 3
        world.prompted.clear()


# -- requests --------------------------------------------------------------------------


def small_request(zoom: Any = "auto", data: Any = None) -> StackRequest:
    view = view_of(noisy(LEFT | FAR) if data is None else data)
    prompts = {1: THREE[1], 3: THREE[3]}
    stack = Stack(view.reader)
    return StackRequest(view, stack, prompts, PropagationOptions(), zoom=zoom)


@pytest.mark.parametrize("zoom", ["auto", "off", 3.0])
def test_the_zoom_is_recorded_and_repeated(zoom: Any) -> None:
    request = small_request(zoom)
    result = run(request, ZoomingWorld())
    entries = []
    for number in (1, 3):
        scores = [{"index": s.index, "status": s.status} for s in result.scores[number]]
        entry = request.to_json(number, result)
        assert entry["zoom"] == zoom
        entries.append({"object": number, "scores": scores, **entry})
    again = StackRequest.from_json(request.view, entries)
    assert again.zoom == zoom
    repeated = run(again, ZoomingWorld())
    assert_array_equal(repeated.paint(SHAPE), result.paint(SHAPE))
    for entry in entries:
        del entry["zoom"]
    assert StackRequest.from_json(request.view, entries).zoom == "off"


def test_results_of_another_zoom_are_not_reused() -> None:
    first = small_request()
    result = run(first, ZoomingWorld())
    for zoom, reused in (("auto", True), ("off", False), (2.0, False)):
        second = replace(first, zoom=zoom)
        assert (second.resume(first, result).previous is not None) == reused


@pytest.mark.parametrize("zoom", [0.5, "on", True, float("nan")])
def test_invalid_zooms_raise(zoom: Any) -> None:
    with pytest.raises(ValueError, match=r"The zoom is .*: give"):
        follow(noisy(LEFT), THREE, zoom=zoom)


def test_the_estimate_comes_before_the_long_work() -> None:
    world, request = ZoomingWorld(), small_request()
    texts, prompted = [], []
    for step in request.run(world, EmbeddingCache()):
        texts.append(step.what)
        prompted.append(len(world.prompted))
    (said,) = (i for i, text in enumerate(texts) if text.startswith("Following"))
    assert texts[said].startswith(
        "Following 2 objects in 2 windows through up to 16 slices: about 1 s"
    )
    assert prompted[said] == 2
    assert prompted[-1] > 10


def test_no_estimate_when_nothing_is_left() -> None:
    first = small_request()
    result = run(first, ZoomingWorld())
    slices = first.resume(first, result).iter_slices(ZoomingWorld(), EmbeddingCache())
    list(slices)
    assert slices.estimate is None


class Coarse(ZoomingWorld):
    """Sees 64 pixels a side, and cannot zoom."""

    input_size = 64
    smallest_window = 10**6


def test_objects_that_are_too_small_are_told() -> None:
    tiny = ellipsoid(SHAPE, (7, 60, 60), (5, 3, 3))
    prompts: Mapping[int, Any] = {1: {7: box_on(tiny, 7)}, 3: THREE[3]}
    volume = noisy(tiny | FAR)
    with pytest.warns(SmallObjectWarning, match=r"2 objects \(1, 3\) are only 1\.\d"):
        follow(volume, prompts, Coarse())
    with pytest.warns(SmallObjectWarning, match="Object 1 is only 5"):
        follow(volume, prompts, ZoomingWorld(), zoom="off")
    result = run(small_request(data=volume), Coarse())
    assert len(result.warnings) == 1
    follow(volume, {3: THREE[3]}, ZoomingWorld())  # seen with twice its size
    assert run(small_request(), ZoomingWorld()).warnings == ()
