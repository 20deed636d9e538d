"""The dock widget: layer choices, buttons, segmentation, errors and closing."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPointF

from napari_sam.plugin.panels.choices.model_section import OWN_FILE
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, press

LONG = 20_000


def notifications() -> list[str]:
    return [record.message for record in notification_manager.records]


@pytest.fixture(autouse=True)
def no_old_notifications() -> None:
    notification_manager.records.clear()


@pytest.fixture
def make_widget(qtbot: Any) -> Iterator[Callable[..., SamWidget]]:
    widgets_made: list[SamWidget] = []

    def make(viewer: Any = None, model: Any = None) -> SamWidget:
        widget = SamWidget(ViewerModel() if viewer is None else viewer)
        widget.panel.live.value = False
        if model is not None:
            widget.session.model = model
        widgets_made.append(widget)
        return widget

    yield make
    for widget in widgets_made:
        widget.disconnect_viewer()


@pytest.fixture
def widget(make_widget: Any, bright: Any, stack: np.ndarray) -> SamWidget:
    """A widget on the middle slice of the balls, with a box around the first."""
    return with_a_box(make_widget(ViewerModel(), bright), stack)


def with_a_box(widget: SamWidget, stack: np.ndarray) -> SamWidget:
    viewer = widget.session.viewer
    viewer.add_image(stack, name="balls", contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    press(widget.panel.new_prompts)
    assert widget.session.shapes_layer is not None
    widget.session.shapes_layer.add_rectangles(corners(FIRST, 4))
    return widget


@pytest.fixture
def wait(qtbot: Any) -> Callable[[SamWidget], None]:
    def until_idle(widget: SamWidget) -> None:
        qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=LONG)

    return until_idle


class SlowPredictor(BrightPredictor):
    """A model that waits for a signal before it embeds."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.started, self.go = threading.Event(), threading.Event()

    def embed(self, plane: Any, contrast_limits: Any = None, **shape: Any) -> Any:
        self.started.set()
        self.go.wait(20)
        return super().embed(plane, contrast_limits, **shape)


@pytest.fixture
def slow() -> Iterator[SlowPredictor]:
    predictor = SlowPredictor()
    yield predictor
    predictor.go.set()


def names(choice: Any) -> list[str]:
    combo = choice.combo.native
    return [combo.itemText(number) for number in range(combo.count())]


# -- choices -------------------------------------------------------------------


