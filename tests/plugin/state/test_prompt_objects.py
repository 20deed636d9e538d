"""Prompts of layers become objects by the same rules as prompts of files."""

import numpy as np
import pytest
from napari.layers import Points

from napari_sam.plugin.layers.prompt_reader import LayerPrompt
from napari_sam.plugin.state.prompt_objects import objects_in_stack, objects_on_plane
from napari_sam.prompts.prompt import Prompt

BOX, OTHER = Prompt(box=(0, 0, 10, 10)), Prompt(box=(20, 20, 30, 30))
INSIDE, LONE = Prompt(points=[(5, 5)]), Prompt(points=[(50, 50)])
OFF = Prompt(points=[(31, 25)], labels=[0])
LINE = Prompt(points=[(40, 40), (45, 45), (50, 50)])


def on(index: int, prompt: Prompt) -> LayerPrompt:
    return LayerPrompt(Points(ndim=3), np.zeros((1, 3)), "point", {0: index}, prompt)


def on_plane(*prompts: Prompt, each: bool = True) -> list[Prompt]:
    return objects_on_plane([on(0, prompt) for prompt in prompts], each)


def test_joined_prompts_are_one_object() -> None:
    (joined,) = on_plane(BOX, INSIDE, OFF, LONE, each=False)
    np.testing.assert_array_equal(joined.box, BOX.box)
    np.testing.assert_array_equal(joined.points, [(5, 5), (31, 25), (50, 50)])
    assert list(joined.labels) == [1, 0, 1]


def test_two_boxes_are_not_one_object() -> None:
    with pytest.raises(ValueError, match="2 boxes for one object: tick 'Each box"):
        on_plane(BOX, OTHER, each=False)


def test_boxes_are_numbered_before_points() -> None:
    objects = on_plane(LONE, BOX, OTHER, INSIDE)
    assert [sorted(p.kinds) for p in objects] == [["box", "point"], ["box"], ["point"]]
    np.testing.assert_array_equal(objects[0].points, [(5, 5)])
    np.testing.assert_array_equal(objects[2].points, [(50, 50)])


def test_a_line_is_one_object_unless_a_box_holds_it() -> None:
    assert [len(p.positives) for p in on_plane(LINE, BOX)] == [0, 3]
    around = Prompt(box=(30, 30, 60, 60))
    assert [len(p.positives) for p in on_plane(LINE, BOX, around)] == [0, 3]


def test_negative_points_without_an_object_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"A point in 'Points' is .* no object on its"):
        on_plane(OFF)


def test_prompts_on_several_slices_are_one_object() -> None:
    plan, _ = objects_in_stack([on(2, BOX), on(5, OTHER), on(5, OFF)], 0, False)
    assert {k: sorted(v) for k, v in plan.items()} == {1: [2, 5]}
    assert plan[1][5].kinds == {"box", "point"}


def test_prompts_on_several_slices_are_an_object_each() -> None:
    plan, _ = objects_in_stack([on(2, BOX), on(5, OTHER), on(5, LONE)], 0, True)
    assert {k: sorted(v) for k, v in plan.items()} == {1: [2], 2: [5], 3: [5]}


def test_two_boxes_on_one_slice_of_a_stack_are_refused() -> None:
    with pytest.raises(ValueError, match="2 boxes for one object"):
        objects_in_stack([on(2, BOX), on(2, OTHER)], 0, False)
