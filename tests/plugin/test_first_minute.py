"""The first minute of the README, by mouse and keys on the real window."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMainWindow, QMenu

from napari_sam import samples
from napari_sam.plugin.widget import SamWidget
from tests.plugin.test_mouse import CanvasUser

SCREEN = 1366, 768
SETTLING_MS = 500
LONG = 60_000
MENU = "Layers", "Segment", "Segment Anything (napari-sam)"
MOST_GESTURES = 7
FURTHER = 2  # objects


class Novice:
    """A user who does what the README says, and counts the gestures."""

    def __init__(self, viewer: Any, window: QMainWindow, qtbot: Any) -> None:
        self.viewer, self.window, self._qtbot = viewer, window, qtbot
        self.gestures = 0

    def open_menu_entry(self) -> SamWidget:
        self.gestures += 1
        menu = self.window.menuBar()
        for title in MENU:
            actions = {a.text().replace("&", ""): a for a in menu.actions()}
            (action,) = (a for text, a in actions.items() if text.startswith(title))
            menu = action.menu()
            if isinstance(menu, QMenu):
                menu.aboutToShow.emit()
        action.trigger()
        QTest.qWait(SETTLING_MS)
        (widget,) = self.viewer.window.dock_widgets.values()
        assert isinstance(widget, SamWidget)
        return widget

    def press(self, button: Any) -> None:
        self.gestures += 1
        assert button.native.isVisible()
        assert button.enabled
        QTest.mouseClick(button.native, Qt.MouseButton.LeftButton)
        QTest.qWait(SETTLING_MS)

    def draw(self, widget: SamWidget, box: np.ndarray) -> None:
        self.gestures += 1
        user = CanvasUser(self.viewer, self.window)
        user.drag(box[:2] - 1.3, box[2:] + 1.6)
        self._qtbot.waitUntil(
            lambda: widget.preview_layer.is_shown and not widget.panel.cancel.enabled,
            timeout=LONG,
        )

    def accept(self) -> None:
        self.gestures += 1
        CanvasUser(self.viewer, self.window).key("W")


@pytest.fixture
def novice(
    make_napari_viewer: Any, default_predictor: Any, qtbot: Any
) -> Iterator[Novice]:
    """A user with the coins on a small screen; the weights are on the computer."""
    notification_manager.records.clear()
    viewer = make_napari_viewer(show=True)
    (window,) = (
        w
        for w in QApplication.topLevelWidgets()
        if isinstance(w, QMainWindow) and w.isVisible()
    )
    viewer.window.resize(*SCREEN)
    viewer.open_sample("napari-sam", "coins")
    QTest.qWait(SETTLING_MS)
    novice = Novice(viewer, window, qtbot)
    yield novice
    viewer.window.remove_dock_widget("all")
    vars(novice).clear()  # it must not keep the viewer alive
    QTest.qWait(SETTLING_MS)


@pytest.mark.weights
@pytest.mark.canvas
def test_the_first_minute_of_the_readme(novice: Novice, qtbot: Any) -> None:
    boxes = samples.coin_boxes()
    widget = novice.open_menu_entry()
    start = widget.panel.new_prompts
    qtbot.waitUntil(start.native.isVisible)  # as soon as there is something to press
    novice.press(start)
    novice.draw(widget, boxes[0])
    novice.accept()
    assert novice.gestures <= MOST_GESTURES
    labels = novice.viewer.layers["SAM labels"]
    assert np.count_nonzero(labels.data == 1) > samples.COIN_MIN_PIXELS
    for number in range(1, 1 + FURTHER):
        before = novice.gestures
        novice.draw(widget, boxes[number])
        novice.accept()
        assert novice.gestures - before == 2
        assert labels.data.max() == number + 1
    # No message came besides the steps in the panel.
    assert [record.message for record in notification_manager.records] == []
    assert "Draw the next object" in widget.panel.status.value
