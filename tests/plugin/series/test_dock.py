"""The dock Image series saves what is on the screen, and goes back and forth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.series.dock import SeriesWidget
from napari_sam.plugin.widget import SamWidget
from napari_sam.series.item import SeriesItem
from tests.helpers.discs import PLANE
from tests.helpers.leaks import leftovers
from tests.helpers.series_dock import (
    LONG,
    is_at_rest,
    labels_of,
    open_dock,
    open_folder,
    paint,
    press,
    saved,
    shown,
)

NAMES = [f"{letter}.tif" for letter in "abcd"]
STEPS = 25

pytestmark = pytest.mark.usefixtures("nothing_from_before")


@pytest.fixture
def viewer(make_napari_viewer: Any, qtbot: Any) -> Iterator[Any]:
    viewer = make_napari_viewer()
    yield viewer
    for widget in list(viewer.window.dock_widgets.values()):
        if isinstance(widget, SeriesWidget | SamWidget):
            viewer.window.remove_dock_widget(widget.native)
    qtbot.wait(1)


@pytest.fixture
def dock(viewer: Any, tmp_path: Path, qtbot: Any) -> SeriesWidget:
    """The dock with four images, of which the first is shown."""
    widget = open_dock(viewer)
    open_folder(widget, tmp_path, qtbot, *NAMES)
    assert shown(widget) == "a.tif"
    return widget


def status(dock: SeriesWidget, name: str) -> str:
    assert dock.annotation is not None
    return dock.annotation.series[name].status


def test_next_and_previous_with_edits_at_random(
    viewer: Any, dock: SeriesWidget, tmp_path: Path, qtbot: Any
) -> None:
    rng = np.random.default_rng(0)
    expected: dict[str, np.ndarray] = {}
    for step in range(STEPS):
        name = shown(dock)
        layer = labels_of(dock)
        if name in expected:
            np.testing.assert_array_equal(layer.data, expected[name])
        if rng.random() < 0.7:
            at = tuple(rng.integers(0, PLANE.shape[0], 2).tolist())
            paint(dock, at, step + 1)
        if rng.random() < 0.2:
            layer.undo()
        expected[name] = np.array(layer.data)
        # Faster than they can be opened, at times.
        for _ in range(rng.integers(1, 4)):
            button = "next_image" if rng.random() < 0.5 else "previous_image"
            dock.panel.buttons[button].native.click()
        qtbot.waitUntil(lambda: is_at_rest(dock), timeout=LONG)
        assert len(viewer.layers) == 2
    dock.close_series()
    dock._worker._executor.shutdown(wait=True)
    for name, labels in expected.items():
        written = saved(tmp_path, name)
        if written is None:
            assert not labels.any()
        else:
            np.testing.assert_array_equal(written, labels)
    assert not list(tmp_path.rglob("*.lock"))


def test_edits_are_saved_by_themselves(
    dock: SeriesWidget, tmp_path: Path, qtbot: Any
) -> None:
    paint(dock, (10, 10), 3)
    qtbot.waitUntil(lambda: saved(tmp_path, "a.tif") is not None, timeout=LONG)
    qtbot.waitUntil(lambda: is_at_rest(dock))
    np.testing.assert_array_equal(saved(tmp_path, "a.tif"), labels_of(dock).data)
    assert status(dock, "a.tif") == "started"
    labels_of(dock).undo()
    qtbot.waitUntil(lambda: not np.any(saved(tmp_path, "a.tif")), timeout=LONG)


def test_done_skip_and_review(dock: SeriesWidget, qtbot: Any) -> None:
    assert press(dock, "done_next", qtbot) == "b.tif"
    assert press(dock, "skip", qtbot) == "c.tif"
    assert press(dock, "needs_review", qtbot) == "c.tif"
    found = [status(dock, name) for name in NAMES]
    assert found == ["done", "skipped", "needs review", "new"]
    assert dock.panel.counts.value.startswith("1 of 4 done, 1 to review, 1 skipped")
    dock.panel.which.value = "unfinished"
    qtbot.waitUntil(lambda: dock.panel.model.rowCount() == 2)
    assert dock.panel.model.name_at(0) == "c.tif"
    dock.panel.which.value = "all"
    dock.panel.search.value = "D.t"
    qtbot.waitUntil(lambda: dock.panel.model.rowCount() == 1)
    index = dock.panel.model.index(0, 1)
    assert dock.panel.model.data(index) == "d.tif"
    dock.panel.view.doubleClicked.emit(index)
    qtbot.waitUntil(lambda: shown(dock) == "d.tif", timeout=LONG)
    assert press(dock, "done_next", qtbot) == "d.tif"
    assert dock.panel.status.value.startswith("There is no unfinished image after")


def test_notes_are_kept(dock: SeriesWidget, qtbot: Any) -> None:
    dock.panel.note.value = "out of focus"
    press(dock, "next_image", qtbot)
    assert dock.panel.note.value == ""
    press(dock, "previous_image", qtbot)
    assert dock.panel.note.value == "out of focus"


def test_the_view_and_the_tool_stay(
    viewer: Any, dock: SeriesWidget, qtbot: Any
) -> None:
    points = viewer.add_points([[1, 1]], name="mine")
    points.mode = "add"
    viewer.layers["a.tif"].contrast_limits = (5, 99)
    camera_of(viewer).zoom = 7.5
    press(dock, "next_image", qtbot)
    assert viewer.layers["b.tif"].contrast_limits == [5, 99]
    assert camera_of(viewer).zoom == 7.5
    assert viewer.layers.selection.active is points
    assert [layer.name for layer in viewer.layers] == ["b.tif", "b.tif labels", "mine"]


def test_unusable_images_are_passed_and_listed(
    viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.tif").write_bytes(b"")
    (tmp_path / "images" / "c.tif").write_bytes(b"II*\0 no image")
    dock = open_dock(viewer)
    open_folder(dock, tmp_path, qtbot, "b.tif", "d.tif")
    assert shown(dock) == "b.tif"
    assert press(dock, "next_image", qtbot) == "d.tif"
    assert "c.tif cannot be opened" in dock.panel.status.value
    marks = [dock.panel.model.data(dock.panel.model.index(row, 0)) for row in (0, 2)]
    assert all("unusable" in mark for mark in marks)
    assert press(dock, "previous_image", qtbot) == "b.tif"
    assert press(dock, "previous_image", qtbot) == "b.tif"


def test_an_image_that_is_open_elsewhere_is_read_only(
    dock: SeriesWidget, tmp_path: Path, qtbot: Any
) -> None:
    assert dock.annotation is not None
    with dock.annotation.series.edit("b.tif"):
        assert press(dock, "next_image", qtbot) == "b.tif"
        assert dock.panel.status.value.startswith("Read only. The image is opened by")
        assert not labels_of(dock).editable
        labels_of(dock).data[2:4, 2:4] = 1
        labels_of(dock).refresh()
        dock.press("needs_review")
        assert "opened by" in str(notification_manager.records[-1].message)
        press(dock, "next_image", qtbot)
    assert saved(tmp_path, "b.tif") is None


def test_accepted_objects_are_written_into_the_series(
    viewer: Any, dock: SeriesWidget, bright: Any, tmp_path: Path, qtbot: Any
) -> None:
    _, panel = viewer.window.add_plugin_dock_widget("napari-sam", "Segment Anything")
    panel.session.model = bright
    panel.panel.new_prompts.native.click()
    qtbot.waitUntil(lambda: panel.session.labels_layer is labels_of(dock))
    dock.panel.classes.named.value = "disc"
    dock.panel.classes.add.native.click()
    qtbot.waitUntil(lambda: dock.panel.classes.of_new.value == "disc")
    where = np.argwhere(PLANE.mean() < PLANE)[0]
    panel.session.points_layer.add(where)
    qtbot.waitUntil(lambda: panel.session.result is not None, timeout=LONG)
    panel.press("accept")
    assert press(dock, "next_image", qtbot) == "b.tif"
    assert panel.session.labels_layer is labels_of(dock)
    assert not len(panel.session.points_layer.data)
    written = saved(tmp_path, "a.tif")
    assert written is not None
    assert written[tuple(where)] == 1
    assert dock.annotation is not None
    item = dock.annotation.series["a.tif"]
    assert item.classes == {1: "disc"}
    record = item.read_record()
    assert record is not None
    assert set(record["objects"]) == {"1"}


def test_the_next_image_is_read_ahead(
    dock: SeriesWidget, qtbot: Any, monkeypatch: Any
) -> None:
    read: list[str] = []
    original = SeriesItem.read
    monkeypatch.setattr(
        SeriesItem, "read", lambda item: read.append(item.name) or original(item)
    )
    press(dock, "next_image", qtbot)
    assert read == ["c.tif"]


def test_closed_dock_leaves_nothing(
    viewer: Any, dock: SeriesWidget, tmp_path: Path, qtbot: Any
) -> None:
    paint(dock, (8, 8), 1)
    viewer.window.remove_dock_widget(dock.native)
    del dock
    qtbot.waitUntil(lambda: not leftovers(), timeout=LONG)
    assert not len(viewer.layers)
    assert not viewer.keymap
    qtbot.waitUntil(lambda: not list(tmp_path.rglob("*.lock")), timeout=LONG)
    assert np.any(saved(tmp_path, "a.tif"))


def test_without_a_series_the_keys_say_what_to_do(viewer: Any) -> None:
    dock = open_dock(viewer)
    assert {str(key) for key in viewer.keymap} == {",", ".", "Shift+W"}
    assert "choose the folder" in dock.press("next_image")
    dock.panel.buttons["open"].native.click()
    assert "No folder of images" in str(notification_manager.records[-1].message)
