"""Assignment of prompts to objects, and to the objects of a pending stack."""

import numpy as np
import pytest
from napari.layers import Points

from napari_sam.plugin.layers.prompt_reader import LayerPrompt
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.state.prompt_objects import objects_in_stack, objects_on_plane
from napari_sam.prompts.prompt import Prompt
from tests.helpers.sessions import FIRST, SECOND, corners, draw, written

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


def test_line_is_one_object_unless_a_box_contains_it() -> None:
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


# -- prompts that correct a pending stack ---------------------------------------

FREE = (0, 40, 6, 48)


@pytest.fixture
def two(session: SamSession) -> SamSession:
    """Both balls, each from its own box on slice 4, propagated and pending."""
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    session.propagate()
    return session


def slices_of(session: SamSession) -> dict[int, list[int]]:
    """Return {object: slices with prompts} of the next request."""
    prompts = session.build_stack_request().request.prompts
    return {number: sorted(slices) for number, slices in prompts.items()}


def click(session: SamSession, *plane_index: float, on: bool = True) -> None:
    assert session.points_layer is not None
    session.points_layer.add([plane_index])
    features = session.points_layer.features
    features.loc[len(features) - 1, "polarity"] = "positive" if on else "negative"
    session.points_layer.features = features


def test_box_on_another_slice_corrects_the_object_under_it(two: SamSession) -> None:
    draw(two, (24, 34, 32, 42), 5)
    assert slices_of(two) == {1: [4], 2: [4, 5]}
    before = two.result
    volume = two.propagate()
    assert before is not None
    assert before.volume is not None
    assert volume.recomputed < before.volume.recomputed
    first = [s for s in volume.slices if s.object_id == 1]
    assert [s.logits.tobytes() for s in first] == [
        s.logits.tobytes() for s in before.volume.slices if s.object_id == 1
    ]
    assert two.commit() == 2


def test_box_off_all_objects_starts_a_new_one(two: SamSession) -> None:
    draw(two, FREE, 5)
    assert slices_of(two) == {1: [4], 2: [4], 3: [5]}


def test_second_box_on_a_slice_starts_a_new_object(two: SamSession) -> None:
    draw(two, SECOND)
    assert slices_of(two) == {1: [4], 2: [4], 3: [4]}


def test_moved_box_stays_with_its_object(two: SamSession) -> None:
    layer = two.shapes_layer
    assert layer is not None
    layer.data = [corners((8, 13, 24, 29), 4), layer.data[1]]
    prompts = two.build_stack_request().request.prompts
    assert sorted(prompts) == [1, 2]
    np.testing.assert_array_equal(prompts[1][4].box, (8, 13, 24, 29))


def test_object_disappears_with_its_prompt(two: SamSession) -> None:
    layer = two.shapes_layer
    assert layer is not None
    layer.selected_data = {0}
    layer.remove_selected()
    assert slices_of(two) == {2: [4]}
    two.propagate()
    two.commit()
    assert written(two)[4, 28, 38]
    assert not written(two)[4, 15, 20]


def test_click_on_an_object_corrects_it(two: SamSession) -> None:
    click(two, 5, 28, 38)
    assert slices_of(two) == {1: [4], 2: [4, 5]}


def test_click_beside_all_objects_starts_a_new_one(two: SamSession) -> None:
    click(two, 5, 2, 45)
    assert slices_of(two) == {1: [4], 2: [4], 3: [5]}


def test_negative_click_ends_the_nearest_object(two: SamSession) -> None:
    click(two, 6, 29, 39, on=False)
    assert slices_of(two) == {1: [4], 2: [4, 6]}
    volume = two.propagate()
    last = max(s.index for s in volume.slices if s.object_id == 2 and s.mask.any())
    assert last == 5


def test_earlier_corrections_are_kept(two: SamSession) -> None:
    draw(two, (24, 34, 32, 42), 5)
    two.propagate()
    draw(two, (9, 14, 21, 26), 3)
    assert slices_of(two) == {1: [3, 4], 2: [4, 5]}


def test_other_options_keep_the_objects(two: SamSession) -> None:
    draw(two, (24, 34, 32, 42), 5)
    two.propagation = type(two.propagation)(patience=3)
    assert slices_of(two) == {1: [4], 2: [4, 5]}


def test_box_with_the_best_overlap_takes_the_object(two: SamSession) -> None:
    draw(two, (20, 30, 36, 46), 5)
    draw(two, (24, 34, 32, 42), 5)
    prompts = two.build_stack_request().request.prompts
    assert {n: sorted(s) for n, s in prompts.items()} == {1: [4], 2: [4, 5], 3: [5]}
    assert isinstance(prompts[2][5], Prompt)
    np.testing.assert_array_equal(prompts[2][5].box, (24, 34, 32, 42))
