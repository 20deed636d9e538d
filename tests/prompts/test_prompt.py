"""Prompts: checks at creation and against a plane."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_sam.prompts.prompt import Prompt, label_from_polarity

coordinates = st.floats(-1e4, 1e4)
factors = st.floats(0.01, 100)
pairs = st.tuples(coordinates, coordinates)
sides = st.integers(1, 500)


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    low = np.array(draw(pairs))
    size = np.array(draw(st.tuples(st.floats(0.1, 1e3), st.floats(0.1, 1e3))))
    return np.concatenate([low, low + size])


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    points = draw(st.lists(st.tuples(pairs, st.integers(0, 1)), max_size=4))
    return Prompt(
        points=[p for p, _ in points],
        labels=[label for _, label in points],
        box=draw(st.none() | boxes()),
    )


def assert_same(first: Prompt, second: Prompt) -> None:
    for name in ("points", "labels", "box", "mask"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_allclose(one, other, atol=1e-6, err_msg=name)


def test_values_become_arrays() -> None:
    prompt = Prompt(points=[[1, 2]], labels=[0], box=(1, 2, 3, 4), mask=[[0.5]])
    assert prompt.points.dtype == float
    assert prompt.labels.dtype == np.int64
    assert prompt.box.dtype == float
    assert prompt.mask.dtype == np.float32
    assert prompt.kinds == {"point", "box", "mask"}


def test_points_are_positive_by_default() -> None:
    prompt = Prompt(points=[[1, 2], [3, 4]])
    assert prompt.labels.tolist() == [1, 1]
    assert len(prompt.negatives) == 0


def test_positives_and_negatives() -> None:
    prompt = Prompt(points=[[1, 2], [3, 4], [5, 6]], labels=[1, 0, 1])
    assert prompt.positives.tolist() == [[1, 2], [5, 6]]
    assert prompt.negatives.tolist() == [[3, 4]]
    assert Prompt(box=[0, 0, 1, 1]).positives.shape == (0, 2)


@pytest.mark.parametrize("nothing", [None, [], np.empty((0, 2)), np.empty(0)])
def test_empty_points_are_none(nothing: Any) -> None:
    prompt = Prompt(points=nothing, labels=nothing, box=[0, 0, 1, 1])
    assert prompt.points is None
    assert prompt.labels is None
    assert prompt.kinds == {"box"}


@pytest.mark.parametrize("name", ["points", "labels", "box", "mask"])
def test_prompts_are_frozen(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(Prompt(points=[[1, 2]]), name, None)


def test_prompts_copy_their_values() -> None:
    points, box, mask = np.ones((1, 2)), np.array([0.0, 0, 9, 9]), np.eye(3) > 0
    labels = np.ones(1, int)
    prompt = Prompt(points=points, labels=labels, box=box, mask=mask)
    for source in (points, labels, box, mask):
        source[...] = 0
    assert prompt.points.tolist() == [[1, 1]]
    assert prompt.labels.tolist() == [1]
    assert prompt.box.tolist() == [0, 0, 9, 9]
    assert prompt.mask.any()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"points": [1, 2, 3]}, r"Points have shape \(3,\): give \(N, 2\)"),
        ({"points": [[1, 2, 3]]}, r"Points have shape \(1, 3\)"),
        ({"points": [[np.nan, 2]]}, "A point is not finite"),
        ({"points": [[1, np.inf]]}, "A point is not finite"),
        ({"points": [[1, 2]], "labels": [1, 0]}, "There are 1 points and labels of"),
        ({"points": [[1, 2]] * 2, "labels": 1}, "There are 2 points and labels of"),
        ({"points": [[1, 2]], "labels": [2]}, "Point labels are 1 .* or 0"),
        ({"points": [[1, 2]], "labels": [-1]}, "Point labels are 1 .* or 0"),
        ({"points": [[1, 2]], "labels": [0.5]}, "Point labels are 1 .* or 0"),
        ({"labels": [1]}, "Point labels are given without points"),
        ({"box": [1, 2, 3]}, r"The box has shape \(3,\)"),
        ({"box": [[1, 2, 3, 4]]}, r"The box has shape \(1, 4\)"),
        ({"box": [1, 2, np.nan, 4]}, "The box is not finite"),
        ({"box": [1, 4, 3, 2]}, r"The box \(1, 4, 3, 2\) is reversed: give .* last"),
        ({"box": [3, 2, 1, 4]}, r"The box \(3, 2, 1, 4\) is reversed"),
        ({"mask": np.zeros((2, 3, 4), bool)}, r"The mask prompt has shape \(2, 3, 4\)"),
        ({"mask": np.zeros((3, 4), int)}, "The mask prompt has type int64"),
        ({"mask": np.zeros((3, 4), complex)}, "The mask prompt has type complex128"),
        ({"mask": np.full((3, 4), np.nan)}, "logits that are not finite"),
    ],
)
def test_invalid_values_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Prompt(**values)


@given(rows=sides, cols=sides, row=coordinates, col=coordinates)
def test_points_must_lie_within_a_pixel(
    rows: int, cols: int, row: float, col: float
) -> None:
    prompt = Prompt(points=[[row, col]])
    if -0.5 <= row < rows - 0.5 and -0.5 <= col < cols - 0.5:
        assert_same(prompt.within((rows, cols)), prompt)
    else:
        with pytest.raises(ValueError, match="lies outside the plane of"):
            prompt.within((rows, cols))


@pytest.mark.parametrize("axis", [0, 1])
@given(size=sides)
def test_points_at_the_edges_of_the_plane(axis: int, size: int) -> None:
    shape = (size, 7) if axis == 0 else (7, size)
    for inside in (-0.5, np.nextafter(size - 0.5, 0)):
        point = [inside, 3] if axis == 0 else [3, inside]
        Prompt(points=[point]).within(shape)
    for outside in (np.nextafter(-0.5, -1), size - 0.5):
        point = [outside, 3] if axis == 0 else [3, outside]
        with pytest.raises(ValueError, match="lies outside"):
            Prompt(points=[point]).within(shape)


def test_the_message_names_the_point_outside() -> None:
    prompt = Prompt(points=[[3, 3], [3, 99.25]], labels=[1, 0])
    with pytest.raises(ValueError, match=r"\(3, 99\.25\) .* plane of 10 x 20 pixels"):
        prompt.within((10, 20))


@given(rows=sides, cols=sides, box=boxes())
def test_boxes_are_cropped_to_the_plane(rows: int, cols: int, box: np.ndarray) -> None:
    low = np.maximum(box[:2], -0.5)
    high = np.minimum(box[2:], (rows - 0.5, cols - 0.5))
    prompt = Prompt(box=box)
    if (low < high).all():
        cropped = prompt.within((rows, cols))
        np.testing.assert_array_equal(cropped.box, [*low, *high])
        assert_same(cropped.within((rows, cols)), cropped)
    else:
        with pytest.raises(ValueError, match=r"The box .* lies outside the plane"):
            prompt.within((rows, cols))
    np.testing.assert_array_equal(prompt.box, box)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [5, 5, 9, 5], [0, 0, 0, 0]])
def test_boxes_without_an_area(box: list[int]) -> None:
    assert Prompt(box=box).within((10, 10)).box.tolist() == box
    with pytest.raises(ValueError, match="lies outside the plane"):
        Prompt(box=np.array(box) + 20).within((10, 10))


def test_cropping_keeps_points_and_mask() -> None:
    mask = np.eye(10) > 0
    prompt = Prompt(points=[[1, 2]], labels=[0], box=[2, 2, 50, 50], mask=mask)
    cropped = prompt.within((10, 10))
    assert cropped.box.tolist() == [2, 2, 9.5, 9.5]
    assert cropped.points.tolist() == [[1, 2]]
    assert cropped.labels.tolist() == [0]
    np.testing.assert_array_equal(cropped.mask, mask)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (Prompt(), "The prompt is empty: give a point, a box or a mask"),
        (Prompt(points=[[1, 1]], labels=[0]), "only background points"),
        (Prompt(mask=np.ones((11, 10), bool)), r"shape \(11, 10\) .* \(10, 10\)"),
        (Prompt(mask=np.zeros((10, 10), bool)), "The mask prompt is empty"),
    ],
    ids=["empty", "negative", "shape", "no pixel"],
)
def test_prompts_without_an_object_on_the_plane_are_refused(
    prompt: Prompt, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        prompt.within((10, 10))


@given(
    origin=st.tuples(*[st.integers(-3, 12)] * 2),
    shape=st.tuples(*[st.integers(1, 12)] * 2),
)
def test_masks_of_a_part_of_the_plane(
    origin: tuple[int, int], shape: tuple[int, int]
) -> None:
    prompt = Prompt(mask=np.ones(shape, bool), mask_origin=origin)
    assert prompt.mask_origin == origin
    if min(origin) >= 0 and (np.add(origin, shape) <= (10, 10)).all():
        assert prompt.within((10, 10)) is prompt
    else:
        with pytest.raises(ValueError, match=r"from pixel .* give a boolean mask"):
            prompt.within((10, 10))


@pytest.mark.parametrize("origin", [(1,), (1, 2, 3), 4, (0.5, 1), None, "ab"])
def test_invalid_origins_are_refused(origin: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"mask_origin.*: give integers"):
        Prompt(mask=np.ones((2, 2), bool), mask_origin=origin)


def test_logits_have_no_origin() -> None:
    with pytest.raises(ValueError, match="only a boolean mask can be a part"):
        Prompt(mask=np.ones((2, 2), np.float32), mask_origin=(1, 0))


def test_negative_points_with_another_prompt() -> None:
    for other in ({"box": [0, 0, 5, 5]}, {"mask": np.ones((10, 10), bool)}):
        Prompt(points=[[1, 1]], labels=[0], **other).within((10, 10))


def test_logits_of_any_shape() -> None:
    Prompt(mask=np.zeros((4, 4), np.float32)).within((10, 10))


@given(prompt=prompts(), offset=pairs)
def test_shifting_and_back(prompt: Prompt, offset: tuple[float, float]) -> None:
    assert_same(prompt.shifted(offset).shifted(np.negative(offset)), prompt)


@given(prompt=prompts(), factor=st.tuples(factors, factors))
def test_scaling_and_back(prompt: Prompt, factor: tuple[float, float]) -> None:
    assume(prompt.kinds)
    scaled = prompt.scaled(factor)
    assert scaled.kinds == prompt.kinds
    assert_same(scaled.scaled(1 / np.array(factor)), prompt)


def test_shifted_and_scaled() -> None:
    mask = np.ones((5, 5), bool)
    prompt = Prompt(points=[[1, 2]], box=[0, 1, 2, 3], mask=mask, mask_origin=(2, 3))
    shifted, scaled = prompt.shifted((10, 20)), prompt.scaled((2, 3))
    assert shifted.points.tolist() == [[11, 22]]
    assert shifted.box.tolist() == [10, 21, 12, 23]
    assert scaled.points.tolist() == [[2, 6]]
    assert scaled.box.tolist() == [0, 3, 4, 9]
    assert shifted.mask is None
    assert scaled.mask is None
    assert shifted.mask_origin == scaled.mask_origin == (0, 0)
    assert scaled.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("positive", 1),
        (" Negative ", 0),
        ("", 1),
        ("False", 0),
        (True, 1),
        (np.False_, 0),
        (-1, 0),
        ("0", 0),
        (2.5, 1),
        (np.nan, 1),
        ("cell", None),
        (None, None),
    ],
)
def test_label_from_polarity(value: Any, label: int | None) -> None:
    assert label_from_polarity(value) == label


@pytest.mark.parametrize(
    "values",
    [
        {"points": [[1e300, 2]], "labels": [1]},
        {"box": [0, 0, 1e13, 5]},
        {"mask": np.ones((2, 2), bool), "mask_origin": (1e300, 0)},
    ],
)
def test_positions_that_no_image_has(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pixels away|integers"):
        Prompt(**values)
