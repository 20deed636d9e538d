"""The training panel: counts, trains, stops with the best, and hands it over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.plugin.state.model_choice import ModelChoice
from napari_sam.plugin.training.panel import TrainingPanel
from napari_sam.training.request import BeforeAfterComparison, TrainingResult
from tests.helpers.sessions import press
from tests.helpers.training import QUICK, discs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def used() -> list[Any]:
    return []


@pytest.fixture
def panel(
    viewer: ViewerModel, tiny_sam: Predictor, used: list[Any], qtbot: Any
) -> Iterator[TrainingPanel]:
    made = TrainingPanel(
        viewer, ModelChoice(tiny_sam), lambda *asked: used.append(asked)
    )
    made.image.select(viewer.layers["discs"])
    made.labels_layer.select(viewer.layers["my discs"])
    yield made
    made.close_panel()


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    for module in ("training.panel", "notifications"):
        monkeypatch.setattr(f"napari_sam.plugin.{module}.show_error", said.append)
    return said


def idle(panel: TrainingPanel, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not panel.stop.enabled, timeout=60_000)


def test_it_trains_and_the_result_can_be_used(
    panel: TrainingPanel, viewer: ViewerModel, used: list[Any], qtbot: Any
) -> None:
    before = [layer.data.copy() for layer in viewer.layers]
    press(panel.train)
    assert not panel.train.enabled
    idle(panel, qtbot)
    assert panel.status.value.startswith("Done, 40 steps.")
    assert len(panel.curve.losses) == 40
    assert panel.curve.scores[0][0] == 0
    press(panel.use)
    ((path, family),) = used
    assert family == "sam"
    card = ModelCard.read(path)
    assert card is not None
    assert "box" in card.prompts
    assert panel.status.tooltip == str(path)
    assert "to segment with now" in panel.status.value
    for layer, data in zip(viewer.layers, before, strict=True):
        np.testing.assert_array_equal(layer.data, data)


def test_before_and_after_are_shown(panel: TrainingPanel, qtbot: Any) -> None:
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
    # The outline that was drawn by hand; planes are grey.
    assert any(min(red, green) > blue + 80 for red, green, blue in colours)


def test_a_result_that_answers_clicks_worse_says_so(
    panel: TrainingPanel, tmp_path: Path
) -> None:
    labels = np.ones((4, 4), int)
    found = BeforeAfterComparison(
        labels.astype(np.uint8), labels, labels, labels, np.ones((1, 2)), np.eye(1, 2)
    )
    trained = TrainingResult(
        tmp_path / "a.safetensors", 7, {"box": 0.5}, {"box": 0.6}, found
    )
    panel._take((trained, "sam"))
    assert "box 0.50 before, 0.60 now. But one click is worse" in panel.status.value


def test_stopped_it_keeps_the_best(
    panel: TrainingPanel, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = replace(LEARNS, steps=10**6, patience=10**6, validate_every=5)
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: endless
    )
    press(panel.train)
    qtbot.waitUntil(lambda: len(panel.curve.scores) > 3, timeout=60_000)
    press(panel.stop)
    idle(panel, qtbot)
    assert panel.status.value.startswith(("Done", "Nothing was gained"))
    assert panel.train.enabled


def test_stopped_at_once_nothing_is_kept(
    panel: TrainingPanel, qtbot: Any, tmp_path: Path
) -> None:
    press(panel.train)
    press(panel.stop)
    idle(panel, qtbot)
    assert "Nothing was gained in 0 steps" in panel.status.value
    assert not panel.use.enabled
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_the_labels_are_those_of_the_moment_it_began(
    panel: TrainingPanel, viewer: ViewerModel
) -> None:
    request = panel._request()
    viewer.layers["my discs"].data[:] = 0
    assert request.labels.any()


def test_objects_are_counted_as_they_are_painted(
    panel: TrainingPanel, viewer: ViewerModel, qtbot: Any
) -> None:
    assert panel.enough.value.startswith("8 objects: enough for a first trial.")
    labels = viewer.layers["my discs"]
    labels.selected_label = 99
    labels.paint((0, 2, 2), 99)
    qtbot.waitUntil(lambda: panel.enough.value.startswith("9 objects"))
    panel.labels_layer.select(None)
    assert "Choose the labels" in panel.enough.value
    assert not panel.train.enabled


def test_labels_of_another_image_are_refused(
    panel: TrainingPanel, viewer: ViewerModel, errors: list[str]
) -> None:
    other = viewer.add_labels(np.ones((5, 6), int), name="others")
    panel.labels_layer.select(other)
    press(panel.train)
    assert "shape (5, 6)" in errors[0]
    assert not panel.stop.enabled


def test_what_cannot_be_learned_from_is_one_sentence(
    panel: TrainingPanel, viewer: ViewerModel, errors: list[str], qtbot: Any
) -> None:
    viewer.layers["my discs"].data = np.zeros((4, 48, 64), int)
    press(panel.train)
    idle(panel, qtbot)
    assert len(errors) == 1
    assert "The labels of my discs are empty" in errors[0]
    assert panel.train.enabled


def test_closed_while_it_trains_it_stops(panel: TrainingPanel, qtbot: Any) -> None:
    press(panel.train)
    panel.close_panel()
    assert not panel._worker.busy
    panel.close_panel()  # as when napari closes


def test_it_opens_beside_the_widget_and_hands_it_the_result(
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
    assert "1 object: too few" in panel.enough.value
    assert widget.training_dock.open() is panel
    viewer.window.remove_dock_widget(panel.native)
    assert widget.training_dock.open() is panel
    assert panel.native.parent() is not None
    panel._use(tmp_path / "mine.safetensors", "lite_medsam")
    assert widget.session.model_choice.chosen == tmp_path / "mine.safetensors"
    assert widget.panel.model_file.value == tmp_path / "mine.safetensors"
    assert widget.panel.family.value == "lite_medsam"
    assert widget.session.model_choice.family == "lite_medsam"
    panel.close_panel()
    widget.disconnect_viewer()
