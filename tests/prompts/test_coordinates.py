"""Forms of points, boxes and labels that scripts have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Shapes

from napari_sam.prompts.coordinates import as_boxes
from napari_sam.prompts.prompt import Prompt

rows = st.integers(0, 60).map(float)
corners = st.tuples(rows, rows, rows, rows).filter(lambda c: c[0] != c[2])


def ordered(box: tuple[float, ...]) -> list[float]:
    (r0, r1), (c0, c1) = sorted(box[::2]), sorted(box[1::2])
    return [r0, c0, r1, c1]


def vertices(box: tuple[float, ...], *index: float) -> np.ndarray:
    r0, c0, r1, c1 = box
    return np.array(
        [(*index, r, c) for r, c in ((r0, c0), (r0, c1), (r1, c1), (r1, c0))]
    )


@given(boxes=st.lists(corners, min_size=1, max_size=5), depth=st.integers(0, 2))
def test_the_data_of_a_shapes_layer_are_boxes(boxes: Any, depth: int) -> None:
    index = (7.0, 3.0)[:depth]
    layer = Shapes([vertices(box, *index) for box in boxes], shape_type="polygon")
    expected = [ordered(box) for box in boxes]
    for data in (layer.data, [v.tolist() for v in layer.data], np.array(layer.data)):
        assert [box.tolist() for box in as_boxes(data)] == expected
    if depth < 2:  # four vertices in four dimensions could also be four boxes
        assert as_boxes(layer.data[0])[0].tolist() == expected[0]
    prompt = Prompt(box=layer.data[0])
    assert prompt.box.tolist() == expected[0]


def test_shapes_with_different_numbers_of_vertices() -> None:
    triangle, line = [[1, 2], [5, 9], [3, 0]], [[4, 4], [8, 6]]
    assert [b.tolist() for b in as_boxes([triangle, line])] == [
        [1, 0, 5, 9],
        [4, 4, 8, 6],
    ]


@pytest.mark.parametrize(
    "boxes",
    [
        [vertices((0, 0, 4, 4), 1.0), vertices((0, 0, 4, 4), 2.0)],
        [[[0, 1, 1], [1, 4, 4]]],
    ],
)
def test_shapes_on_several_planes_are_refused(boxes: Any) -> None:
    with pytest.raises(ValueError, match=r"several planes|on 2 planes"):
        as_boxes(boxes)


@given(point=st.tuples(rows, rows), label=st.sampled_from([0, 1, True]))
def test_a_bare_point_is_one_point(point: Any, label: Any) -> None:
    for form in (point, list(point), np.array(point), [point]):
        prompt = Prompt(points=form, labels=label)
        assert prompt.points.tolist() == [list(point)]
        assert prompt.labels.tolist() == [int(label)]


@pytest.mark.parametrize("field", ["points", "box", "labels", "mask"])
@pytest.mark.parametrize(
    "value", ["here", b"x", [[1, 2], [3]], [None, 1], {"row": 1}, object(), 1j]
)
def test_what_is_no_number_is_named(field: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as refusal:
        Prompt(**{"points": [[1, 2]], field: value})
    sentence = str(refusal.value).lower()
    assert field in sentence
    assert "give" in sentence
    assert "\n" not in sentence


def test_masked_coordinates_are_refused() -> None:
    points = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], [[False] * 2, [True] * 2])
    with pytest.raises(ValueError, match="masked values: fill them first"):
        Prompt(points=points)
