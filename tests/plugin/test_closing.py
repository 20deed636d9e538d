"""The panel lives as long as its dock; when it closes, nothing of it is left."""

import threading
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication

from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.panels.main_panel import MainPanel
from napari_sam.plugin.widget import SamWidget
from tests.helpers.leaks import active, leftovers
from tests.helpers.sessions import press
from tests.helpers.squares import CENTRES, SHAPE, Squares
from tests.helpers.widgets import type_key

pytestmark = pytest.mark.usefixtures("nothing_from_before")

LONG = 20_000
HIDINGS = 5
KEYS = [*"GJKNQ", *(f"Shift+{letter}" for letter in "DMORS"), *"UW"]


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    return viewer


def open_panel(viewer: Any) -> tuple[Any, SamWidget]:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-sam")
    widget.session.model = Squares()
    return dock, widget


def by_cross(viewer: Any, dock: Any) -> None:
    dock.title.close_button.click()


def by_script(viewer: Any, dock: Any) -> None:
    viewer.window.remove_dock_widget(dock)


def by_menu(viewer: Any, dock: Any) -> None:
    dock.toggleViewAction().trigger()


def threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name == "napari-sam"]


def segment(widget: SamWidget, qtbot: Any) -> None:
    press(widget.panel.new_prompts)
    widget.session.points_layer.add(CENTRES[0])
    qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)


@pytest.mark.parametrize("close", [by_cross, by_script])
def test_closed_panel_leaves_nothing(viewer: Any, close: Any, qtbot: Any) -> None:
    dock, widget = open_panel(viewer)
    segment(widget, qtbot)
    assert {"key", "thread", "widget", "worker"} < set(leftovers())
    close(viewer, dock)
    del dock, widget
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)
    assert [layer.name for layer in viewer.layers] == [
        "Image",
        "SAM boxes",
        "SAM points",
    ]
    assert not viewer.keymap
    assert not any(layer.keymap for layer in viewer.layers)


@pytest.mark.parametrize(
    ("what", "openings"), [("main", 5), ("main and training", 50), ("training", 5)]
)
def test_many_openings_leave_as_many_objects_as_one(
    viewer: Any, what: str, openings: int, qtbot: Any
) -> None:
    kept = [open_panel(viewer)] if what == "training" else []
    closings = cycle([by_cross, by_script, by_menu])

    def open_and_close() -> tuple[int, int]:
        dock, widget = kept[0] if kept else open_panel(viewer)
        if what != "main":
            panel = widget.training_dock.open()
            next(closings)(viewer, panel.native.parent())
        if not kept:
            next(closings)(viewer, dock)
            if dock.widget() is not None:  # the menu entry only hides it
                by_script(viewer, dock)
        else:
            widget.training_dock.remove()
        del dock, widget
        qtbot.wait(1)
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        return len(QApplication.allWidgets()), threading.active_count()

    for _ in range(3):  # napari keeps some objects of the first docks
        first = open_and_close()
    assert {open_and_close() for _ in range(openings)} == {first}
    for dock, _ in kept:
        by_cross(viewer, dock)
        del dock, _
    kept.clear()
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)
    assert not viewer.keymap


@pytest.mark.canvas
def test_hidden_panel_rests(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    dock, widget = open_panel(viewer)
    segment(widget, qtbot)
    for _ in range(HIDINGS):
        dock.setVisible(False)  # as napari's menu entry
        assert not viewer.keymap
        assert not any(layer.keymap for layer in viewer.layers)
        assert "SAM preview" not in viewer.layers
        qtbot.waitUntil(lambda: not threads(), timeout=LONG)
        dock.setVisible(True)
        assert sorted(map(str, viewer.keymap)) == KEYS
        assert widget.preview_layer.is_shown
    dock.setVisible(False)
    before = widget.session.result
    widget.session.points_layer.add(CENTRES[1])
    qtbot.wait(100)
    assert widget.session.result is before
    dock.setVisible(True)
    qtbot.waitUntil(lambda: widget.session.result is not before, timeout=LONG)
    by_cross(viewer, dock)


def test_panel_moves_to_another_dock(viewer: Any, qtbot: Any) -> None:
    dock, widget = open_panel(viewer)
    viewer.window.remove_dock_widget(dock)
    viewer.window.add_dock_widget(widget, name="again")
    qtbot.wait(50)
    segment(widget, qtbot)
    viewer.window.remove_dock_widget(widget.native)


def test_training_dock_closes_with_the_panel(viewer: Any, qtbot: Any) -> None:
    dock, widget = open_panel(viewer)
    widget.training_dock.open()
    by_cross(viewer, dock)
    del dock, widget
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)


