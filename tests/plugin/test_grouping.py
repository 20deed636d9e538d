import numpy as np
import pytest
from napari.layers import Points

from napari_sam.plugin.grouping import (
    join_prompts,
    objects_in_stack,
    objects_on_plane,
    separate_prompts,
)
from napari_sam.plugin.layer_prompts import LayerPrompt
from napari_sam.prompts import Prompt

BOX, OTHER = Prompt(box=(0, 0, 10, 10)), Prompt(box=(20, 20, 30, 30))
INSIDE, LONE = Prompt(points=[(5, 5)]), Prompt(points=[(50, 50)])
OFF = Prompt(points=[(31, 25)], labels=[0])


def on(index: int, prompt: Prompt) -> LayerPrompt:
    return LayerPrompt(Points(ndim=3), np.zeros((1, 3)), "point", {0: index}, prompt)


def test_joined_prompts_are_one_object() -> None:
    joined = join_prompts([BOX, INSIDE, OFF, LONE])
    np.testing.assert_array_equal(joined.box, BOX.box)
    np.testing.assert_array_equal(joined.points, [(5, 5), (31, 25), (50, 50)])
    assert list(joined.labels) == [1, 0, 1]
    assert join_prompts([BOX]).points is None
    assert join_prompts([LONE]).box is None


def test_two_boxes_are_not_one_object() -> None:
    with pytest.raises(ValueError, match="2 boxes for one object: tick 'Each box"):
        join_prompts([BOX, OTHER])


def test_each_box_and_lone_point_is_an_object() -> None:
    objects = separate_prompts([BOX, OTHER, INSIDE, LONE])
    assert [sorted(p.kinds) for p in objects] == [["box", "point"], ["box"], ["point"]]
    np.testing.assert_array_equal(objects[0].points, [(5, 5)])
    np.testing.assert_array_equal(objects[2].points, [(50, 50)])


def test_negative_points_go_to_the_nearest_object() -> None:
    objects = separate_prompts([BOX, OTHER, LONE, OFF])
    assert [p.negatives.tolist() for p in objects] == [[], [[31, 25]], []]
    near_point = Prompt(points=[(48, 50)], labels=[0])
    objects = separate_prompts([BOX, near_point, LONE])
    assert [p.negatives.tolist() for p in objects] == [[], [[48, 50]]]


def test_a_point_in_two_boxes_belongs_to_the_smaller() -> None:
    inner = Prompt(box=(3, 3, 7, 7))
    objects = separate_prompts([BOX, inner, INSIDE])
    assert [len(p.positives) for p in objects] == [0, 1]


def test_a_line_is_one_object() -> None:
    line = Prompt(points=[(40, 40), (45, 45), (50, 50)])
    objects = separate_prompts([line, BOX])
    assert sorted(len(p.positives) for p in objects) == [0, 3]


def test_negative_points_alone_are_not_lost() -> None:
    (alone,) = objects_on_plane([on(0, OFF)], each_prompt_an_object=True)
    with pytest.raises(ValueError, match="only negative points"):
        alone.within((60, 60))


def test_prompts_on_several_slices_are_one_object() -> None:
    plan = objects_in_stack([on(2, BOX), on(5, OTHER), on(5, OFF)], 0, False)
    assert {k: sorted(v) for k, v in plan.items()} == {1: [2, 5]}
    assert plan[1][5].kinds == {"box", "point"}


def test_prompts_on_several_slices_are_an_object_each() -> None:
    plan = objects_in_stack([on(2, BOX), on(5, OTHER), on(5, LONE)], 0, True)
    assert {k: sorted(v) for k, v in plan.items()} == {1: [2], 2: [5], 3: [5]}


def test_two_boxes_on_one_slice_of_a_stack_are_refused() -> None:
    with pytest.raises(ValueError, match="2 boxes for one object"):
        objects_in_stack([on(2, BOX), on(2, OTHER)], 0, False)
