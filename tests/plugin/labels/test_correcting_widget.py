"""Corrections of labels with the buttons of the panel."""

from typing import Any

import numpy as np
import pytest

from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, draw, press, written
from tests.helpers.widgets import open_widget, type_key

CENTRE, OTHER = (4, 15, 20), (4, 28, 38)


@pytest.fixture
def widget(qtbot: Any, bright: BrightPredictor, stack: np.ndarray) -> Any:
    widget = open_widget(stack, bright)
    labels = np.where(stack > 100, 7, 0).astype(np.int32)
    layer = widget.session.viewer.add_labels(labels, name="nuclei")
    widget.panel.labels_layer.select(layer)
    layer.selected_label = 7
    yield widget
    widget.disconnect_viewer()


def idle(widget: SamWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not widget.panel.cancel.enabled)


def test_two_clicks_and_a_key_split_a_label(widget: SamWidget, qtbot: Any) -> None:
    widget.session.points_layer.add([CENTRE, OTHER])
    type_key(widget, "Shift+S")
    idle(widget, qtbot)
    labels = written(widget.session)
    assert {labels[CENTRE], labels[OTHER]} == {7, 8}
    assert len(widget.session.points_layer.data) == 0
    press(widget.panel.relabel)
    idle(widget, qtbot)
    assert set(np.unique(labels)) == {0, 1, 2}
    widget.session.points_layer.add([CENTRE, OTHER])
    press(widget.panel.merge_labels)
    idle(widget, qtbot)
    assert len(np.unique(labels)) == 2
    for _ in range(2):
        widget.undo()  # the merge, and its points
        widget.session.points_layer.data = np.empty((0, 3))
    widget.undo()
    assert set(np.unique(labels)) == {0, 7}


def test_deleting_and_renumbering(
    widget: SamWidget, qtbot: Any, monkeypatch: Any
) -> None:
    answers = iter([(12, True), (5, False)])
    monkeypatch.setattr("qtpy.QtWidgets.QInputDialog.getInt", lambda *_: next(answers))
    labels = written(widget.session)
    for _ in range(2):  # the second dialog is cancelled
        press(widget.panel.rename_label)
        idle(widget, qtbot)
        assert set(np.unique(labels)) == {0, 12}
    press(widget.panel.delete_label)
    idle(widget, qtbot)
    assert not labels.any()


def test_what_cannot_be_done_is_said(widget: SamWidget, qtbot: Any) -> None:
    from napari.utils.notifications import notification_manager

    press(widget.panel.split_label)
    idle(widget, qtbot)
    assert "Click once on each part" in str(notification_manager.records[-1].message)


def test_buttons_need_a_labels_layer(qtbot: Any, stack: np.ndarray) -> None:
    widget = open_widget(stack, BrightPredictor())
    assert not widget.panel.split_label.enabled
    assert widget.panel.split_label.tooltip == "Choose a labels layer first."
    widget.disconnect_viewer()


def test_refining_outlines_the_label_and_turns_a_tool_on(
    widget: SamWidget, qtbot: Any
) -> None:
    widget.panel.live.value = True
    session = widget.session
    labels = session.labels_layer
    session.viewer.layers.selection.active = labels
    labels.mode = "pick"
    press(widget.panel.refine)
    assert session.tool == "object"
    shown = widget.preview_layer.layer
    assert shown is not None
    assert widget.preview_layer.is_shown
    assert session.pending is None  # the label as it is, not what the model thinks
    widget.session.set_polarity(False)
    session.points_layer.add([OTHER])
    qtbot.waitUntil(lambda: session.pending is not None)
    press(widget.panel.accept)
    assert labels.data[OTHER] == 0
    assert labels.data[CENTRE] == 7


def test_refining_without_prompt_layers_makes_them(
    qtbot: Any, stack: np.ndarray
) -> None:
    widget = open_widget(stack, BrightPredictor())
    session = widget.session
    draw(session, FIRST)
    session.preview()
    session.commit()
    for layer in (session.points_layer, session.shapes_layer):
        session.viewer.layers.remove(layer)
    labels = session.labels_layer
    session.viewer.layers.selection.active = labels
    labels.selected_label = 1
    press(widget.panel.refine)
    assert session.tool == "object"
    assert session.points_layer in session.viewer.layers
    widget.disconnect_viewer()
