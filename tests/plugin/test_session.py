from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.plugin.session import SamSession
from tests.plugin.conftest import FIRST, SECOND, corners


@pytest.fixture
def session(bright: Any, stack: np.ndarray) -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(stack, name="balls", scale=(2, 1, 1), contrast_limits=(0, 255))
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    return session


def draw(session: SamSession, box: tuple[float, ...], index: int = 4) -> None:
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(box, index))


def data(session: SamSession) -> np.ndarray:
    assert session.labels_layer is not None
    return session.labels_layer.data


def test_preview_writes_nothing_and_commit_is_one_undo_step(
    session: SamSession, stack: np.ndarray
) -> None:
    layers = list(session.viewer.layers)
    draw(session, FIRST)
    prediction = session.preview()
    assert prediction is not None
    assert list(session.viewer.layers) == layers
    assert session.commit() == 1
    expected = np.zeros_like(data(session))
    expected[4][prediction.mask] = 1
    np.testing.assert_array_equal(data(session), expected)
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert not data(session).any()
    session.labels_layer.redo()
    np.testing.assert_array_equal(data(session), expected)
    assert session.shapes_layer is not None
    assert len(session.shapes_layer.data) == 0
    assert session.preview() is None


def test_a_stack_is_one_step_and_stopping_keeps_what_was_done(
    session: SamSession, stack: np.ndarray
) -> None:
    draw(session, FIRST)
    volume = session.propagate()
    truth = stack > 127
    truth[:, :, 30:] = False
    truth[[1, 7]] = False  # the caps overlap their neighbours by less than 40 %
    np.testing.assert_array_equal(volume.labels > 0, truth)
    session.commit()
    np.testing.assert_array_equal(data(session) > 0, truth)
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert not data(session).any()
    draw(session, SECOND)
    steps = session.iter_propagate()
    next(steps)
    steps.close()
    session.commit()
    assert np.unique(np.nonzero(data(session))[0]).tolist() == [4]


def test_each_prompt_an_object(session: SamSession) -> None:
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    session.preview()
    assert session.commit() == 2
    assert data(session)[4, 15, 20] == 1
    assert data(session)[4, 28, 38] == 2


def test_pixels_of_others_are_kept(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    session.commit()
    before = data(session).copy()
    draw(session, FIRST)
    session.preview()
    session.commit()
    np.testing.assert_array_equal(data(session), before)
    assert session.last_written is not None
    assert session.last_written.kept == np.count_nonzero(before)


def test_layers_of_the_user_are_never_changed(bright: Any, stack: np.ndarray) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack)
    points = viewer.add_points([[4, 15, 20]])
    session = SamSession(viewer, bright)
    session.points_layer = points
    before = points.data.copy(), points.features.copy(), points.symbol.copy()
    assert session.preview() is not None
    session.commit()
    np.testing.assert_array_equal(points.data, before[0])
    assert points.features.equals(before[1])
    assert (points.symbol == before[2]).all()
    assert session.preview() is None  # used prompts are not asked again


def test_an_image_removed_meanwhile_drops_the_result(session: SamSession) -> None:
    draw(session, FIRST)
    question = session.ask_slice()
    steps = question.request.run(session.load(), session.cache)
    session.viewer.layers.remove("balls")
    result = None
    while result is None:
        try:
            next(steps)
        except StopIteration as stop:
            result = stop.value
    with pytest.raises(ValueError, match="image was removed"):
        session.adopt(question, result)
    assert session.result is None
    assert session.labels_layer is None


def test_a_question_that_is_not_answered_leaves_the_waiting_result(
    session: SamSession,
) -> None:
    draw(session, FIRST)
    session.preview()
    session.each_prompt_an_object = True
    draw(session, SECOND)
    session.ask_slice()  # and cancelled
    session.commit()
    assert session.shapes_layer is not None
    assert len(session.shapes_layer.data) == 1  # the second box still waits


@pytest.mark.parametrize(
    ("points", "labels", "sentence"),
    [
        ([[4, 15, 20]], ["negative"], "only negative points"),
        ([[4, 15, 99]], ["positive"], "outside the plane"),
        ([[2, 15, 20]], ["positive"], "on other slices"),
    ],
)
def test_prompts_that_cannot_be_used(
    session: SamSession, points: Any, labels: list[str], sentence: str
) -> None:
    assert session.points_layer is not None
    session.points_layer.data = points
    session.points_layer.features = {"polarity": labels}
    with pytest.raises(ValueError, match=sentence):
        session.ask_slice()


def test_empty_prompt_layers(session: SamSession) -> None:
    with pytest.raises(ValueError, match="no new prompts"):
        session.ask_slice()
    with pytest.raises(ValueError, match="no new prompts"):
        session.ask_stack()


def test_no_image_and_nothing_to_accept(bright: Any) -> None:
    session = SamSession(ViewerModel(), bright)
    with pytest.raises(ValueError, match="no image"):
        session.preview()
    with pytest.raises(ValueError, match="nothing to accept"):
        session.commit()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((9, 40, 51), int), "pixel by pixel"),
        (np.full((9, 40, 50), 255, np.uint8), "cannot hold"),
    ],
)
def test_labels_that_cannot_take_the_result(
    session: SamSession, labels: np.ndarray, sentence: str
) -> None:
    before = labels.copy()
    session.labels_layer = session.viewer.add_labels(labels, scale=(2, 1, 1))
    draw(session, FIRST)
    with pytest.raises(ValueError, match=sentence):
        session.preview()
        session.commit()
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    "image",
    [np.full((8, 9), np.nan), np.zeros((8, 9)), np.ones((1, 1))],
    ids=["nan", "constant", "one pixel"],
)
def test_empty_images_find_nothing(bright: Any, image: np.ndarray) -> None:
    viewer = ViewerModel()
    viewer.add_image(image, contrast_limits=(0, 3))
    session = SamSession(viewer, bright)
    session.points_layer = viewer.add_points([[0, 0]])
    session.preview()
    with pytest.raises(ValueError, match="mask is empty"):
        session.commit()


def test_a_time_series_of_stacks(bright: Any, stack: np.ndarray) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.stack([np.zeros_like(stack), stack]), contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 4)
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(FIRST, 1, 4))
    session.propagate()
    session.commit()
    assert not data(session)[0].any()
    assert data(session)[1].any(axis=(1, 2)).sum() > 3


def test_two_sessions_do_not_meet(bright: Any, stack: np.ndarray) -> None:
    sessions = []
    for box in (FIRST, SECOND):
        viewer = ViewerModel()
        viewer.add_image(stack, contrast_limits=(0, 255))
        session = SamSession(viewer, bright)
        session.new_prompt_layers()
        draw(session, box)
        sessions.append(session)
    for session in sessions:
        session.preview()
        session.commit()
    assert data(sessions[0])[4, 15, 20] == data(sessions[1])[4, 28, 38] == 1
    assert data(sessions[0])[4, 28, 38] == data(sessions[1])[4, 15, 20] == 0
