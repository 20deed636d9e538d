"""The functions for scripts: forms of prompts, overlaps and input checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.prediction.click_sequence import predict_iteratively
from napari_sam.requests.from_arrays import by_object, make_prompts
from tests.helpers.models import World
from tests.helpers.scenes import BALL, box_on, lit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prompts.prompt import Prompt

POINTS = [(10, 12), (20, 30)]
BOXES = [(2, 3, 20, 25), (10, 14, 30, 38), (5, 5, 28, 20)]


@pytest.fixture(scope="module")
def plane() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (40, 48), np.uint8)


def described(prompt: ns.Prompt) -> tuple[Any, Any, Any]:
    """Return points, labels and box as plain lists."""
    values = (prompt.points, prompt.labels, prompt.box)
    points, labels, box = (None if v is None else v.tolist() for v in values)
    return points, labels, box


@pytest.mark.parametrize(
    ("points", "labels", "boxes", "expected"),
    [
        # Points alone: an object each.
        (POINTS, None, None, [([[10, 12]], [1], None), ([[20, 30]], [1], None)]),
        # Points with labels: one object.
        (POINTS, [1, 0], None, [([[10, 12], [20, 30]], [1, 0], None)]),
        (POINTS, [[1, 0]], None, [([[10, 12], [20, 30]], [1, 0], None)]),
        # Points of several objects.
        (
            [POINTS, POINTS[::-1]],
            None,
            None,
            [
                ([[10, 12], [20, 30]], [1, 1], None),
                ([[20, 30], [10, 12]], [1, 1], None),
            ],
        ),
        (
            [POINTS, POINTS[::-1]],
            [[1, 0], [0, 1]],
            None,
            [
                ([[10, 12], [20, 30]], [1, 0], None),
                ([[20, 30], [10, 12]], [0, 1], None),
            ],
        ),
        # Boxes: an object each; one may come bare.
        (None, None, BOXES[:2], [(None, None, list(box)) for box in BOXES[:2]]),
        (None, None, BOXES[0], [(None, None, list(BOXES[0]))]),
        # One box with all points, several with their own.
        (POINTS, None, BOXES[0], [([[10, 12], [20, 30]], [1, 1], list(BOXES[0]))]),
        (POINTS, [1, 0], [BOXES[0]], [([[10, 12], [20, 30]], [1, 0], list(BOXES[0]))]),
        (
            [[p] for p in POINTS],
            [[1], [0]],
            BOXES[:2],
            [
                ([[10, 12]], [1], list(BOXES[0])),
                ([[20, 30]], [0], list(BOXES[1])),
            ],
        ),
        # Empty layers are as good as none.
        ([], [], BOXES[0], [(None, None, list(BOXES[0]))]),
        (np.empty((0, 2)), None, BOXES[0], [(None, None, list(BOXES[0]))]),
        (POINTS[:1], None, np.empty((0, 4)), [([[10, 12]], [1], None)]),
    ],
)
def test_forms_of_prompts(points: Any, labels: Any, boxes: Any, expected: Any) -> None:
    found = [described(prompt) for prompt in make_prompts(points, labels, boxes)]
    assert found == expected


@pytest.mark.parametrize(
    ("points", "labels", "boxes", "sentence"),
    [
        (None, None, None, "There are no prompts"),
        ([], None, [], "There are no prompts"),
        (None, [1], BOXES[0], "labels are given without points"),
        (None, [1], None, "labels are given without points"),
        (POINTS, None, BOXES[:2], "points for 1 objects and 2 boxes"),
        ([POINTS] * 3, None, BOXES[:2], "points for 3 objects and 2 boxes"),
        ([POINTS] * 2, [1, 0], None, "and 1 rows of labels"),
        (POINTS, [[1, 0], [0, 1]], None, "and 2 rows of labels"),
        (POINTS, [1], None, "There are 2 points and labels of shape"),
        (POINTS, [], None, "There are 2 points and labels of shape"),
        (POINTS, [1, 2], None, "Point labels are 1 .* or 0"),
        ([(1, 2, 3)], None, None, "Points have shape"),
        ((1, 2, 3), None, None, "Points have shape"),
        ([(np.nan, 2)], None, None, "point is not finite"),
        (None, None, [(1, 2, 3)], "box has shape"),
        (None, None, (30, 30, 2, 2), "is reversed"),
        (None, None, (0, 0, np.inf, 2), "box is not finite"),
    ],
)
def test_mismatched_prompts(
    points: Any, labels: Any, boxes: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_prompts(points, labels, boxes)


def leaving_out(answer: Prediction, others: Sequence[Prompt]) -> Prediction:
    """The best alternative without a point on another object, if there is one."""
    alone = [
        candidate
        for candidate in answer.candidates
        if not any(candidate.holds(other.positives).any() for other in others)
    ]
    return next(iter(alone), answer)


@pytest.mark.parametrize(
    "arguments",
    [
        {"boxes": BOXES},
        {"points": POINTS},
        {"points": POINTS, "labels": [1, 0]},
        {"points": [POINTS, POINTS], "labels": [[1, 0], [0, 1]], "boxes": BOXES[:2]},
    ],
)
def test_segment_decodes_points_one_by_one(
    plane: np.ndarray, tiny_predictor: Predictor, arguments: dict[str, Any]
) -> None:
    labels = ns.segment(plane, model=tiny_predictor, **arguments)
    assert (labels.shape, labels.dtype) == (plane.shape, np.int32)
    prompts = make_prompts(
        *(arguments.get(name) for name in ("points", "labels", "boxes"))
    )
    answers = predict_iteratively(tiny_predictor, tiny_predictor.embed(plane), prompts)
    if len(prompts) > 1 and all(prompt.kinds == {"point"} for prompt in prompts):
        answers = [
            leaving_out(answer, [p for p in prompts if p is not prompt])
            for answer, prompt in zip(answers, prompts, strict=True)
        ]
    masks = np.array([found.mask for found in answers])
    assert_array_equal(labels > 0, masks.any(axis=0))
    for number, mask in enumerate(masks, start=1):
        others = np.delete(masks, number - 1, axis=0).any(axis=0)
        assert (labels[mask & ~others] == number).all()
        assert mask[labels == number].all()


@settings(max_examples=6)
@given(order=st.permutations(range(3)))
def test_overlaps_do_not_depend_on_the_order(
    plane: np.ndarray, tiny_sam: Predictor, order: list[int]
) -> None:
    labels = ns.segment(plane, boxes=BOXES, model=tiny_sam)
    mixed = ns.segment(plane, boxes=[BOXES[i] for i in order], model=tiny_sam)
    renumbered = np.array([0, *(i + 1 for i in order)])
    assert_array_equal(renumbered[mixed], labels)


def test_overlaps_go_to_the_larger_logit() -> None:
    class Loud(World):
        """The more certain of an object, the larger its box."""

        def answer(self, pixels: np.ndarray, prompt: ns.Prompt) -> ns.Prediction:
            self.gain = float(np.ptp(prompt.box[::2]))
            return super().answer(pixels, prompt)

    plane = np.pad(np.full((20, 20), 255, np.uint8), (0, 1))
    labels = ns.segment(plane, boxes=[(0, 0, 9, 9), (5, 5, 19, 19)], model=Loud())
    assert (labels[5:20, 5:20] == 2).all()
    assert np.count_nonzero(labels == 1) == 100 - 25


def test_contrast_limits_reach_the_model() -> None:
    world = World()
    plane = np.linspace(0, 1000, 400).reshape(20, 20)
    ns.segment(plane, boxes=[0, 0, 19, 19], model=world, contrast_limits=(0, 2000))
    assert world.embedded[0].max() == 128


@pytest.mark.parametrize(
    ("image", "arguments", "sentence"),
    [
        (np.zeros((9, 9), complex), {}, "type complex128: only real numbers"),
        (np.zeros((9, 9), object), {}, "type object: only real numbers"),
        (np.array([["a"]]), {}, "only real numbers"),
        (np.zeros((1, 2, 3, 9, 9)), {}, r"shape \(1, 2, 3, 9, 9\): give one plane"),
        (np.zeros(9), {}, "give one plane"),
        (np.zeros((9, 9, 2)), {}, "give one plane"),
        (np.zeros((0, 9)), {}, "at least one pixel"),
        (np.zeros((9, 9)), {"labels": [0]}, "only background points"),
        (np.zeros((9, 9)), {"points": [(9, 0)]}, "point .* lies outside the plane"),
        (np.zeros((9, 9)), {"points": [(0, -1)]}, "point .* lies outside the plane"),
        (np.zeros((9, 9)), {"boxes": [9, 9, 12, 12]}, "box .* lies outside the plane"),
        (np.zeros((9, 9)), {"points": []}, "There are no prompts"),
        (np.zeros((9, 9)), {"contrast_limits": (5, 1)}, "not two increasing numbers"),
    ],
)
def test_invalid_input_raises_one_sentence(
    tiny_predictor: Predictor, image: Any, arguments: dict[str, Any], sentence: str
) -> None:
    prompts = {"points": [(0, 0)], **arguments}
    with pytest.raises(ValueError, match=sentence) as refusal:
        ns.segment(image, model=tiny_predictor, **prompts)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("prompt", [{"points": [(0, 0)]}, {"boxes": [0, 0, 0, 0]}])
def test_an_image_of_one_pixel(
    tiny_predictor: Predictor, prompt: dict[str, Any]
) -> None:
    one = np.full((1, 1), 100, np.uint8)
    labels = ns.segment(one, model=tiny_predictor, **prompt)
    assert (labels.shape, labels.dtype) == ((1, 1), np.int32)
    assert labels.max() <= 1


@pytest.mark.parametrize("value", [0.0, 3.5, np.nan])
def test_constant_images_show_nothing(tiny_predictor: Predictor, value: float) -> None:
    empty = np.full((30, 40), value)
    with pytest.raises(ValueError, match="shows nothing between the contrast limits"):
        ns.segment(empty, boxes=BOXES[0], model=tiny_predictor)


def test_an_unknown_model_raises(plane: np.ndarray) -> None:
    with pytest.raises(ValueError, match="neither a known model"):
        ns.segment(plane, points=POINTS, model="no_such_model")


BOX = box_on(BALL, 6)


def test_both_forms_of_volume_prompts() -> None:
    assert by_object({6: BOX}) == {1: {6: BOX}}
    assert by_object({3: {6: BOX}}) == {3: {6: BOX}}
    short = ns.segment_volume(lit(BALL), {6: BOX}, model=World())
    long = ns.segment_volume(lit(BALL), {3: {6: BOX}}, model=World())
    assert_array_equal(short.labels, BALL)
    assert_array_equal(long.labels, BALL * 3)


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ({6: BOX, 1: {6: BOX}}, "The prompts mix"),
        ({6: (1, 2, 3, 4)}, "The prompt of 6 is a tuple"),
        ({6: None}, "The prompt of 6 is a NoneType"),
        ({}, "There are no prompts"),
        ({99: BOX}, "slice 99"),
    ],
)
def test_invalid_volume_prompts_raise_before_a_model_is_loaded(
    prompts: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        ns.segment_volume(lit(BALL), prompts, model=Path("is never looked for"))


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_volumes_are_recognized(channels: int) -> None:
    colour = np.stack([lit(BALL)] * channels, axis=-1)
    out = ns.segment_volume(colour, {6: BOX}, model=World())
    assert_array_equal(out.labels, BALL)


def test_volumes_along_another_axis_and_as_lists() -> None:
    turned = np.moveaxis(lit(BALL), 0, 2)
    out = ns.segment_volume(turned, {6: BOX}, model=World(), axis=-1)
    assert_array_equal(np.moveaxis(out.labels, 2, 0), BALL)
    listed = ns.segment_volume(lit(BALL).tolist(), {6: BOX}, model=World())
    assert_array_equal(listed.labels, BALL)


@pytest.mark.parametrize("shape", [(20, 20), (2, 5, 20, 20), (1, 2, 5, 20, 20)])
def test_volumes_of_other_dimensions_raise(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give three axes"):
        ns.segment_volume(np.zeros(shape), {0: BOX}, model=World())


def test_a_network_propagates_through_a_stack(tiny_predictor: Predictor) -> None:
    volume = lit(BALL)[4:7]
    options = ns.PropagationOptions(fit_border=False)
    out = ns.segment_volume(volume, {1: BOX}, model=tiny_predictor, options=options)
    middle = ns.segment(volume[1], boxes=BOX.box, model=tiny_predictor)
    assert_array_equal(out.labels[1], middle)
