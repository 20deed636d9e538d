"""Segmentation by mouse and keys on the real canvas gives the labels of a script."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

import napari_sam as ns
from napari_sam import samples
from napari_sam.plugin.panels.key_bindings import ACCEPT, POLARITY, PREVIOUS
from napari_sam.plugin.widget import SamWidget
from napari_sam.prompts.serialization import prompt_from_json
from napari_sam.records.record import group_by_commit
from tests.helpers.sessions import press

OBJECTS = 6
UNDONE, REFINED = 2, 4
LONG = 60_000
# vispy drops mouse moves that follow each other faster.
BETWEEN_MOVES_MS = 20
WINDOW = 1200, 800
SETTLING_MS = 500
CALIBRATION = 50, 250  # pixels of the canvas


class CanvasUser:
    """Send mouse and key events of Qt to the canvas of a viewer."""

    def __init__(self, viewer: Any, window: Any) -> None:
        self._viewer = viewer
        (self._canvas,) = window.findChildren(QOpenGLWidget)

    def drag(self, start: np.ndarray, end: np.ndarray) -> None:
        place = self._calibrate()
        self._mouse(QEvent.Type.MouseMove, place(start), pressed=False)
        self._mouse(QEvent.Type.MouseButtonPress, place(start))
        for fraction in (0.3, 0.7, 1):
            self._mouse(QEvent.Type.MouseMove, place(start + fraction * (end - start)))
        self._mouse(QEvent.Type.MouseButtonRelease, place(end), pressed=False)

    def click(self, plane_index: np.ndarray) -> None:
        self.drag(plane_index, plane_index)

    def key(self, key: str, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self._canvas, getattr(Qt.Key, f"Key_{key}"), modifier)

    def _mouse(self, kind: Any, place: QPointF, pressed: bool = True) -> None:
        moved = kind == QEvent.Type.MouseMove
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            kind,
            place,
            QPointF(self._canvas.mapToGlobal(place.toPoint())),
            none if moved else left,
            left if pressed else none,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self._canvas, event)
        QTest.qWait(BETWEEN_MOVES_MS)

    def _calibrate(self) -> Callable[[np.ndarray], QPointF]:
        """Calibrate the map from image to canvas positions, by moving the mouse."""
        positions = []
        for x in CALIBRATION:
            self._mouse(QEvent.Type.MouseMove, QPointF(x, x), pressed=False)
            positions.append(self._viewer.cursor.position[-2:])
        first, second = np.array(positions)
        zoom = (CALIBRATION[1] - CALIBRATION[0]) / (second - first)

        def place(plane_index: np.ndarray) -> QPointF:
            row, col = CALIBRATION[0] + (plane_index - first) * zoom
            return QPointF(col, row)

        return place


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sam", "coins")
    return viewer


@pytest.fixture
def widget(viewer: Any, default_predictor: Any) -> Iterator[SamWidget]:
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam")
    widget.session.model = default_predictor
    press(widget.panel.new_prompts)
    viewer.window.resize(*WINDOW)
    QTest.qWait(SETTLING_MS)
    viewer.reset_view()
    QTest.qWait(SETTLING_MS)
    yield widget
    widget.disconnect_viewer()


@pytest.fixture
def user(viewer: Any, widget: SamWidget) -> CanvasUser:
    return CanvasUser(viewer, widget.native.window())


@pytest.fixture
def wait_for_mask(widget: SamWidget, qtbot: Any) -> Callable[[Any], Any]:
    """Wait until a new mask is on the canvas."""

    def wait(before: Any = None) -> Any:
        session = widget.session

        def is_new() -> bool:
            new = session.result is not None and session.result is not before
            return new and not widget.panel.cancel.enabled

        qtbot.waitUntil(is_new, timeout=LONG)
        preview = widget.preview_layer.layer
        assert preview is not None
        assert preview.visible
        assert preview.data.any()
        return session.result

    return wait


def counts(widget: SamWidget) -> list[int]:
    """Count the pixels of each label."""
    labels = widget.session.labels_layer
    return [] if labels is None else np.bincount(labels.data.ravel()).tolist()[1:]


def corners_of(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of a box slightly larger than the coin."""
    return box[:2] - 1.3, box[2:] + 1.6


def scripted(entries: list[Any], image: Any, predictor: Any) -> np.ndarray:
    """Make labels from the recorded prompts with the public API."""
    limits = tuple(image.contrast_limits)
    prompts = [prompt_from_json(e["prompts"][""]) for e in entries]
    plain = [number for number, p in enumerate(prompts) if p.points is None]
    boxes = np.array([prompts[number].box for number in plain])
    options = {"model": predictor, "contrast_limits": limits}
    together = ns.segment(image.data, boxes=boxes, **options)
    masks = {number: together == i + 1 for i, number in enumerate(plain)}
    for number in set(range(len(prompts))) - set(plain):
        p = prompts[number]
        masks[number] = ns.segment(image.data, p.points, p.labels, p.box, **options) > 0
    labels = np.zeros(image.data.shape, np.int32)
    for number, entry in enumerate(entries):
        labels[masks[number] & (labels == 0)] = entry["label"]
    return labels


@pytest.mark.weights
@pytest.mark.canvas
def test_coins_by_mouse_and_keys_equal_the_script(
    viewer: Any,
    widget: SamWidget,
    user: CanvasUser,
    wait_for_mask: Any,
    default_predictor: Any,
) -> None:
    session = widget.session
    points, shapes = viewer.layers["SAM points"], viewer.layers["SAM boxes"]
    boxes = samples.coin_boxes()[:OBJECTS]
    for number, box in enumerate(boxes, start=1):
        assert viewer.layers.selection.active is shapes
        user.drag(*corners_of(box))
        (drawn,) = shapes.data
        np.testing.assert_allclose(drawn.min(axis=0), corners_of(box)[0], atol=2)
        np.testing.assert_allclose(drawn.max(axis=0), corners_of(box)[1], atol=2)
        result = wait_for_mask()
        if number == REFINED:
            viewer.layers.selection.active = points
            user.key(POLARITY)
            user.click(box[:2] + 0.25 * (box[2:] - box[:2]))
            assert list(points.features["polarity"]) == ["negative"]
            wait_for_mask(before=result)
            user.key(POLARITY)
            viewer.layers.selection.active = shapes
        user.key(ACCEPT)
        assert len(counts(widget)) == number
        assert len(shapes.data) == len(points.data) == 0
        assert not widget.preview_layer.is_shown
        if number == UNDONE:
            labels = viewer.layers["SAM labels"]
            before = labels.data.copy()
            viewer.layers.selection.active = labels
            user.key("Z", Qt.KeyboardModifier.ControlModifier)
            assert len(counts(widget)) == number - 1
            user.key(PREVIOUS)
            wait_for_mask()
            user.key(ACCEPT)
            np.testing.assert_array_equal(labels.data, before)
            viewer.layers.selection.active = shapes

    assert len(counts(widget)) == OBJECTS
    assert min(counts(widget)) > samples.COIN_MIN_PIXELS
    entries = [entry for (entry,) in group_by_commit(session.record())]
    assert [entry["label"] for entry in entries] == list(range(1, OBJECTS + 1))
    refined = prompt_from_json(entries[REFINED - 1]["prompts"][""])
    assert refined.box is not None
    assert refined.labels.tolist() == [0]
    expected = scripted(entries, viewer.layers["coins"], default_predictor)
    np.testing.assert_array_equal(labels.data, expected)
