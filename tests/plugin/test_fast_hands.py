"""Hands that are faster than the model: each accept is an object of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_sam.plugin.panels.key_bindings import ACCEPT, DISCARD, NEXT
from napari_sam.plugin.widget import SamWidget
from tests.helpers.sessions import corners, press
from tests.helpers.squares import Squares
from tests.helpers.widgets import type_key

COUNT = 20
SHAPE = 60, 120
CENTRES = [(row, col) for row in (10, 25, 40, 50) for col in (10, 30, 50, 70, 90)]
LONG = 20_000
# The model takes ten times as long as the hands.
ANSWER_S, GESTURE_MS = 0.05, 5
SEED = 7


@pytest.fixture(params=[0, ANSWER_S], ids=["fast model", "slow model"])
def widget(request: pytest.FixtureRequest, qtbot: Any) -> Iterator[SamWidget]:
    notification_manager.records.clear()
    viewer = ViewerModel()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    widget.session.model = Squares(delay=request.param)
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def by_click(widget: SamWidget, centre: tuple[int, int]) -> None:
    widget.session.points_layer.add(centre)


def by_box(widget: SamWidget, centre: tuple[int, int]) -> None:
    box = np.add(np.tile(centre, 2), [-2, -2, 2, 2])
    widget.session.shapes_layer.add_rectangles(corners(box))


@pytest.fixture
def rest(widget: SamWidget, qtbot: Any) -> Callable[[], None]:
    """Wait until nothing is running and nothing waits."""

    def until_done() -> None:
        current = widget.session.current
        qtbot.waitUntil(lambda: not current.waiting, timeout=LONG)
        qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=LONG)

    return until_done


@pytest.mark.parametrize("draw", [by_click, by_box])
def test_each_of_many_objects_gets_its_own_label(
    widget: SamWidget, draw: Any, qtbot: Any, rest: Any
) -> None:
    for centre in CENTRES:
        draw(widget, centre)
        qtbot.wait(GESTURE_MS)
        type_key(widget, ACCEPT)
        qtbot.wait(GESTURE_MS)
    rest()
    labels = widget.session.labels_layer.data
    assert [labels[centre] for centre in CENTRES] == list(range(1, COUNT + 1))
    assert np.bincount(labels.ravel())[1:].tolist() == [25] * COUNT
    assert not notification_manager.records


def test_key_right_after_the_gesture_counts(widget: SamWidget, rest: Any) -> None:
    for centre in CENTRES[:3]:
        by_click(widget, centre)
        type_key(widget, ACCEPT)  # no event was processed in between
    rest()
    labels = widget.session.labels_layer.data
    assert [labels[centre] for centre in CENTRES[:3]] == [1, 2, 3]


def test_correction_right_before_the_accept_counts(
    widget: SamWidget, qtbot: Any, rest: Any
) -> None:
    by_box(widget, CENTRES[0])
    qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)
    widget.session.set_polarity(False)
    by_click(widget, CENTRES[0])
    type_key(widget, ACCEPT)
    by_box(widget, CENTRES[1])
    type_key(widget, ACCEPT)
    rest()
    labels = widget.session.labels_layer.data
    assert np.bincount(labels.ravel())[1:].tolist() == [24, 25]


def test_discard_and_next_at_random(widget: SamWidget, qtbot: Any, rest: Any) -> None:
    rng = np.random.default_rng(SEED)
    expected, area = [], 25
    for centre in CENTRES:
        draw = by_click if rng.random() < 0.5 else by_box
        draw(widget, centre)
        qtbot.wait(GESTURE_MS)
        if rng.random() < 0.5:
            type_key(widget, NEXT)
            # Later objects have the same size.
            kept, area = area, {9: 25, 25: 49, 49: 9}[area]
            qtbot.wait(GESTURE_MS)
        else:
            kept = area
        if rng.random() < 0.3:
            # Without its result, its alternative was never shown.
            area = area if widget.session.current.pending else kept
            type_key(widget, DISCARD)
        else:
            type_key(widget, ACCEPT)
            expected.append((centre, area))
        qtbot.wait(GESTURE_MS)
    rest()
    labels = widget.session.labels_layer.data
    areas = np.bincount(labels.ravel())
    found = [(centre, areas[labels[centre]]) for centre, _ in expected]
    assert found == expected
    assert labels.max() == len(expected)


def test_prompts_drawn_while_objects_wait_are_outlined_afterwards(
    widget: SamWidget, qtbot: Any, rest: Any
) -> None:
    for centre in CENTRES[:3]:
        by_click(widget, centre)
        type_key(widget, ACCEPT)
    by_click(widget, CENTRES[3])
    qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)
    assert widget.session.labels_layer.data.max() == 3
    assert len(widget.session.points_layer.data) == 1


def test_cancel_keeps_the_prompts_of_each_object(
    widget: SamWidget, qtbot: Any, rest: Any
) -> None:
    for centre in CENTRES[:3]:
        by_click(widget, centre)
        type_key(widget, ACCEPT)
    press(widget.panel.cancel)
    rest()
    for centre in reversed(CENTRES[:3]):
        press(widget.panel.previous)
        assert widget.session.points_layer.data.tolist() == [list(centre)]
        type_key(widget, ACCEPT)
        rest()
    assert widget.session.labels_layer.data.max() == 3
    messages = [record.message for record in notification_manager.records]
    assert messages == [
        "3 accepted objects were not written: 'Previous object' brings back the "
        "prompts of each."
    ]


def test_failure_of_the_model_keeps_the_prompts_of_each_object(
    widget: SamWidget, qtbot: Any, rest: Any
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    widget.session.model.predict_batch = fail
    for centre in CENTRES[:2]:
        by_click(widget, centre)
        type_key(widget, ACCEPT)
    rest()
    (message,) = [record.message for record in notification_manager.records]
    assert "out of memory" in message
    assert "2 accepted objects were not written" in message
    press(widget.panel.previous)
    assert widget.session.points_layer.data.tolist() == [list(CENTRES[1])]
    notification_manager.records.clear()


def test_image_removed_while_objects_wait(
    widget: SamWidget, qtbot: Any, rest: Any
) -> None:
    for centre in CENTRES[:3]:
        by_click(widget, centre)
        type_key(widget, ACCEPT)
    widget.session.viewer.layers.pop(0)
    rest()
    assert widget.session.labels_layer is None
    messages = [record.message for record in notification_manager.records]
    assert "image was removed" in messages[0]
    assert "2 accepted objects were not written" in messages[1]
    assert len(messages) == 2
    points = widget.session.points_layer.data
    assert sorted(points.tolist()) == [list(centre) for centre in CENTRES[:3]]
    notification_manager.records.clear()
