"""The training panel counts objects, trains, stops and hands the model over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.plugin.background.request_runner import RequestRunner
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.training.panel import TrainingPanel
from napari_sam.training.request import (
    BeforeAfterComparison,
    TrainingRequest,
    TrainingResult,
)
from tests.helpers.instances import InstancePredictor
from tests.helpers.sessions import press
from tests.helpers.training import QUICK, discs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.prediction.predictor import Predictor

# Learns something in a second.
LEARNS = replace(
    QUICK,
    steps=40,
    learning_rate=1e-2,
    augmentations=1,
    prompts=("box",),
    corrections=0,
    validate_every=20,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: LEARNS
    )
    yield


@pytest.fixture
def viewer() -> ViewerModel:
    """A stack of four planes with two labelled discs each."""
    images = discs()
    viewer = ViewerModel()
    viewer.add_image(np.stack([image.plane for image in images]), name="discs")
    labels = np.stack([image.labels for image in images])
    labels[labels > 0] += 2 * np.nonzero(labels)[0]
    viewer.add_labels(labels, name="my discs")
    return viewer


@pytest.fixture
def session(viewer: ViewerModel, tiny_sam: Predictor) -> SamSession:
    return SamSession(viewer, tiny_sam)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr("napari_sam.plugin.notifications.show_error", messages.append)
    return messages


@pytest.fixture
def runner(session: SamSession, errors: list[str], qtbot: Any) -> Iterator[Any]:
    parent = QObject()
    made = RequestRunner(
        session,
        parent,
        on_progress=lambda *_: None,
        on_refused=errors.append,
        on_error=lambda error: errors.append(str(error)),
        on_end=lambda: None,
    )
    yield made
    made.close()


@pytest.fixture
def panel(
    viewer: ViewerModel, session: SamSession, runner: RequestRunner
) -> Iterator[TrainingPanel]:
    made = TrainingPanel(viewer, session, runner)
    made.image.select(viewer.layers["discs"])
    made.labels_layer.select(viewer.layers["my discs"])
    yield made
    made.close_panel()
    made.native.close()


def idle(panel: TrainingPanel, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not panel.stop.enabled, timeout=60_000)


def test_trained_model_can_be_used(
    panel: TrainingPanel, viewer: ViewerModel, session: SamSession, qtbot: Any
) -> None:
    before = [layer.data.copy() for layer in viewer.layers]
    press(panel.train)
    assert not panel.train.enabled
    idle(panel, qtbot)
    assert panel.status.value.startswith("Done, 40 steps.")
    assert len(panel.plot.losses) == 40
    assert panel.plot.scores[0][0] == 0
    press(panel.use)
    assert session.model_choice.family == "sam"
    card = ModelCard.read(Path(session.model))
    assert card is not None
    assert "box" in card.prompts
    assert panel.status.tooltip == session.model
    assert panel.model.value == session.model_choice.name
    assert "to segment with" in panel.status.value
    for layer, data in zip(viewer.layers, before, strict=True):
        np.testing.assert_array_equal(layer.data, data)


def test_comparison_shows_masks_before_and_after(
    panel: TrainingPanel, qtbot: Any
) -> None:
    assert panel.comparison.isHidden()
    press(panel.train)
    idle(panel, qtbot)
    assert not panel.comparison.isHidden()
    before, after = panel.comparison.titles
    assert before.startswith("Before, one click: 0.")
    assert after.startswith("After: 0.")
    panel.native.resize(400, 900)
    panel.native.show()
    picture = panel.comparison.grab().toImage()
    colours = (
        picture.pixelColor(x, y).getRgb()[:3]
        for x in range(picture.width())
        for y in range(picture.height())
    )
    # The yellow outline of the labels; planes are grey.
    assert any(min(red, green) > blue + 80 for red, green, blue in colours)


def test_status_warns_when_one_click_became_worse(
    panel: TrainingPanel, tmp_path: Path
) -> None:
    labels = np.ones((4, 4), int)
    comparison = BeforeAfterComparison(
        labels.astype(np.uint8), labels, labels, labels, np.ones((1, 2)), np.eye(1, 2)
    )
    trained = TrainingResult(
        tmp_path / "a.safetensors", 7, {"box": 0.5}, {"box": 0.6}, comparison
    )
    panel._show_result(trained, "sam")
    assert "box 0.50 before, 0.60 now. But one click is worse" in panel.status.value


def test_panel_tells_that_everything_learns(
    panel: TrainingPanel, session: SamSession
) -> None:
    assert "Everything" not in panel.status.value  # the model has no instance head
    session.use_model("lite_medsam")
    assert panel.status.value.endswith("Everything learns to find these objects, too.")


def test_status_tells_the_gain_of_everything(
    panel: TrainingPanel, tmp_path: Path
) -> None:
    scores = {"box": 0.5}
    trained = TrainingResult(
        tmp_path / "a.safetensors", 7, scores, scores, None, (0.25, 0.75)
    )
    panel._show_result(trained, "sam")
    assert "Everything, F1 of their objects: 0.25 before, 0.75 now" in (
        panel.status.value
    )


def test_stopping_keeps_the_best_model(
    panel: TrainingPanel, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = replace(LEARNS, steps=10**6, patience=10**6, validate_every=5)
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: endless
    )
    press(panel.train)
    qtbot.waitUntil(lambda: len(panel.plot.scores) > 3, timeout=60_000)
    press(panel.stop)
    idle(panel, qtbot)
    assert panel.status.value.startswith(("Done", "No improvement"))
    assert panel.train.enabled


def test_stopping_at_once_keeps_nothing(
    panel: TrainingPanel, qtbot: Any, tmp_path: Path
) -> None:
    press(panel.train)
    press(panel.stop)
    idle(panel, qtbot)
    assert "No improvement in 0 steps" in panel.status.value
    assert not panel.use.enabled
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_request_has_the_labels_of_the_moment(
    session: SamSession, viewer: ViewerModel
) -> None:
    request = session.build_training_request(viewer.layers["my discs"])
    viewer.layers["my discs"].data[:] = 0
    assert request.labels.any()


def test_objects_are_counted_while_painting(
    panel: TrainingPanel, viewer: ViewerModel, qtbot: Any
) -> None:
    assert panel.object_count.value.startswith("8 objects: enough for a first trial.")
    labels = viewer.layers["my discs"]
    labels.selected_label = 99
    labels.paint((0, 2, 2), 99)
    qtbot.waitUntil(lambda: panel.object_count.value.startswith("9 objects"))
    panel.labels_layer.select(None)
    assert "Choose the labels" in panel.object_count.value
    assert not panel.train.enabled


def test_labels_of_another_shape_are_refused(
    panel: TrainingPanel, viewer: ViewerModel, errors: list[str]
) -> None:
    other = viewer.add_labels(np.ones((5, 6), int), name="others")
    panel.labels_layer.select(other)
    press(panel.train)
    assert "shape (5, 6)" in errors[0]
    assert not panel.stop.enabled


def test_empty_labels_are_refused_in_one_sentence(
    panel: TrainingPanel, viewer: ViewerModel, errors: list[str], qtbot: Any
) -> None:
    viewer.layers["my discs"].data = np.zeros((4, 48, 64), int)
    press(panel.train)
    idle(panel, qtbot)
    assert len(errors) == 1
    assert "The labels of my discs are empty" in errors[0]
    assert panel.train.enabled


def test_closing_the_panel_cancels_training_without_a_result(
    panel: TrainingPanel,
    runner: RequestRunner,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    endless = replace(LEARNS, steps=10**6, patience=10**6, validate_every=5)
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: endless
    )
    press(panel.train)
    qtbot.waitUntil(lambda: len(panel.plot.scores) > 3, timeout=60_000)
    ends: list[None] = []
    runner.training_ended.connect(lambda: ends.append(None))
    panel.close_panel()
    assert not runner.busy
    assert len(ends) == 1
    panel.close_panel()  # as when napari closes
    done: list[int] = []
    runner.compute("Waiting for the thread", lambda: 1, done.append)
    qtbot.waitUntil(lambda: done == [1], timeout=60_000)
    assert list(tmp_path.rglob("*.safetensors")) == []
    assert panel.comparison.isHidden()


def test_training_waits_for_a_running_request(
    panel: TrainingPanel, runner: RequestRunner, errors: list[str], qtbot: Any
) -> None:
    go = Event()
    runner.compute("Measuring", lambda: go.wait(20), lambda _: None)
    press(panel.train)
    assert "Wait or press Cancel" in errors[0]
    assert not panel.stop.enabled
    go.set()
    qtbot.waitUntil(lambda: not runner.busy, timeout=20_000)


def test_training_occupies_the_worker_of_the_session(
    panel: TrainingPanel, runner: RequestRunner, session: SamSession, qtbot: Any
) -> None:
    press(panel.train)
    assert runner.training
    view = session.settings.view.of(session.image_layer)
    runner.prefetch(view, [((0, slice(None), slice(None)), None)])  # is left out
    assert runner.training
    runner.cancel()  # nothing is done yet: without a result
    assert not panel.stop.enabled
    assert panel.train.enabled
    assert panel.status.value == "Part of the image is held out for validation."


def test_script_trains_with_a_session(session: SamSession) -> None:
    session.labels_layer = session.viewer.layers["my discs"]
    steps = session.build_training_request(minutes=1).run(session.load(), lambda: False)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            session.use_model(stop.value.path, "sam")
            break
    assert session.load().prompts


def test_the_panel_asks_whether_all_objects_are_labelled(
    panel: TrainingPanel, session: SamSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainingRequest] = []
    monkeypatch.setattr(
        panel._runner, "train", lambda request, **_: asked.append(request)
    )
    assert panel.all_labelled.native.isHidden()  # the model has no instance head
    session.use_model(InstancePredictor())
    assert not panel.all_labelled.native.isHidden()
    for value in (False, True):
        panel.all_labelled.value = value
        panel._train()
        assert asked[-1].all_labelled is value


def test_dock_opens_beside_the_widget_which_shows_the_model(
    make_napari_viewer: Any, tiny_sam: Predictor, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((48, 64), np.uint8), name="cells")
    labels = viewer.add_labels(np.eye(48, 64, dtype=int), name="drawn")
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam")
    widget.session.model = tiny_sam
    widget.panel.labels_layer.select(labels)
    panel = widget.training_dock.open()
    assert panel.model.value == "tiny_sam"
    assert (panel.image.layer, panel.labels_layer.layer) == (image, labels)
    assert "1 object: too few" in panel.object_count.value
    assert widget.training_dock.open() is panel
    viewer.window.remove_dock_widget(panel.native)
    assert widget.training_dock.open() is panel
    assert panel.native.parent() is not None
    widget.session.use_model(tmp_path / "mine.safetensors", "lite_medsam")
    assert panel.model.value == "mine.safetensors"
    assert widget.session.model_choice.chosen == tmp_path / "mine.safetensors"
    assert widget.panel.model_file.value == tmp_path / "mine.safetensors"
    assert widget.panel.family.value == "lite_medsam"
    assert widget.session.model_choice.family == "lite_medsam"
    panel.close_panel()
    widget.disconnect_viewer()
