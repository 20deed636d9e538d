"""The widget while a model trains: what works, what waits, progress and Cancel."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.background.request_runner import TRAINING
from napari_sam.plugin.widget import SamWidget
from napari_sam.training.options import TrainingProgress
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, draw, press, written
from tests.helpers.widgets import open_widget

LONG = 20_000
QUIET = 150  # longer than the widget waits for further changes


class FakeTraining:
    """A training that yields `progress` until None; then or when stopped it ends."""

    def __init__(self) -> None:
        self.progress: SimpleQueue[TrainingProgress | None] = SimpleQueue()
        self.results: list[Any] = []
        self.ended = threading.Event()

    def run(self, predictor: Any, stopped: Callable[[], bool]) -> Any:
        while (progress := self.progress.get()) is not None:
            yield progress
            if stopped():
                break
        return "best model"

    def start(self, widget: SamWidget) -> None:
        """Train on the worker of a widget."""
        self.stop = widget.connected._runner.train(
            self,  # type: ignore[arg-type]
            on_progress=lambda _: None,
            on_result=lambda result, _: self.results.append(result),
            on_end=self.ended.set,
        )

    def end(self, qtbot: Any) -> None:
        """End the training."""
        self.progress.put(None)
        qtbot.waitUntil(self.ended.is_set, timeout=LONG)


@pytest.fixture
def widget(bright: BrightPredictor, stack: np.ndarray, qtbot: Any) -> Iterator[Any]:
    """A widget on the middle slice of the balls, with a box around the first."""
    widget = open_widget(stack, bright)
    draw(widget.session, FIRST)
    yield widget
    widget.disconnect_viewer()


@pytest.fixture
def training() -> Iterator[FakeTraining]:
    training = FakeTraining()
    yield training
    training.progress.put(None)


def segment(widget: SamWidget, qtbot: Any) -> None:
    press(widget.panel.segment_slice)
    qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=LONG)


def enabled(widget: SamWidget) -> set[str]:
    return {name for name, button in widget.panel.buttons.items() if button.enabled}


def test_buttons_that_need_the_worker_give_the_reason(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    segment(widget, qtbot)
    press(widget.panel.accept)
    widget.session.cleanup = CleanUp(fill_holes=True)
    draw(widget.session, SECOND)
    segment(widget, qtbot)
    before = enabled(widget)
    training.start(widget)
    need_worker = {
        *("download", "segment_slice", "segment_stack", "segment_everything"),
        *("clean_label", "measure", "split_label", "merge_labels"),
        *("delete_label", "rename_label", "relabel"),
    }
    assert enabled(widget) == before - need_worker | {"cancel"}
    assert {"new_prompts", "accept", "discard", "refine"} <= enabled(widget)
    for name in need_worker:
        assert widget.panel.buttons[name].tooltip == TRAINING


def test_other_jobs_do_not_cancel_a_training(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    training.start(widget)
    with pytest.raises(ValueError, match="A model is training"):
        widget.connected._runner.compute("Measuring", lambda: 1, lambda _: None)
    with pytest.raises(ValueError, match="A model is training"):
        widget.connected._runner.run(widget.session.build_plane_request())
    training.end(qtbot)
    assert training.results == ["best model"]


def test_accept_writes_at_once(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    segment(widget, qtbot)
    training.start(widget)
    press(widget.panel.accept)
    assert set(np.unique(written(widget.session))) == {0, 1}
    press(widget.panel.previous)
    assert widget.session.history.replacement is not None
    press(widget.panel.discard)
    assert widget.session.history.replacement is None
    assert widget.connected._runner.training


def test_discard_works(widget: SamWidget, training: FakeTraining, qtbot: Any) -> None:
    segment(widget, qtbot)
    training.start(widget)
    press(widget.panel.discard)
    assert widget.session.result is None
    assert not widget.panel.accept.enabled
    assert widget.connected._runner.training


def test_changed_clean_up_waits_for_the_end_of_training(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    segment(widget, qtbot)
    training.start(widget)
    widget.session.cleanup = CleanUp(min_size=10_000)
    widget.session.changed.emit()
    assert widget.session.result.pieces
    training.end(qtbot)
    qtbot.waitUntil(lambda: not widget.session.result.pieces, timeout=LONG)


def test_accept_applies_the_changed_clean_up(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    notification_manager.records.clear()
    segment(widget, qtbot)
    training.start(widget)
    widget.session.cleanup = CleanUp(min_size=10_000)
    press(widget.panel.accept)
    assert "The mask is empty" in notification_manager.records[-1].message
    assert widget.session.labels_layer is None


def test_prompts_drawn_while_training_are_segmented_afterwards(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    training.start(widget)
    widget.panel.live.value = True
    widget.session.shapes_layer.data = [corners(SECOND, 4)]
    qtbot.wait(QUIET)
    assert widget.session.result is None
    assert widget.connected._runner.training
    training.end(qtbot)
    qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)


def test_new_prompts_and_clean_up_are_both_applied_afterwards(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    segment(widget, qtbot)
    training.start(widget)
    widget.panel.live.value = True
    widget.session.cleanup = CleanUp(fill_holes=True)
    widget.session.shapes_layer.data = [corners(SECOND, 4)]
    training.end(qtbot)
    qtbot.waitUntil(lambda: not widget.connected._runner.busy, timeout=LONG)
    request = widget.session.pending.request.request
    assert request.cleanup == CleanUp(fill_holes=True)
    assert [p.box[0] for p in request.prompts.values()] == [SECOND[0]]


def test_progress_is_that_of_the_whole_training(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    status, bar = widget.panel.status, widget.panel.progress
    training.start(widget)
    training.progress.put(TrainingProgress("train", 3, 9000, 480.0, fraction=0.4))
    qtbot.waitUntil(lambda: status.value.startswith("Training"), timeout=LONG)
    assert status.value == "Training, about 8 min left ..."
    assert bar.value / bar.max == 0.4
    training.progress.put(TrainingProgress("validate", 0, 5, fraction=0.4))
    qtbot.waitUntil(lambda: status.value.startswith("Validating"), timeout=LONG)
    assert "left" not in status.value
    assert bar.value / bar.max == 0.4


def test_first_cancel_keeps_the_best_model(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    training.start(widget)
    training.progress.put(TrainingProgress("train", 3, 9000, 480.0, fraction=0.4))
    training.progress.put(TrainingProgress("validate", 0, 5, fraction=0.4))
    status = widget.panel.status
    qtbot.waitUntil(lambda: status.value.startswith("Validating"), timeout=LONG)
    press(widget.panel.cancel)
    assert status.value == "Stopping after this step ..."
    training.progress.put(TrainingProgress("validate", 1, 5, fraction=0.4))
    qtbot.waitUntil(training.ended.is_set, timeout=LONG)
    assert training.results == ["best model"]


def test_stop_of_the_training_panel_is_shown(
    widget: SamWidget,
    training: FakeTraining,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[str] = []
    monkeypatch.setattr(
        widget.connected._runner, "_on_progress", lambda text, *_: texts.append(text)
    )
    training.start(widget)
    training.stop.set()
    training.progress.put(TrainingProgress("train", 3, 9000, 480.0, fraction=0.4))
    qtbot.waitUntil(training.ended.is_set, timeout=LONG)
    assert texts[-1] == "Stopping after this step ..."
    assert training.results == ["best model"]


def test_second_cancel_ends_training_without_a_result(
    widget: SamWidget, training: FakeTraining, qtbot: Any
) -> None:
    training.start(widget)
    training.progress.put(TrainingProgress("train", 3, 9000, 480.0, fraction=0.4))
    status = widget.panel.status
    qtbot.waitUntil(lambda: status.value.startswith("Training"), timeout=LONG)
    press(widget.panel.cancel)
    assert widget.connected._runner.training
    press(widget.panel.cancel)
    assert training.ended.is_set()
    assert not widget.connected._runner.busy
    assert training.results == []


@pytest.mark.parametrize("job", ["stack", "training"])
def test_first_cancel_of_a_download_ends_the_job(
    widget: SamWidget,
    training: FakeTraining,
    bright: BrightPredictor,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
) -> None:
    go = threading.Event()

    def load(model: Any, *, progress: Any, **_: Any) -> BrightPredictor:
        progress(50_000_000, 100_000_000)
        go.wait(LONG / 1000)
        return bright

    monkeypatch.setattr("napari_sam.prediction.loading.load_model", load)
    widget.panel.model.value = "mobile_sam"
    if job == "stack":
        press(widget.panel.segment_stack)
    else:
        training.start(widget)
    qtbot.waitUntil(lambda: widget.panel.progress.value > 0, timeout=LONG)
    press(widget.panel.cancel)
    assert not widget.connected._runner.busy
    assert not widget.panel.cancel.enabled
    go.set()
    qtbot.wait(QUIET)
    assert widget.session.result is None
    assert training.results == []


@pytest.mark.parametrize("closed", ["panel", "widget", "viewer"])
def test_closing_while_training(
    make_napari_viewer: Any,
    bright: BrightPredictor,
    stack: np.ndarray,
    training: FakeTraining,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    closed: str,
) -> None:
    notification_manager.records.clear()
    viewer = make_napari_viewer()
    image = viewer.add_image(stack)
    labels = viewer.add_labels((stack > 100).astype(int))
    widget = SamWidget(viewer)
    widget.session.model = bright
    dock = viewer.window.add_dock_widget(widget)
    monkeypatch.setattr(
        widget.session, "build_training_request", lambda *_: training, raising=False
    )
    panel = widget.training_dock.open()
    panel.image.select(image)
    panel.labels_layer.select(labels)
    press(panel.train)
    assert widget.connected._runner.training
    with qtbot.capture_exceptions() as exceptions:
        if closed == "viewer":
            viewer.close()
        elif closed == "widget":
            viewer.window.remove_dock_widget(dock)
            widget.native.deleteLater()
        else:
            viewer.window.remove_dock_widget(panel.native)
            panel.native.deleteLater()
        qtbot.waitUntil(lambda: not widget.connected._runner.training, timeout=LONG)
        training.progress.put(None)
        qtbot.wait(QUIET)
    assert not exceptions
    assert not notification_manager.records
