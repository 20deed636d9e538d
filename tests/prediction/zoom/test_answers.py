"""Answers in windows: the best scale, cut masks, growth, repetition."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.window import Window
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import Prediction
from napari_sam.prediction.steps import run_to_end
from napari_sam.prediction.zoom.answers import (
    DECODED_AT_ONCE,
    ZoomedPlane,
)
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prediction.zoom.options import ZoomHints, ZoomStep
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE = 512


@dataclass
class Discs:
    """A plane of discs, and a model that sees 64 pixels a side.

    It finds the disc under a prompt if that has 4 pixels or more in the network, and a
    blur around the prompt with a lower score otherwise.
    """

    discs: Sequence[tuple[int, int, int]]
    encoded: list[Window | None] = field(default_factory=list)
    decoded: list[tuple[Window | None, list[Prompt]]] = field(default_factory=list)

    def embed(self, window: Window | None) -> Any:
        self.encoded.append(window)
        return window

    def decode(self, window: Any, prompts: Sequence[Prompt]) -> list[Prediction]:
        self.decoded.append((window, list(prompts)))
        return [self.answer(window, prompt) for prompt in prompts]

    def answer(self, window: Window | None, prompt: Prompt) -> Prediction:
        seen = window or Window(0, 0, SIDE, SIDE)
        row, col = (
            prompt.positives[0]
            if prompt.box is None
            else prompt.box.reshape(2, 2).mean(axis=0)
        )
        centre_row, centre_col, radius = min(
            self.discs, key=lambda d: float(np.hypot(d[0] - row, d[1] - col)) - d[2]
        )
        score = 0.9
        if 2 * radius * 64 / seen.side < 4:
            centre_row, centre_col, radius, score = row, col, seen.side // 8, 0.6
        rows, cols = np.indices(seen.shape)
        distance = np.hypot(rows + seen.row - centre_row, cols + seen.col - centre_col)
        logits = np.where(distance < radius, 9, -9).astype(np.float32)
        transform = PlaneTransform(
            (SIDE, SIDE), seen.shape, seen.side, seen.side, "lite_medsam", window
        )
        one = Prediction(logits, score, transform)
        return Prediction(logits, score, transform, (one,))

    def plane(self, zoom: Any = "auto", **options: Any) -> ZoomedPlane:
        grid = WindowGrid((SIDE, SIDE), 32)
        return ZoomedPlane(grid, self.embed, self.decode, zoom, **options)

    def iou(self, prediction: Prediction, number: int = 0) -> float:
        row, col, radius = self.discs[number]
        rows, cols = np.indices((SIDE, SIDE))
        truth = np.hypot(rows - row, cols - col) < radius
        found = prediction.mask
        return float((truth & found).sum() / (truth | found).sum())


def box_around(row: int, col: int, radius: int) -> Prompt:
    return Prompt(box=(row - radius, col - radius, row + radius, col + radius))


@pytest.mark.parametrize("radius", [3, 6, 12, 25, 60, 150])
def test_a_click_finds_objects_of_any_size(radius: int) -> None:
    world = Discs([(250, 260, radius)])
    click = Prompt(points=[(250 + radius // 2, 260)])
    (answer,) = run_to_end(world.plane().answer([click]))
    assert world.iou(answer.prediction) > 0.9
    assert len(world.encoded) <= 4
    assert answer.windows == tuple(world.encoded)


def test_a_box_needs_one_window() -> None:
    world = Discs([(250, 260, 6)])
    (answer,) = run_to_end(world.plane().answer([box_around(250, 260, 6)]))
    assert world.iou(answer.prediction) > 0.9
    assert len(world.encoded) == len(world.decoded) == 1
    assert answer.prediction.window == world.encoded[0]


def test_large_objects_are_seen_on_the_whole_plane() -> None:
    world = Discs([(250, 260, 60)])
    (answer,) = run_to_end(world.plane().answer([box_around(250, 260, 60)]))
    assert world.encoded == [None]
    assert answer.prediction is not None
    assert answer.prediction.window is None


def test_prompts_in_the_same_window_are_decoded_together() -> None:
    discs = [(250, 250 + 16 * i, 4) for i in range(3)]
    world = Discs(discs)
    answers = run_to_end(world.plane().answer([box_around(*disc) for disc in discs]))
    assert len(set(world.encoded)) == len(world.encoded)
    assert len(world.encoded) < 3
    for number, answer in enumerate(answers):
        assert world.iou(answer.prediction, number) > 0.9


def test_a_mask_that_is_cut_is_asked_in_a_larger_window() -> None:
    world = Discs([(250, 260, 60)])
    wrong_box = Prompt(box=(248, 258, 252, 262))  # a corner of the object only
    (answer,) = run_to_end(world.plane().answer([wrong_box]))
    assert world.iou(answer.prediction) > 0.9
    sides = [SIDE if w is None else w.side for w in answer.windows]
    assert sides == sorted(set(sides))
    assert 1 < len(sides) <= 5


def test_growth_ends() -> None:
    class Growing(Discs):
        """Always fills the window."""

        def answer(self, window: Window | None, prompt: Prompt) -> Prediction:
            found = super().answer(window, prompt)
            return Prediction(np.full_like(found.logits, 9), 0.9, found.transform)

    world = Growing([(250, 260, 4)])
    (answer,) = run_to_end(world.plane().answer([box_around(250, 260, 2)]))
    assert len(answer.windows) <= 5
    assert answer.prediction.window == answer.windows[-1]


def test_expected_objects_cost_few_windows() -> None:
    world = Discs([(250, 260, 6)])
    plane = world.plane(hints=ZoomHints(object_size=13))
    (answer,) = run_to_end(plane.answer([Prompt(points=[(250, 260)])]))
    assert world.iou(answer.prediction) > 0.9
    assert len(world.encoded) == 2


def test_objects_of_another_size_than_expected_are_found() -> None:
    world = Discs([(250, 260, 5)])
    plane = world.plane(hints=ZoomHints(object_size=100))
    (answer,) = run_to_end(plane.answer([Prompt(points=[(250, 260)])]))
    assert world.iou(answer.prediction) > 0.9


def test_given_windows_are_kept_and_others_not_asked() -> None:
    world = Discs([(250, 260, 6)])
    window = Window(192, 192, 128, 128)
    clicks = Prompt(points=[(250, 260), (300, 300)], labels=[1, 0])
    (answer,) = run_to_end(world.plane().answer([clicks], {0: (window,)}))
    assert answer.windows == (window,)
    assert world.encoded == [window]


def test_a_window_without_the_object_is_not_kept() -> None:
    world = Discs([(250, 260, 6)])
    elsewhere = Window(0, 0, 128, 128)
    click = Prompt(points=[(250, 260)])
    (answer,) = run_to_end(world.plane().answer([click], {0: (elsewhere,)}))
    assert elsewhere not in answer.windows
    assert world.iou(answer.prediction) > 0.9


def test_background_points_outside_a_window_are_left_out() -> None:
    world = Discs([(250, 260, 6)])
    clicks = Prompt(points=[(250, 260), (20, 20)], labels=[1, 0])
    run_to_end(world.plane().answer([clicks]))
    for window, (prompt,) in world.decoded:
        assert len(prompt.points) == (2 if window is None else 1)


@pytest.mark.parametrize("radius", [3, 25, 150])
def test_asking_the_same_windows_again_gives_the_same_answer(radius: int) -> None:
    world = Discs([(250, 260, radius)])
    prompts = [Prompt(points=[(250, 260)]), box_around(250, 260, radius)]
    answers = run_to_end(world.plane().answer(prompts))
    again = Discs(world.discs)
    start = {i: answer.windows for i, answer in enumerate(answers)}
    repeated = run_to_end(again.plane().answer(prompts, start, repeat=True))
    for one, other in zip(answers, repeated, strict=True):
        assert one.windows == other.windows
        np.testing.assert_array_equal(one.prediction.mask, other.prediction.mask)
        assert len(one.prediction.candidates) == len(other.prediction.candidates)


class Nested(Discs):
    """Finds the inner disc in small windows, the outer one in large ones."""

    def answer(self, window: Window | None, prompt: Prompt) -> Prediction:
        side = SIDE if window is None else window.side
        seen = Discs(self.discs[:1] if side <= 64 else self.discs[1:])
        return seen.answer(window, prompt)


NESTED = [(250, 260, 6), (250, 260, 60)]
IN_VIEW = ZoomHints(visible=Window(0, 0, SIDE, SIDE))


def test_a_clear_answer_on_the_plane_needs_no_windows() -> None:
    world = Discs([(250, 260, 70)])
    (answer,) = run_to_end(world.plane().answer([Prompt(points=[(250, 260)])]))
    assert world.iou(answer.prediction) > 0.9
    assert answer.windows == (None,)


def test_candidates_come_from_other_scales() -> None:
    world = Nested(NESTED)
    plane = world.plane(hints=IN_VIEW)
    (answer,) = run_to_end(plane.answer([Prompt(points=[(250, 260)])]))
    candidates = answer.prediction.candidates
    assert candidates[0].logits is answer.prediction.logits
    assert len({c.window for c in candidates}) == len(candidates) > 1


def test_a_size_selects_among_the_candidates_of_all_windows() -> None:
    world = Nested(NESTED)
    click, areas = Prompt(points=[(250, 260)]), []
    for size in ("small", "large"):
        plane = world.plane(size=size, hints=IN_VIEW)
        (answer,) = run_to_end(plane.answer([click]))
        areas.append(np.count_nonzero(answer.prediction.mask))
    assert areas[0] < areas[1]


def test_steps_tell_what_comes_next() -> None:
    world = Discs([(250, 260, 6)])
    steps = world.plane().answer([box_around(250, 260, 6)])
    first = next(steps)
    assert isinstance(first, ZoomStep)
    assert first.what == "encode"
    assert not world.encoded
    assert next(steps) == ("decode", first.window, 0, 1)
    assert not world.decoded


@dataclass
class Clumps(Discs):
    """A model whose best answer holds all discs together; its second, one of them."""

    def answer(self, window: Window | None, prompt: Prompt) -> Prediction:
        one = super().answer(window, prompt).candidates[0]
        rows, cols = np.indices(one.logits.shape)
        start = (0, 0) if window is None else (window.row, window.col)
        discs = [
            np.hypot(rows + start[0] - row, cols + start[1] - col) < radius
            for row, col, radius in self.discs
        ]
        together = np.where(np.any(discs, axis=0), 9, -9).astype(np.float32)
        clump = Prediction(together, one.score + 0.05, one.transform)
        return replace(clump, candidates=(clump, one))


TWO = [(150, 150, 40), (150, 240, 40)]


@pytest.mark.parametrize("zoom", ["off", "auto"])
def test_a_click_does_not_take_what_another_click_is_on(zoom: Any) -> None:
    scene = Clumps(TWO)
    clicks = [Prompt(points=[disc[:2]]) for disc in TWO]
    together = run_to_end(scene.plane(zoom).answer(clicks))
    for number, answer in enumerate(together):
        assert scene.iou(answer.prediction, number) > 0.9
    (alone,) = run_to_end(scene.plane(zoom).answer(clicks[:1]))
    assert alone.prediction.holds(np.array(TWO, float)[:, :2]).all()
    # Again in the same windows, as a replay asks.
    start = {i: answer.windows for i, answer in enumerate(together)}
    again = run_to_end(scene.plane(zoom).answer(clicks, start, repeat=True))
    for first, second in zip(together, again, strict=True):
        np.testing.assert_array_equal(first.prediction.mask, second.prediction.mask)


def test_a_box_may_hold_other_objects() -> None:
    scene = Clumps(TWO)
    prompts = [box_around(150, 195, 90), Prompt(points=[TWO[0][:2]])]
    box, _ = run_to_end(scene.plane("off").answer(prompts))
    assert box.prediction.holds(np.array(TWO, float)[:, :2]).all()


def test_without_another_answer_clicks_in_one_object_keep_theirs() -> None:
    scene = Discs(TWO)
    clicks = [Prompt(points=[(150, 140)]), Prompt(points=[(150, 160)])]
    for answer in run_to_end(scene.plane().answer(clicks)):
        assert scene.iou(answer.prediction) > 0.9


@given(seed=st.integers(0, 99), shape=st.tuples(st.integers(9, 70), st.integers(9, 70)))
def test_points_on_a_mask_are_told_by_its_low_resolution(
    seed: int, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    window = Window(3, 5, *shape)
    plane_shape = (shape[0] + 10, shape[1] + 9)
    side = max(shape)
    transform = PlaneTransform(plane_shape, shape, side, side, "lite_medsam", window)
    logits = np.where(rng.random((side, side)) < 0.5, 1, -1).astype(np.float32)
    prediction = Prediction(logits, 0.5, transform)
    points = rng.uniform(-2, np.array(plane_shape) + 2, (40, 2))
    rows, cols = np.floor(points - (3, 5) + 0.5).astype(int).T
    inside = (rows >= 0) & (cols >= 0) & (rows < shape[0]) & (cols < shape[1])
    expected = np.zeros(len(points), bool)
    expected[inside] = logits[rows[inside], cols[inside]] > 0
    np.testing.assert_array_equal(prediction.holds(points), expected)


def test_many_prompts_are_decoded_in_batches_with_a_step_before_each() -> None:
    world = Discs([(250, 260, 60)])
    count = 2 * DECODED_AT_ONCE + 5
    steps = world.plane("off").answer([box_around(250, 260, 60)] * count)
    told = [step for step in steps if step.what == "decode"]
    assert [step.done for step in told] == [0, DECODED_AT_ONCE, 2 * DECODED_AT_ONCE]
    assert {step.total for step in told} == {count}
    assert [len(asked) for _, asked in world.decoded] == [
        DECODED_AT_ONCE,
        DECODED_AT_ONCE,
        5,
    ]


def test_who_stops_in_the_middle_decodes_no_more() -> None:
    world = Discs([(250, 260, 60)])
    steps = world.plane("off").answer([box_around(250, 260, 60)] * 500)
    while next(steps).done == 0:
        pass
    steps.close()
    assert len(world.decoded) == 1
