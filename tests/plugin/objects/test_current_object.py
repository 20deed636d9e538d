"""Accept, discard, next alternative and undo give the same, however slow the model."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.plugin.session import SamSession
from tests.helpers.sessions import corners
from tests.helpers.squares import CENTRES, SHAPE, Squares


def make_session() -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    session = SamSession(viewer, Squares())
    session.new_prompt_layers()
    return session


class Hands:
    """A user who acts at once, or waits for each result."""

    def __init__(self, waits: bool) -> None:
        self.session, self.waits = make_session(), waits
        self.next = 0
        self.drawn = False  # since the last accept or discard

    def act(self, action: str) -> None:
        getattr(self, action)()
        if self.waits:
            self.result()

    def click(self) -> None:
        self._draw(lambda centre: self.session.points_layer.add(centre))

    def box(self) -> None:
        self._draw(
            lambda centre: self.session.shapes_layer.add_rectangles(
                corners(np.add(np.tile(centre, 2), [-2, -2, 2, 2]))
            )
        )

    def _draw(self, draw: Any) -> None:
        if not self.drawn and self.next < len(CENTRES):
            draw(CENTRES[self.next])
            self.next, self.drawn = self.next + 1, True

    def background(self) -> None:
        if self.drawn:
            self.session.set_polarity(False)
            self.session.points_layer.add(CENTRES[self.next - 1])
            self.session.set_polarity(True)

    def accept(self) -> None:
        if self.drawn:
            self.session.accept()
            self.drawn = False

    def discard(self) -> None:
        self.session.discard()
        self.drawn = False

    def alternative(self) -> None:
        if self.drawn:
            self.session.next_alternative()

    def undo(self) -> None:
        try:
            self.session.undo()
        except ValueError as error:
            assert "nothing to undo" in str(error)
        layers = self.session.points_layer, self.session.shapes_layer
        positive = self.session.points_layer.features["polarity"] == "positive"
        self.drawn = bool(positive.any() or len(layers[1].data))

    def result(self) -> None:
        """The result arrives that the model was working on."""
        session = self.session
        request = session.current.next_waiting()
        if request is not None:
            session._run(request)
            return
        try:
            live = session.live_request()
        except ValueError:  # a point on the background alone
            return
        if live is not None:
            session._run(live)

    def outcome(self) -> tuple[Any, ...]:
        session = self.session
        session.finish_waiting()
        labels = session.labels_layer
        written = np.zeros(SHAPE, int) if labels is None else labels.data
        return (
            written.tolist(),
            [point.tolist() for point in session.points_layer.data],
            list(session.points_layer.features["polarity"]),
            [shape.tolist() for shape in session.shapes_layer.data],
        )


ACTIONS = ("click", "box", "background", "accept", "discard", "alternative", "undo")


@settings(max_examples=25)
@given(
    steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2)), max_size=15)
)
@example(steps=[("click", 0), ("accept", 0), ("click", 0), ("accept", 0)])
@example(steps=[("click", 0), ("accept", 0), ("undo", 0), ("accept", 1)])
@example(steps=[("click", 0), ("alternative", 0), ("accept", 0), ("click", 0)])
@example(steps=[("box", 0), ("accept", 0), ("box", 1), ("discard", 0), ("undo", 0)])
def test_results_that_come_late_change_nothing(steps: list[tuple[str, int]]) -> None:
    patient, fast = Hands(waits=True), Hands(waits=False)
    for action, results in steps:
        patient.act(action)
        fast.act(action)
        for _ in range(results):
            fast.result()
    assert fast.outcome() == patient.outcome()


@given(order=st.permutations(range(len(CENTRES))), boxes=st.booleans())
@settings(max_examples=10)
def test_each_accept_closes_the_prompts_before_it(
    order: list[int], boxes: bool
) -> None:
    hands = Hands(waits=False)
    for _ in order:
        hands.act("box" if boxes else "click")
        hands.act("accept")
    assert hands.session.labels_layer is None
    hands.session.finish_waiting()
    labels = hands.session.labels_layer.data
    assert [labels[centre] for centre in CENTRES] == list(range(1, 13))
    assert np.bincount(labels.ravel())[1:].tolist() == [25] * 12


def test_settings_at_the_time_of_the_accept_count() -> None:
    hands = Hands(waits=False)
    session = hands.session
    first = session.viewer.add_labels(np.zeros(SHAPE, int), name="first")
    second = session.viewer.add_labels(np.zeros(SHAPE, int), name="second")
    session.labels_layer, session.target.use_selected_label = first, True
    first.selected_label = 7
    hands.act("click")
    hands.act("accept")
    first.selected_label = 9
    hands.act("click")
    hands.act("accept")
    session.labels_layer = second
    session.finish_waiting()
    assert first.data[CENTRES[0]] == 7
    assert first.data[CENTRES[1]] == 9
    assert not second.data.any()


def test_object_that_cannot_be_written_is_brought_back_by_previous_object() -> None:
    hands = Hands(waits=False)
    for _ in range(2):
        hands.act("click")
        hands.act("accept")
    session = hands.session
    request = session.current.next_waiting()
    assert request is not None
    labels = session.viewer.add_labels(np.zeros(SHAPE, int), name="mine")
    session.labels_layer = labels
    labels.visible = False
    with pytest.raises(ValueError, match=r"hidden.*Previous object"):
        session._run(request)
    assert not labels.data.any()
    labels.visible = True
    session.finish_waiting()
    assert labels.data[CENTRES[1]] == 1
    session.previous_object()
    np.testing.assert_array_equal(session.points_layer.data, [CENTRES[0]])


def test_closing_brings_the_prompts_of_waiting_objects_back() -> None:
    hands = Hands(waits=False)
    for _ in range(3):
        hands.act("click")
        hands.act("accept")
    assert len(hands.session.points_layer.data) == 0
    hands.session.current.reopen_waiting()
    np.testing.assert_array_equal(hands.session.points_layer.data, CENTRES[:3])


def test_undo_after_painting_is_refused_and_changes_nothing() -> None:
    hands = Hands(waits=True)
    hands.act("click")
    hands.act("accept")
    labels = hands.session.labels_layer
    labels.data_setitem((np.array([0]), np.array([0])), 5)
    before = labels.data.copy()
    with pytest.raises(ValueError, match="changed since"):
        hands.session.undo()
    np.testing.assert_array_equal(labels.data, before)
    labels.undo()
    hands.session.undo()
    assert not labels.data.any()


def test_undo_after_the_labels_were_undone_brings_the_prompts_back() -> None:
    hands = Hands(waits=True)
    hands.act("click")
    hands.act("accept")
    labels = hands.session.labels_layer
    labels.undo()
    hands.session.undo()
    assert not labels.data.any()
    np.testing.assert_array_equal(hands.session.points_layer.data, CENTRES[:1])
    assert hands.session.accept() == 1


def test_undo_of_a_correction_restores_the_object_and_the_correction() -> None:
    hands = Hands(waits=True)
    session = hands.session
    hands.act("click")
    hands.act("accept")
    before = session.labels_layer.data.copy()
    session.previous_object()
    hands.drawn = True
    hands.act("background")
    hands.act("accept")
    assert session.labels_layer.data[CENTRES[0]] == 0
    session.undo()
    np.testing.assert_array_equal(session.labels_layer.data, before)
    assert session.history.replacement is not None
    session.accept()
    assert session.labels_layer.data[CENTRES[0]] == 0
    assert session.labels_layer.data.max() == 1


def test_undo_removes_the_latest_of_very_many_prompts_first() -> None:
    session, count = make_session(), 1100
    places = np.stack(np.divmod(np.arange(count), SHAPE[1]), axis=1)
    session.points_layer.add(places)
    session.current.note_prompts()
    session.current.note_prompts()  # as after each change in the viewer
    session.undo()
    session.undo()
    np.testing.assert_array_equal(session.points_layer.data, places[:-2])


def test_accepts_are_undone_after_very_many_prompts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_sam.plugin.objects.steps.MAX_STEPS", 3)
    hands = Hands(waits=True)
    session = hands.session
    for _ in range(4):
        hands.act("click")
        hands.act("accept")
    places = np.stack(np.divmod(np.arange(9), SHAPE[1]), axis=1)
    session.points_layer.add(places)
    session.current.note_prompts()
    labels = session.labels_layer
    for _ in places:
        session.undo()
    for label in (4, 3, 2):
        assert (labels.data == label).any()
        session.undo()
        assert not (labels.data == label).any()
        assert len(session.points_layer.data) == 1
        session.undo()
        assert not len(session.points_layer.data)
    with pytest.raises(ValueError, match="nothing to undo"):
        session.undo()
    assert (labels.data == 1).any()
