"""Advanced options, corrections of existing objects, and the propagation axis."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_sam.files import MEGABYTE
from napari_sam.images.intensity import IntensityMapping
from napari_sam.plugin.widget import SamWidget
from napari_sam.records.record import read_record
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, press
from tests.helpers.widgets import open_widget


@pytest.fixture
def widget(stack: np.ndarray, bright: BrightPredictor, qtbot: Any) -> Iterator[Any]:
    widget = open_widget(stack, bright)
    qtbot.addWidget(widget.native)
    yield widget
    widget.disconnect_viewer()


@pytest.fixture
def segment(qtbot: Any) -> Callable[..., None]:
    def run(widget: SamWidget, box: tuple[int, ...] | None = None) -> None:
        if box is not None:
            widget.session.shapes_layer.add_rectangles(corners(box, 4))
        press(widget.panel.segment_slice)
        qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=10000)

    return run


def test_advanced_options_are_hidden_at_first(widget: SamWidget) -> None:
    assert not widget.panel.advanced.visible
    widget.native.show()
    widget.panel.sections["options"].expand()
    assert widget.panel.advanced.visible
    assert not widget.panel.advanced.window_centre.visible


def test_options_are_set_on_the_session(widget: SamWidget) -> None:
    options, session = widget.panel.advanced, widget.session
    options.policy.value = "overwrite"
    options.label_choice.value = True
    assert (session.target.policy, session.target.use_selected_label) == (
        "overwrite",
        True,
    )
    options.intensity.value = "window"
    options.window_centre.value, options.window_width.value = 100, 50
    assert session.intensity == IntensityMapping.window(100, 50)
    options.intensity.value = "percentiles"
    options.low.value, options.high.value = 2, 98
    assert session.intensity == IntensityMapping.percentiles(2, 98)
    options.intensity.value = "full"
    assert session.intensity == IntensityMapping.full()
    options.intensity.value = "display"
    assert session.intensity == IntensityMapping.display()


def test_unordered_percentiles_are_a_notification(widget: SamWidget) -> None:
    notification_manager.records.clear()
    options = widget.panel.advanced
    options.intensity.value = "percentiles"
    before = widget.session.intensity
    options.low.value = 99.9
    messages = [record.message for record in notification_manager.records]
    assert any("two increasing numbers" in message for message in messages)
    assert widget.session.intensity == before
    notification_manager.records.clear()


def test_channels_are_offered_for_channel_images(
    widget: SamWidget, stack: np.ndarray
) -> None:
    viewer, options = widget.session.viewer, widget.panel.advanced
    widget.native.show()
    widget.panel.sections["options"].expand()
    assert not any(combo.visible for combo in options.channels)
    viewer.add_image(
        np.stack([stack, stack]), name="two", axis_labels=("c", "z", "y", "x")
    )
    widget.panel.image.select(viewer.layers["two"])
    assert all(combo.visible for combo in options.channels)
    options.channels[0].value = options.channels[0].choices[-1]
    (choice,) = widget.session.channels
    assert (choice.axis, choice.index) == (0, 1)
    widget.panel.image.select(viewer.layers["balls"])
    assert widget.session.channels == ()


def test_selected_label_can_be_refined(widget: SamWidget, segment: Any) -> None:
    segment(widget, FIRST)
    press(widget.panel.accept)
    labels = widget.session.labels_layer
    assert labels is not None
    before = labels.data.copy()
    labels.selected_label = 1
    press(widget.panel.refine)
    assert "Correcting label 1" in widget.panel.status.value
    widget.session.set_polarity(False)
    widget.session.points_layer.add([4, 15, 20])
    segment(widget)
    press(widget.panel.accept)
    assert labels.data[4, 15, 20] == 0
    assert np.unique(labels.data).tolist() == [0, 1]
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_correction_can_be_discarded(widget: SamWidget, segment: Any) -> None:
    segment(widget, FIRST)
    press(widget.panel.accept)
    press(widget.panel.previous)
    assert len(widget.session.shapes_layer.data) == 1
    assert not widget.panel.previous.enabled
    press(widget.panel.discard)
    assert len(widget.session.shapes_layer.data) == 0
    press(widget.panel.previous)  # and start the correction again
    segment(widget)
    press(widget.panel.accept)
    assert np.unique(widget.session.labels_layer.data).tolist() == [0, 1]


def test_previous_objects_restore_their_mode(widget: SamWidget, segment: Any) -> None:
    widget.panel.each_prompt.value = True
    widget.session.shapes_layer.add_rectangles(corners(FIRST, 4))
    segment(widget, SECOND)
    press(widget.panel.accept)
    widget.panel.each_prompt.value = False
    press(widget.panel.previous)
    assert widget.panel.each_prompt.value
    assert len(widget.session.shapes_layer.data) == 2


def test_record_is_saved_to_the_chosen_file(
    widget: SamWidget, segment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment(widget, FIRST)
    press(widget.panel.accept)
    file = tmp_path / "how.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    press(widget.panel.advanced.save)
    assert read_record(file) == widget.session.record()
    assert json.loads(file.read_text())["objects"]["1"][0]["label"] == 1
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    press(widget.panel.advanced.save)  # nothing chosen, nothing written
    assert list(tmp_path.iterdir()) == [file]


def test_cache_size_is_limited_and_shown(widget: SamWidget, segment: Any) -> None:
    options, cache = widget.panel.advanced, widget.session.cache
    assert options.memory.value * MEGABYTE == cache.max_bytes
    options.memory.value = 64
    assert cache.max_bytes == 64 * MEGABYTE
    segment(widget, FIRST)
    # The next slice may be encoded as well.
    assert options.cache_text.value.startswith(("1 slice encoded", "2 slices encoded"))


def test_disk_cache_can_be_switched_on(
    widget: SamWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path))
    assert widget.session.cache.disk is None
    widget.panel.advanced.disk.value = True
    disk = widget.session.cache.disk
    assert disk is not None
    assert disk.folder == tmp_path / "embeddings"
    widget.panel.advanced.disk.value = False
    assert widget.session.cache.disk is None


def test_long_texts_do_not_widen_the_panel(widget: SamWidget) -> None:
    widget.native.show()
    before = widget.native.minimumSizeHint().width()
    widget.session.viewer.layers["balls"].name = "a name " * 20
    widget.panel.status.value = "a sentence that goes on " * 20
    assert widget.native.minimumSizeHint().width() == before


def test_axis_choice_is_shown_for_several_axes(
    widget: SamWidget, stack: np.ndarray
) -> None:
    widget.native.show()
    viewer, axis = widget.session.viewer, widget.panel.axis.combo
    assert not axis.visible
    data = np.stack([stack] * 3)
    viewer.add_image(data, name="series", axis_labels=("time", "z", "y", "x"))
    widget.panel.image.select(viewer.layers["series"])
    assert axis.visible
    box = axis.native
    shown = [box.itemText(number) for number in range(box.count())]
    assert shown == ["time (3 slices)", "z (9 slices)"]
    assert axis.value == 1
    assert widget.session.axis is None
    axis.value = 0
    assert widget.session.axis == 0
    viewer.dims.order = (1, 2, 0, 3)
    assert [value for _, value in widget.panel.axis.choices] == [1, 2]
    assert widget.session.axis is None  # the other one is displayed now


def test_information_for_a_report_is_copied(widget: Any) -> None:
    press(widget.panel.advanced.copy_info)
    copied = QApplication.clipboard().text()
    assert "napari-sam " in copied and "folder of weights" in copied