def test_layer_choices_follow_the_layer_list(
    make_widget: Any, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    widget = make_widget(viewer)
    assert names(widget.panel.image) == ["(no image)"]
    layer = viewer.add_image(stack, name="before")
    viewer.add_image(stack, name="other")
    assert names(widget.panel.image)[1:] == ["before", "other"]
    widget.panel.image.select(layer)
    layer.name = "after"
    assert set(names(widget.panel.image)[1:]) == {"after", "other"}
    assert widget.session.image_layer is layer
    viewer.layers.move(0, 2)
    assert widget.session.image_layer is layer
    viewer.layers.remove(layer)
    assert names(widget.panel.image)[1:] == ["other"]
    assert widget.session.image_layer.name == "other"


def test_layer_choices_offer_one_layer_type(
    make_widget: Any, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    widget = make_widget(viewer)
    viewer.add_image(stack, name="image")
    viewer.add_labels(stack.astype(int), name="labels")
    viewer.add_points(ndim=3, name="points")
    viewer.add_shapes(ndim=3, name="shapes")
    assert names(widget.panel.image)[1:] == ["image"]
    assert names(widget.panel.labels_layer)[1:] == ["labels"]
    assert names(widget.panel.points)[1:] == ["points"]
    assert names(widget.panel.shapes)[1:] == ["shapes"]


def test_chosen_layers_are_set_on_the_session(
    make_widget: Any, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack)
    points, shapes = viewer.add_points(ndim=3), viewer.add_shapes(ndim=3)
    labels = viewer.add_labels(stack.astype(int))
    widget = make_widget(viewer)
    widget.panel.points.select(points)
    widget.panel.shapes.select(shapes)
    widget.panel.labels_layer.select(labels)
    session = widget.session
    assert session.points_layer is points
    assert session.shapes_layer is shapes
    assert session.labels_layer is labels
    viewer.layers.remove(points)
    assert session.points_layer is None


def test_new_layer_can_be_chosen_again(widget: SamWidget) -> None:
    shape = widget.session.viewer.layers["balls"].data.shape
    labels = widget.session.viewer.add_labels(np.zeros(shape, int), name="old")
    widget.panel.labels_layer.select(labels)
    assert widget.session.labels_layer is labels
    widget.panel.labels_layer.combo.native.setCurrentIndex(0)
    assert widget.session.labels_layer is None


def test_preview_layer_is_not_offered_as_labels(widget: SamWidget, wait: Any) -> None:
    press(widget.panel.segment_slice)
    wait(widget)
    assert any(la.name.startswith("SAM preview") for la in widget.session.viewer.layers)
    assert names(widget.panel.labels_layer) == ["(new labels layer)"]


# -- buttons -------------------------------------------------------------------


def enabled(widget: SamWidget) -> set[str]:
    buttons = (
        *("new_prompts", "positive", "negative", "segment_slice", "segment_stack"),
        *("accept", "discard", "cancel"),
    )
    return {name for name in buttons if widget.panel.buttons[name].enabled}


def test_buttons_are_enabled_when_usable(
    make_widget: Any,
    slow: SlowPredictor,
    stack: np.ndarray,
    wait: Any,
) -> None:
    viewer = ViewerModel()
    widget = make_widget(viewer, slow)
    assert enabled(widget) == set()
    viewer.add_image(stack, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    segment = {"new_prompts", "segment_slice", "segment_stack"}
    polarity = {"positive", "negative"}
    assert enabled(widget) == segment
    press(widget.panel.new_prompts)
    assert enabled(widget) == segment | polarity
    widget.session.shapes_layer.add_rectangles(corners(FIRST, 4))
    press(widget.panel.segment_slice)
    assert enabled(widget) == polarity | {"cancel"}
    slow.go.set()
    wait(widget)
    assert enabled(widget) == segment | polarity | {"accept", "discard"}
    press(widget.panel.accept)
    assert enabled(widget) == segment | polarity


def test_polarity_buttons_need_a_points_layer(
    make_widget: Any, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack)
    points = viewer.add_points(ndim=3)
    widget = make_widget(viewer)
    assert "positive" not in enabled(widget)
    widget.panel.points.select(points)
    assert {"positive", "negative"} <= enabled(widget)
    viewer.layers.remove(points)
    assert not {"positive", "negative"} & enabled(widget)


def test_new_prompt_layers_are_ready_to_draw(widget: SamWidget) -> None:
    session = widget.session
    assert widget.session.viewer.layers.selection.active is session.shapes_layer
    assert session.shapes_layer is not None
    assert session.points_layer is not None
    assert session.shapes_layer.mode == "add_rectangle"
    assert session.points_layer.mode == "add"
    assert widget.panel.points.layer is session.points_layer
    assert widget.panel.shapes.layer is session.shapes_layer


# -- the main job --------------------------------------------------------------


def test_segment_preview_accept(
    widget: SamWidget, wait: Any, stack: np.ndarray
) -> None:
    viewer = widget.session.viewer
    press(widget.panel.segment_slice)
    wait(widget)
    assert "1 object in the preview" in widget.panel.status.value
    preview = viewer.layers["SAM preview"]
    assert np.count_nonzero(preview.data) == np.count_nonzero(stack[4, :, :30] > 127)
    press(widget.panel.accept)
    assert not viewer.layers["SAM preview"].data.any()
    labels = viewer.layers["SAM labels"]
    truth = np.zeros(stack.shape, bool)
    truth[4, :, :30] = stack[4, :, :30] > 127
    np.testing.assert_array_equal(labels.data == 1, truth)
    assert "label 1" in widget.panel.status.value
    assert widget.panel.labels_layer.layer is labels
    assert not notifications()


def test_objects_are_written_into_the_same_labels(widget: SamWidget, wait: Any) -> None:
    for box in (None, SECOND):
        if box is not None:
            widget.session.shapes_layer.add_rectangles(corners(box, 4))
        press(widget.panel.segment_slice)
        wait(widget)
        press(widget.panel.accept)
    layers = [
        la for la in widget.session.viewer.layers if la.name.startswith("SAM labels")
    ]
    assert len(layers) == 1
    assert set(np.unique(layers[0].data)) == {0, 1, 2}


def test_preview_follows_the_slider(widget: SamWidget, wait: Any) -> None:
    viewer = widget.session.viewer
    press(widget.panel.segment_stack)
    wait(widget)
    shown = {}
    for step in (0, 3, 4):
        viewer.dims.set_current_step(0, step)
        shown[step] = viewer.layers["SAM preview"].data.any()
    assert shown == {0: False, 3: True, 4: True}
    viewer.dims.ndisplay = 3
    assert not viewer.layers["SAM preview"].data.any()
    viewer.dims.ndisplay = 2
    assert viewer.layers["SAM preview"].data.any()


def test_discard_clears_the_preview(widget: SamWidget, wait: Any) -> None:
    press(widget.panel.segment_slice)
    wait(widget)
    press(widget.panel.discard)
    assert not widget.session.viewer.layers["SAM preview"].data.any()
    assert "SAM labels" not in widget.session.viewer.layers


def test_nothing_written_is_reported(widget: SamWidget, wait: Any) -> None:
    for _ in range(2):
        widget.session.shapes_layer.data = [corners(FIRST, 4)]
        press(widget.panel.segment_slice)
        wait(widget)
        press(widget.panel.accept)
    assert "pixels were kept for other objects" in notifications()[-1]
    assert "Wrote label" not in widget.panel.status.value
    assert widget.session.viewer.layers["SAM labels"].data.max() == 1


def test_two_widgets_on_two_viewers(
    make_widget: Any, bright: Any, stack: np.ndarray, wait: Any
) -> None:
    widgets = []
    for box in (FIRST, SECOND):
        viewer = ViewerModel()
        viewer.add_image(stack[4], contrast_limits=(0, 255))
        widget = make_widget(viewer, bright)
        press(widget.panel.new_prompts)
        widget.session.shapes_layer.add_rectangles(corners(box))
        widgets.append(widget)
    for widget in widgets:
        press(widget.panel.segment_slice)
    for widget in widgets:
        wait(widget)
        press(widget.panel.accept)
    first, second = (w.session.viewer.layers["SAM labels"].data for w in widgets)
    assert (first[15, 20], first[28, 38]) == (1, 0)
    assert (second[15, 20], second[28, 38]) == (0, 1)


# -- refusals and accidents ----------------------------------------------------


def test_refused_request_is_a_notification(widget: SamWidget) -> None:
    widget.session.viewer.dims.set_current_step(0, 1)
    layers = list(widget.session.viewer.layers)
    press(widget.panel.segment_slice)
    assert "on other slices" in notifications()[-1]
    assert list(widget.session.viewer.layers) == layers
    assert widget.panel.segment_slice.enabled
    assert not widget.panel.cancel.enabled


def test_model_error_is_a_notification(
    widget: SamWidget, wait: Any, bright: BrightPredictor
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the device is out of memory")

    bright.predict_batch = fail  # type: ignore[method-assign]
    press(widget.panel.segment_slice)
    wait(widget)
    assert notifications() == ["the device is out of memory"]
    assert widget.session.result is None
    assert widget.panel.segment_slice.enabled


def test_cancel_stops_without_a_result(
    widget: SamWidget, slow: SlowPredictor, qtbot: Any, wait: Any
) -> None:
    widget.session.model = slow
    layers = list(widget.session.viewer.layers)
    for button in (widget.panel.segment_slice, widget.panel.segment_stack):
        slow.started.clear()
        slow.go.clear()
        press(button)
        assert slow.started.wait(10)
        press(widget.panel.cancel)
        assert not widget.panel.cancel.enabled
        assert not widget.panel.progress.visible
        assert widget.panel.segment_slice.enabled
        assert "nothing was written" in widget.panel.status.value
        slow.go.set()
        qtbot.wait(100)
        assert widget.session.result is None
        assert list(widget.session.viewer.layers) == layers
    press(widget.panel.segment_slice)
    wait(widget)
    assert widget.session.result is not None
    assert not notifications()


def test_image_removed_while_busy(
    widget: SamWidget, slow: SlowPredictor, wait: Any
) -> None:
    widget.session.model = slow
    press(widget.panel.segment_slice)
    assert slow.started.wait(10)
    widget.session.viewer.layers.remove("balls")
    slow.go.set()
    wait(widget)
    assert "image was removed" in notifications()[-1]
    assert widget.session.result is None
    assert enabled(widget) <= {"positive", "negative"}


def test_image_removed_under_its_preview(widget: SamWidget, wait: Any) -> None:
    press(widget.panel.segment_slice)
    wait(widget)
    widget.session.viewer.layers.remove("balls")
    assert "SAM preview" not in widget.session.viewer.layers
    assert not widget.panel.accept.enabled


def test_accept_after_the_preview_layer_was_removed(
    widget: SamWidget, wait: Any
) -> None:
    press(widget.panel.segment_slice)
    wait(widget)
    widget.session.viewer.layers.remove("SAM preview")
    assert "SAM preview" not in widget.session.viewer.layers
    press(widget.panel.accept)
    assert widget.session.viewer.layers["SAM labels"].data.any()


def test_all_layers_removed_under_a_pending_result(
    widget: SamWidget, wait: Any
) -> None:
    press(widget.panel.segment_slice)
    wait(widget)
    widget.session.viewer.layers.clear()
    assert enabled(widget) == set()
    assert not notifications()


@pytest.mark.parametrize("content", [b"PK not really", b"", None])
def test_damaged_model_file_is_a_notification(
    widget: SamWidget, wait: Any, tmp_path: Path, content: bytes | None
) -> None:
    broken = tmp_path / "broken.pth"
    if content is not None:
        broken.write_bytes(content)
    widget.panel.model.value = "own file ..."
    assert widget.session.model != "lite_medsam"
    widget.panel.model_file.value = broken
    press(widget.panel.segment_slice)
    wait(widget)
    assert len(notifications()) == 1
    assert "broken.pth" in notifications()[0]
    assert "Traceback" not in notifications()[0]
    assert widget.panel.segment_slice.enabled
    assert widget.session.result is None


def test_typed_model_file_stays_as_typed(widget: SamWidget) -> None:
    widget.panel.model.value = OWN_FILE
    line = widget.panel.model_file.line_edit
    assert line.value == ""  # not the current directory
    for text in ("/data/", "/data/m", "relative", "~/model.pth", ""):
        line.value = text
        assert line.value == text
        assert widget.session.model == str(Path(text))


def test_model_of_a_script_is_shown(widget: SamWidget, tmp_path: Path) -> None:
    widget.session.use_model(tmp_path / "mine.pth", "medsam")
    assert widget.panel.model.value == OWN_FILE
    assert widget.panel.model_file.value == tmp_path / "mine.pth"
    assert widget.panel.family.value == "medsam"


def test_missing_model_file_is_a_notification(widget: SamWidget, wait: Any) -> None:
    widget.panel.model.value = "own file ..."
    press(widget.panel.segment_slice)
    wait(widget)
    assert len(notifications()) == 1
    assert widget.panel.segment_slice.enabled


def test_model_is_loaded_once(
    widget: SamWidget, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []

    def load(model: Any, **_: Any) -> BrightPredictor:
        loads.append(model)
        return BrightPredictor(str(model))

    monkeypatch.setattr("napari_sam.prediction.loading.load_model", load)
    widget.panel.model.value = "mobile_sam"
    for _ in range(2):
        press(widget.panel.segment_slice)
        wait(widget)
    assert loads == ["mobile_sam"]
    widget.panel.model.value = "lite_medsam"
    press(widget.panel.segment_slice)
    wait(widget)
    assert loads == ["mobile_sam", "lite_medsam"]


# -- windows -------------------------------------------------------------------


def test_closing_the_widget_while_busy(
    make_napari_viewer: Any, slow: SlowPredictor, stack: np.ndarray, qtbot: Any
) -> None:
    viewer = make_napari_viewer()
    widget = with_a_box(SamWidget(viewer), stack)
    dock = viewer.window.add_dock_widget(widget, name="closing")
    widget.session.model = slow
    press(widget.panel.segment_slice)
    assert slow.started.wait(10)
    with qtbot.capture_exceptions() as exceptions:
        viewer.window.remove_dock_widget(dock)
        widget.native.deleteLater()
        qtbot.wait(50)
        slow.go.set()
        qtbot.wait(100)
        viewer.dims.set_current_step(0, 2)
        viewer.add_image(np.zeros((4, 4)))
        viewer.layers.clear()
    assert not exceptions
    assert not notifications()


@pytest.mark.parametrize("closed", ["dock widget", "viewer"])
def test_closing_with_a_pending_result(
    make_napari_viewer: Any,
    bright: BrightPredictor,
    stack: np.ndarray,
    wait: Any,
    qtbot: Any,
    closed: str,
) -> None:
    viewer = make_napari_viewer()
    widget = SamWidget(viewer)
    widget.session.model = bright
    dock = viewer.window.add_dock_widget(widget)
    with_a_box(widget, stack)
    press(widget.panel.segment_slice)
    wait(widget)
    with qtbot.capture_exceptions() as exceptions:
        if closed == "viewer":
            viewer.close()
            qtbot.wait(50)
        else:
            viewer.window.remove_dock_widget(dock)
            widget.native.deleteLater()
            qtbot.waitUntil(lambda: "SAM preview" not in viewer.layers, timeout=LONG)
    assert not exceptions
    assert not notifications()


def test_session_outlives_the_closed_widget(
    make_napari_viewer: Any,
    bright: BrightPredictor,
    stack: np.ndarray,
    wait: Any,
    qtbot: Any,
    tmp_path: Path,
) -> None:
    viewer = make_napari_viewer()
    widget = SamWidget(viewer)
    session = widget.session
    session.model = bright
    dock = viewer.window.add_dock_widget(widget)
    with_a_box(widget, stack)
    press(widget.panel.segment_slice)
    wait(widget)
    viewer.window.remove_dock_widget(dock)
    with qtbot.waitSignal(widget.native.destroyed, timeout=LONG):
        widget.native.deleteLater()
    assert session.commit() == 1
    session.use_model(tmp_path / "mine.pth", "medsam")
    assert session.model_choice.name == "mine.pth"
    assert not notifications()


def test_closed_widget_leaves_no_callbacks(stack: np.ndarray, qtbot: Any) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(stack)

    def callbacks() -> dict[str, tuple[Any, ...]]:
        return {
            f"{group.source} {name}": emitter.callbacks
            for group in (
                viewer.dims.events,
                viewer.layers.events,
                viewer.layers.selection.events,
                image.events,
            )
            for name, emitter in (*group.emitters.items(), ("all", group))
        }

    before = callbacks()
    widget = SamWidget(viewer)
    assert widget.panel.buttons  # it is open
    assert callbacks() != before
    widget.disconnect_viewer()
    assert callbacks() == before


def test_slice_strip_shows_states_and_goes_to_slices(
    widget: SamWidget, wait: Any
) -> None:
    assert widget.panel.strip.isHidden()
    press(widget.panel.segment_stack)
    wait(widget)
    strip = widget.panel.strip
    assert not strip.isHidden()
    assert strip.states == widget.session.pending.states
    strip.resize(90, strip.height())
    assert [strip.index_at(x) for x in (0, 9.9, 10, 89, 200, -5)] == [0, 0, 1, 8, 8, 0]

    class Click:
        def position(self) -> Any:
            return QPointF(65, 5)

    strip.mousePressEvent(Click())
    assert widget.session.viewer.dims.current_step[0] == 6
    press(widget.panel.discard)
    assert strip.isHidden()


def test_cancel_keeps_finished_slices(
    widget: SamWidget, bright: Any, wait: Any, qtbot: Any
) -> None:
    go, answer, calls = threading.Event(), bright.predict_batch, []

    def slowly(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) > 2:
            go.wait(LONG / 1000)
        return answer(*args, **options)

    bright.predict_batch = slowly
    press(widget.panel.segment_stack)
    qtbot.waitUntil(lambda: len(calls) > 2, timeout=LONG)
    qtbot.waitUntil(lambda: widget.panel.progress.value > 0, timeout=LONG)
    press(widget.panel.cancel)
    go.set()
    wait(widget)
    volume = widget.session.result.volume
    assert not volume.complete
    assert "so far" in widget.panel.status.value  # what was kept
    bright.predict_batch = answer
    press(widget.panel.segment_stack)
    wait(widget)
    assert widget.session.result.volume.complete
    assert set(volume.slices) <= set(widget.session.result.volume.slices)


def test_own_file_without_family_needs_trained_as(
    widget: SamWidget, data_folder: Path
) -> None:
    widget.panel.model.value = OWN_FILE
    widget.panel.model_file.value = data_folder / "sam_small.pth"
    assert "choose it" in widget.panel.model_note.value
    with pytest.raises(ValueError, match="'Trained as' in the viewer"):
        widget.session.load()
    widget.panel.family.value = "medsam"
    widget.session.load()
    widget.session.changed.emit()
    assert "trained as medsam" in widget.panel.model_note.value
    assert "stretched to 256 x 256 px" in widget.panel.model_note.tooltip
