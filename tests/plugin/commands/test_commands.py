"""Commands of the palette do what the buttons of the panel do."""

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name
from qtpy.QtWidgets import QDockWidget

from napari_sam.plugin.panels.buttons import BUTTONS
from napari_sam.plugin.series.controls.panel import BUTTONS as SERIES_BUTTONS
from napari_sam.plugin.series.dock import SeriesWidget
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, corners

# {command: button}
PRESSING = {
    "start": "new_prompts",
    "box_tool": "box",
    "object_tool": "positive",
    "background_tool": "negative",
    "segment_slice": "segment_slice",
    "segment_stack": "segment_stack",
    "segment_everything": "segment_everything",
    "next_alternative": "next_alternative",
    "next_doubtful": "next_doubtful",
    "accept": "accept",
    "discard": "discard",
    "cancel": "cancel",
    "previous_object": "previous",
    "refine_label": "refine",
    "clean_label": "clean_label",
    "measure": "measure",
    "train": "train",
    "split_label": "split_label",
    "merge_labels": "merge_labels",
    "delete_label": "delete_label",
    "renumber_label": "rename_label",
    "number_in_order": "relabel",
    "download_model": "download",
}
OTHERS = {"toggle_points", "undo", "save_record"}
# Of the dock Image series.
SERIES = {
    "previous_image": "previous_image",
    "next_image": "next_image",
    "done_next": "done_next",
    "needs_review": "needs_review",
    "skip_image": "skip",
}
WIDGETS = {"widget", "series", "job"}


def app() -> Any:
    from napari._app_model import get_app_model

    return get_app_model()


def execute(command: str) -> list[str]:
    """Run a command as the palette does; return what it says."""
    before = len(notification_manager.records)
    app().commands.execute_command(f"napari-sam.{command}").result()
    return [str(record.message) for record in notification_manager.records[before:]]


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Iterator[Any]:
    viewer = make_napari_viewer()
    yield viewer
    for widget in panels(viewer):
        widget.training_dock.remove()
        widget.disconnect_viewer()


def panels(viewer: Any) -> list[SamWidget]:
    docked = viewer.window.dock_widgets.values()
    return [widget for widget in docked if isinstance(widget, SamWidget)]


def commands_of_manifest() -> set[str]:
    manifest = PluginManifest.from_distribution("napari-sam")
    contributions = manifest.contributions
    ids = {command.id for command in contributions.commands or []}
    ids -= {writer.command for writer in contributions.writers or []}
    ids -= {reader.command for reader in contributions.readers or []}
    names = {command.removeprefix("napari-sam.") for command in ids}
    return {name for name in names - WIDGETS if "sample" not in name}


def test_every_button_has_a_command() -> None:
    assert set(PRESSING.values()) == set(BUTTONS)
    assert {"open", *SERIES.values()} == set(SERIES_BUTTONS)
    assert commands_of_manifest() == {*PRESSING, *OTHERS, *SERIES}


def test_the_palette_lists_all_commands(viewer: Any) -> None:
    listed = dict(app().commands)
    for name in commands_of_manifest():
        action = listed[f"napari-sam.{name}"]
        assert "(napari-sam)" in str(action.title)


