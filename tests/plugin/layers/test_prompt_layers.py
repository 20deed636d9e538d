"""Prompts that are removed from the layers of the plugin, and come back."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Points, Shapes

from napari_sam.plugin.layers.prompt_layers import (
    add_prompt_layers,
    remove_prompts,
    restore_prompts,
)
from napari_sam.plugin.layers.prompt_reader import LayerPrompt, point_labels
from napari_sam.prompts.prompt import Prompt

KINDS = ("rectangle", "ellipse", "polygon")


def click(label: int) -> Prompt:
    return Prompt(points=[(0, 0)], labels=[label])


def drawn_points(layer: Points, labels: list[int]) -> list[LayerPrompt]:
    return [
        LayerPrompt(
            layer,
            np.array([[3.0 * i, 5]]),
            "point",
            {},
            Prompt(points=[(0, 0)], labels=[label]),
        )
        for i, label in enumerate(labels)
    ]


def drawn_shapes(layer: Shapes, kinds: list[str]) -> list[LayerPrompt]:
    square = np.array([(0, 0), (0, 4), (4, 4), (4, 0)], float)
    return [
        LayerPrompt(layer, square + 9 * i, kind, {}, Prompt(box=(0, 0, 1, 1)))
        for i, kind in enumerate(kinds)
    ]


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.integers(0, 1), min_size=1, max_size=9),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=9),
    data=st.data(),
)
def test_prompts_come_back_in_their_order(
    labels: list[int], kinds: list[str], data: st.DataObject
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((90, 90), np.uint8))
    points, shapes = add_prompt_layers(viewer, image)
    for layer, prompts in (
        (points, drawn_points(points, labels)),
        (shapes, drawn_shapes(shapes, kinds)),
    ):
        restore_prompts(layer, prompts)
        first = described(layer)
        assert len(first) == len(prompts)
        some = data.draw(st.integers(0, len(prompts)))
        remove_prompts(layer, prompts[some:])
        assert described(layer) == first[:some]
        restore_prompts(layer, prompts)
        assert described(layer) == first
        restore_prompts(layer, prompts)  # they are there already
        assert described(layer) == first
    assert point_labels(points) == labels


def test_many_shapes_come_back_as_one_change() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((90, 90), np.uint8))
    _, shapes = add_prompt_layers(viewer, image)
    changes: list[Any] = []
    shapes.events.data.connect(lambda event: changes.append(event.action))
    restore_prompts(shapes, drawn_shapes(shapes, ["rectangle"] * 40))
    assert len(shapes.data) == 40
    assert len(changes) <= 2  # before and after


def described(layer: Points | Shapes) -> list[Any]:
    kinds = (
        layer.shape_type if isinstance(layer, Shapes) else ["point"] * len(layer.data)
    )
    data = [np.asarray(item).tolist() for item in layer.data]
    return list(zip(data, kinds, strict=True))
