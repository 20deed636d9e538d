"""A prompt on a stack that waits corrects the object that it is drawn on."""

import numpy as np
import pytest

from napari_sam.plugin.session import SamSession
from napari_sam.prompts.prompt import Prompt
from tests.helpers.sessions import FIRST, SECOND, corners, draw, written

FREE = (0, 40, 6, 48)


@pytest.fixture
def two(session: SamSession) -> SamSession:
    """Both balls, each from its own box on slice 4, followed and waiting."""
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    session.propagate()
    return session


def slices_of(session: SamSession) -> dict[int, list[int]]:
    """{object: the slices that it has prompts on} of the next question."""
    prompts = session.build_stack_request().request.prompts
    return {number: sorted(slices) for number, slices in prompts.items()}


def click(session: SamSession, *plane_index: float, on: bool = True) -> None:
    assert session.points_layer is not None
    session.points_layer.add([plane_index])
    features = session.points_layer.features
    features.loc[len(features) - 1, "polarity"] = "positive" if on else "negative"
    session.points_layer.features = features


def test_a_box_on_another_slice_corrects_the_object_under_it(two: SamSession) -> None:
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


def test_a_box_off_all_objects_is_a_new_one(two: SamSession) -> None:
    draw(two, FREE, 5)
    assert slices_of(two) == {1: [4], 2: [4], 3: [5]}


def test_a_second_box_on_the_slice_of_an_object_is_a_new_one(two: SamSession) -> None:
    draw(two, SECOND)
    assert slices_of(two) == {1: [4], 2: [4], 3: [4]}


def test_a_moved_box_stays_with_its_object(two: SamSession) -> None:
    layer = two.shapes_layer
    assert layer is not None
    layer.data = [corners((8, 13, 24, 29), 4), layer.data[1]]
    prompts = two.build_stack_request().request.prompts
    assert sorted(prompts) == [1, 2]
    np.testing.assert_array_equal(prompts[1][4].box, (8, 13, 24, 29))


def test_an_object_whose_prompt_is_gone_is_gone(two: SamSession) -> None:
    layer = two.shapes_layer
    assert layer is not None
    layer.selected_data = {0}
    layer.remove_selected()
    assert slices_of(two) == {2: [4]}
    two.propagate()
    two.commit()
    assert written(two)[4, 28, 38]
    assert not written(two)[4, 15, 20]


def test_a_click_on_an_object_corrects_it(two: SamSession) -> None:
    click(two, 5, 28, 38)
    assert slices_of(two) == {1: [4], 2: [4, 5]}


def test_a_click_beside_all_objects_is_a_new_one(two: SamSession) -> None:
    click(two, 5, 2, 45)
    assert slices_of(two) == {1: [4], 2: [4], 3: [5]}


def test_a_click_on_the_background_ends_the_object_beside_it(two: SamSession) -> None:
    click(two, 6, 29, 39, on=False)
    assert slices_of(two) == {1: [4], 2: [4, 6]}
    volume = two.propagate()
    last = max(s.index for s in volume.slices if s.object_id == 2 and s.mask.any())
    assert last == 5


def test_corrections_are_remembered_from_one_to_the_next(two: SamSession) -> None:
    draw(two, (24, 34, 32, 42), 5)
    two.propagate()
    draw(two, (9, 14, 21, 26), 3)
    assert slices_of(two) == {1: [3, 4], 2: [4, 5]}


def test_other_options_keep_the_objects(two: SamSession) -> None:
    draw(two, (24, 34, 32, 42), 5)
    two.propagation = type(two.propagation)(patience=3)
    assert slices_of(two) == {1: [4], 2: [4, 5]}


def test_the_best_of_two_new_boxes_takes_the_object(two: SamSession) -> None:
    draw(two, (20, 30, 36, 46), 5)
    draw(two, (24, 34, 32, 42), 5)
    prompts = two.build_stack_request().request.prompts
    assert {n: sorted(s) for n, s in prompts.items()} == {1: [4], 2: [4, 5], 3: [5]}
    assert isinstance(prompts[2][5], Prompt)
    np.testing.assert_array_equal(prompts[2][5].box, (24, 34, 32, 42))