def test_on_an_empty_viewer_commands_open_the_panel_and_say_why(
    viewer: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("napari_sam.plugin.state.model_choice.is_cached", lambda _: 0)
    for command in sorted({*PRESSING, *OTHERS} - {"train", "download_model"}):
        (said,) = execute(command)
        assert said.endswith("."), command
        assert len(panels(viewer)) == 1


def test_commands_of_a_series_open_its_dock_and_press_its_buttons(
    viewer: Any,
) -> None:
    for command in SERIES:
        (said,) = execute(command)
        assert "No series is open" in said
    docked = viewer.window.dock_widgets.values()
    (dock,) = (widget for widget in docked if isinstance(widget, SeriesWidget))
    dock.annotation = Mock()
    for command, button in SERIES.items():
        dock.panel.buttons[button].changed.disconnect()
        pressed = Mock()
        dock.panel.buttons[button].changed.connect(pressed)
        assert execute(command) == []
        pressed.assert_called_once()
    dock.annotation = None
    dock.close_series()


@pytest.mark.parametrize("command", PRESSING)
def test_a_command_presses_its_button(
    qtbot: Any, command: str, monkeypatch: Any
) -> None:
    widget = SamWidget(ViewerModel())
    button = widget.panel.buttons[PRESSING[command]]
    # Only whether it is pressed: what it does is tested with the button.
    button.changed.disconnect()
    pressed = Mock()
    button.changed.connect(pressed)
    viewer, run = in_dock(widget), function(command)
    before = len(notification_manager.records)
    run(viewer)
    said = [str(record.message) for record in notification_manager.records[before:]]
    if not button.enabled:
        assert said == [button.tooltip]
        pressed.assert_not_called()
    reasons = dict.fromkeys(BUTTONS, "")
    monkeypatch.setattr(
        "napari_sam.plugin.panels.panel_display.disabled_reasons", lambda *_: reasons
    )
    pressed.reset_mock()
    run(viewer)
    pressed.assert_called_once()
    widget.disconnect_viewer()


def in_dock(widget: SamWidget) -> Any:
    """Return a stand-in for a viewer with a panel in a dock."""
    dock = QDockWidget()
    dock.setWidget(widget.native)
    window = SimpleNamespace(dock_widgets={"any name": widget}, geometry=tuple)
    return SimpleNamespace(window=window, dock=dock)


def function(command: str) -> Any:
    manifest = PluginManifest.from_distribution("napari-sam")
    names = {c.id: c.python_name for c in manifest.contributions.commands or []}
    return import_python_name(names[f"napari-sam.{command}"])


def test_commands_segment_accept_and_undo(viewer: Any, stack: np.ndarray) -> None:
    viewer.add_image(stack, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    assert execute("start") == []
    (widget,) = panels(viewer)
    widget.panel.live.value = False
    widget.session.model = BrightPredictor()
    execute("object_tool")
    assert widget.session.tool == "object"
    execute("toggle_points")
    assert widget.session.tool == "background"
    viewer.layers["SAM boxes"].add_rectangles(corners(FIRST, 4))
    widget.session.preview()
    execute("accept")
    labels = widget.session.labels_layer
    assert labels is not None
    found = labels.data.copy()
    assert found.any()
    execute("undo")
    assert not labels.data.any()
    labels.redo()
    np.testing.assert_array_equal(labels.data, found)


def test_a_hidden_dock_is_shown(viewer: Any, qtbot: Any) -> None:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-sam")
    dock.hide()
    execute("accept")
    assert not dock.isHidden()
    assert panels(viewer) == [widget]


def test_each_viewer_has_its_own_panel(make_napari_viewer: Any) -> None:
    from napari_sam.plugin.commands.drawing import cancel

    one, two = make_napari_viewer(), make_napari_viewer()
    cancel(one)
    cancel(two)
    assert len({id(widget) for viewer in (one, two) for widget in panels(viewer)}) == 2
    for viewer in (one, two):
        panels(viewer)[0].disconnect_viewer()


def test_a_closed_window_gives_a_sentence(viewer: Any) -> None:
    from napari_sam.plugin.commands import drawing, open_panel

    closed = Mock()
    closed.window.geometry.side_effect = AttributeError("_qt_window")
    before = len(notification_manager.records)
    drawing.accept(closed)
    said = [str(record.message) for record in notification_manager.records[before:]]
    assert said == [open_panel.CLOSED]


def test_importing_commands_imports_neither_torch_nor_the_panel() -> None:
    code = (
        "import sys, napari, napari.utils.notifications\n"
        "napari.Viewer  # Older releases import qtpy here.\n"
        "before = set(sys.modules)\n"
        "import napari_sam.plugin.commands.drawing, napari_sam.plugin.commands.labels\n"
        "print([m for m in ('torch', 'qtpy', 'napari_sam.plugin.widget') "
        "if m in set(sys.modules) - before])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