@pytest.mark.parametrize("close", [by_cross, by_script])
def test_closing_while_objects_wait_keeps_their_prompts(
    viewer: Any, close: Any, qtbot: Any
) -> None:
    dock, widget = open_panel(viewer)
    widget.session.model = Squares(delay=2)
    press(widget.panel.new_prompts)
    points = widget.session.points_layer
    for centre in CENTRES[:3]:
        points.add(centre)
        type_key(widget, "W")
    assert len(points.data) == 0
    close(viewer, dock)
    qtbot.waitUntil(lambda: len(points.data) == 3, timeout=LONG)
    assert "SAM labels" not in viewer.layers


def test_leak_check_sees_what_a_forgotten_panel_leaves(
    qtbot: Any, leaks_allowed: Callable[[], None]
) -> None:
    leaks_allowed()
    viewer = ViewerModel()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    assert widget.panel.native.parent() is widget.native  # it is open
    assert "key" in active()
    assert "callback on the mouse" in active()
    assert "callback of LayerWatcher on current_step" in active()
    widget.disconnect_viewer()
    assert active() == []
    assert leftovers() == ["widget", "worker"]


def wait_for_preview(widget: SamWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: widget.preview_layer.is_shown, timeout=LONG)


def test_a_second_panel_takes_the_place_of_the_first(viewer: Any, qtbot: Any) -> None:
    _, first = open_panel(viewer)
    segment(first, qtbot)
    session = first.session
    second = SamWidget(viewer)
    viewer.window.add_dock_widget(second, name="again", area="right")
    assert second.session is session
    assert second.panel.points.layer is session.points_layer
    wait_for_preview(second, qtbot)
    assert sum(la.name.startswith("SAM preview") for la in viewer.layers) == 1
    assert sorted(map(str, viewer.keymap)) == list(KEYS)
    assert len(viewer.window.dock_widgets) == 1
    type_key(second, "W")
    assert "SAM labels" in viewer.layers
    del first, _
    viewer.window.remove_dock_widget(second.native)
    del second, session
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)


def option_controls(panel: MainPanel) -> list[Any]:
    return [panel.advanced, panel.automatic.controls, panel.postprocessing]


def test_a_second_panel_shows_the_options_of_the_session(viewer: Any) -> None:
    _, first = open_panel(viewer)
    session, panel = first.session, first.panel
    wanted = [
        {"policy": "overwrite", "label_choice": True, "memory": 300}
        | {"intensity": "window", "window_centre": 90.0, "window_width": 60.0},
        {"quality": 0.55, "min_size": 12.0, "max_size": 900.0}
        | {"crops": 1, "min_slices": 3, "gap": 4},
        {"fill_holes": True, "smooth": 1.5, "min_size": 30},
    ]
    for controls, values in zip(option_controls(panel), wanted, strict=True):
        for name, value in values.items():
            controls[name].value = value
    names = ("intensity", "cleanup", "thresholds", "search", "linking")
    before = {name: getattr(session, name) for name in names}
    assert before["cleanup"] == CleanUp(False, True, 1.5, 30)
    second = SamWidget(viewer)
    for controls, values in zip(option_controls(second.panel), wanted, strict=True):
        assert {name: controls[name].value for name in values} == values
    assert {name: getattr(session, name) for name in names} == before
    assert session.target.policy == "overwrite"
    second.disconnect_viewer()


def test_the_menu_entry_opens_one_panel(viewer: Any) -> None:
    dock, widget = open_panel(viewer)
    assert viewer.window.add_plugin_dock_widget("napari-sam") == (dock, widget)
    by_cross(viewer, dock)


ORDERS = ["train main", "main train", "train train main", "main main train train"]


@pytest.mark.parametrize("order", ORDERS)
def test_docks_closed_and_opened_in_any_order_share_a_session(
    viewer: Any, order: str, qtbot: Any
) -> None:
    dock, widget = open_panel(viewer)
    panel = widget.training_dock.open()
    for name in order.split():
        if name == "main":
            by_cross(viewer, dock)
            qtbot.wait(1)
            dock, widget = open_panel(viewer)
        elif panel.native.parent() is not None:
            by_cross(viewer, panel.native.parent())
        panel = widget.training_dock.open()
        widget.session.model = again = Squares()
        assert panel.model.value == widget.session.model_choice.name
        assert widget.session.model_choice.loaded is again
        assert len(viewer.window.dock_widgets) == 2
    assert sorted(map(str, viewer.keymap)) == list(KEYS)
    by_cross(viewer, dock)
    del dock, widget, panel, again
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)
    assert not viewer.window.dock_widgets
