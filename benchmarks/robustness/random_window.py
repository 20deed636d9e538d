"""Random mouse, keys and controls in the real viewer: only sentences, no lost work.

Everything that a hand can do is done at random: drags and clicks on the canvas, keys,
buttons and fields of the panel, layers that come, change and go, panels that are closed
and opened. Faults are errors that are no sentence, images and labels that changed
without being asked, and threads that stay. Where a software renderer of OpenGL ends the
process, which it does without the plugin as well, the next sequence starts a new one.
Needs no weights, but a display:

xvfb-run -a -s "-screen 0 1366x768x24" python -m benchmarks.robustness.random_window
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import traceback
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QWidget,
)
from tests.helpers.models import BrightPredictor
from tests.helpers.random_user import is_sentence

from benchmarks.robustness.series_window import rest
from napari_sam.plugin.widget import SamWidget

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE, DONE = "benchmarks.robustness.random_window", "done with seed"
SIDE, DEPTH = 120, 7
MODIFIERS = [Qt.KeyboardModifier[f"{name}Modifier"] for name in ("No", "Alt", "Shift")]
KEYS = [
    *("W", "N", "X", "P", "A", "D", "Q", "S", "Return", "Backspace", "Delete"),
    *("Left", "Right", "Escape", "1", "2", "3", "4", "5", "6", "BracketLeft"),
]
# Their choices download weights.
MODEL_NAMES = ("medsam", "vit")


class Faults:
    """Errors that are no sentence, from anywhere in the program."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.sentences: Counter[str] = Counter()
        notification_manager.notification_ready.connect(self._on_notification)
        sys.excepthook = self._on_error
        threading.excepthook = lambda args: self._on_error(
            args.exc_type, args.exc_value, args.exc_traceback
        )

    def _on_notification(self, notification: Any) -> None:
        error = getattr(notification, "exception", None)
        if error is not None:
            self._on_error(type(error), error, error.__traceback__)
        elif not is_sentence(str(notification.message)):
            self.found.append(f"no sentence: {notification.message}")
        else:
            self.sentences[str(notification.message)[:60]] += 1

    def _on_error(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ValueError) and is_sentence(str(error)):
            self.sentences[str(error)[:60]] += 1
            return
        lines = traceback.format_exception(kind, error, trace)
        self.found.append("".join(lines[-5:]))


class RandomHands:
    """Random hands on a viewer with a panel.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer, without layers.
    seed : int
        Of all choices.
    faults : Faults
        Gets what goes wrong.
    """

    def __init__(self, viewer: Any, seed: int, faults: Faults) -> None:
        self.rng, self.faults = np.random.default_rng(seed), faults
        self.viewer = viewer
        self.done: list[str] = []
        self.docks: list[Any] = []
        self.images: dict[Any, np.ndarray] = {}
        self.closer = QTimer()
        self.closer.timeout.connect(self._close_dialogs)
        self.closer.start(40)
        self.do_add_image()
        self.do_open_panel()

    def act(self) -> None:
        """Do something, and check that the user's images are as they were."""
        names = sorted(name for name in dir(self) if name.startswith("do_"))
        weights = np.array([5.0 if "panel" not in name else 1.0 for name in names])
        name = str(self.rng.choice(names, p=weights / weights.sum()))
        self.done.append(name)
        try:
            getattr(self, name)()
        except ValueError as error:
            if not is_sentence(str(error)):
                raise
        rest(float(self.rng.choice([0, 0, 0.02, 0.12])))
        for layer, data in list(self.images.items()):
            if layer not in self.viewer.layers:
                del self.images[layer]
            elif not np.array_equal(layer.data, data):
                self.faults.found.append(f"the image {layer.name!r} was changed")
                self.images[layer] = np.array(layer.data)

    def finish(self) -> None:
        """Close all panels and layers; nothing of the plugin may go on working."""
        while self.docks:
            dock, widget = self.docks.pop()
            with suppress(RuntimeError):
                dock.destroyOnClose()
            del widget
        self.viewer.layers.clear()
        rest(0.3)
        self.closer.stop()
        left = [t.name for t in threading.enumerate() if "napari-sam" in t.name]
        if left:
            self.faults.found.append(f"threads are left: {left}")

    # -- canvas --------------------------------------------------------------------

    def do_drag(self) -> None:
        start, end = self._place(), self._place()
        self._drag(start, end)

    def do_click(self) -> None:
        place = self._place()
        self._drag(place, place)

    def do_key(self) -> None:
        key = getattr(Qt.Key, f"Key_{self.rng.choice(KEYS)}")
        QTest.keyClick(self._canvas, key)

    def do_undo_or_redo(self) -> None:
        control = Qt.KeyboardModifier.ControlModifier
        if self.rng.random() < 0.3:
            control |= Qt.KeyboardModifier.ShiftModifier
        QTest.keyClick(self._canvas, Qt.Key.Key_Z, control)

    # -- panel ---------------------------------------------------------------------

    def do_press_button(self) -> None:
        self._one_of(QAbstractButton, lambda button: button.click())

    def do_type_number(self) -> None:
        self._one_of(
            QAbstractSpinBox, lambda box: box.stepBy(int(self.rng.integers(-3, 4)))
        )

    def do_choose(self) -> None:
        def choose(box: QComboBox) -> None:
            texts = " ".join(box.itemText(i) for i in range(box.count())).lower()
            if box.count() and not any(name in texts for name in MODEL_NAMES):
                box.setCurrentIndex(int(self.rng.integers(box.count())))

        self._one_of(QComboBox, choose)

    def do_open_panel(self) -> None:
        if len(self.docks) < 2:
            widget = SamWidget(self.viewer)
            widget.session.model = BrightPredictor()
            dock = self.viewer.window.add_dock_widget(widget, name="Segment Anything")
            self.docks.append((dock, widget))

    def do_close_panel(self) -> None:
        if self.docks and self.rng.random() < 0.5:
            dock, _ = self.docks.pop(int(self.rng.integers(len(self.docks))))
            with suppress(RuntimeError):  # closed by its own button
                dock.destroyOnClose()

    # -- layers --------------------------------------------------------------------

    def do_add_image(self) -> None:
        if len(self.viewer.layers) > 9:
            return
        kind = self.rng.choice(["uint8", "uint16", "float32", "int16"])
        shape = ((SIDE, SIDE), (DEPTH, SIDE, SIDE))[int(self.rng.integers(2))]
        data = np.full(shape, 20, kind)
        for _ in range(5):
            row, col = self.rng.integers(5, SIDE - 25, 2)
            data[..., row : row + 20, col : col + 18] = 110
        scale = self.rng.choice([1.0, 1.0, 0.3], len(shape))
        layer = self.viewer.add_image(data, scale=scale)
        self.images[layer] = data.copy()

    def do_add_labels(self) -> None:
        if len(self.viewer.layers) < 10:
            shape = ((SIDE, SIDE), (DEPTH, SIDE, SIDE))[int(self.rng.integers(2))]
            self.viewer.add_labels(np.zeros(shape, self.rng.choice(["uint8", "int32"])))

    def do_remove_layer(self) -> None:
        if len(self.viewer.layers) > 1 and self.rng.random() < 0.4:
            self.viewer.layers.remove(self._layer())

    def do_change_layer(self) -> None:
        layer, what = self._layer(), int(self.rng.integers(6))
        if what == 0:
            layer.visible = not layer.visible
        elif what == 1:
            layer.name = f"layer {self.rng.integers(99)}"
        elif what == 2:
            layer.editable = bool(self.rng.random() < 0.8)
        elif what == 3 and isinstance(layer, Image):
            layer.data = np.array(layer.data)[..., ::-1, :]
            self.images[layer] = np.array(layer.data)
        elif what == 4 and isinstance(layer, Labels):
            layer.data = np.array(layer.data)
        else:
            layer.translate = self.rng.integers(0, 3, layer.ndim)

    def do_select_layer(self) -> None:
        self.viewer.layers.selection.active = self._layer()

    def do_view(self) -> None:
        # Not in 3D: software renderers of OpenGL fail on volumes.
        if self.rng.random() < 0.2:
            self.viewer.dims.roll()
        else:
            self.viewer.dims.set_current_step(0, int(self.rng.integers(DEPTH)))
            self.viewer.reset_view()

    # -- how -----------------------------------------------------------------------

    @property
    def _canvas(self) -> QWidget:
        window = self.viewer.window._qt_window  # as no public way leads to it
        return window.findChildren(QOpenGLWidget)[0]

    def _layer(self) -> Any:
        return self.viewer.layers[int(self.rng.integers(len(self.viewer.layers)))]

    def _place(self) -> QPoint:
        size = self._canvas.size()
        row, col = self.rng.random(2)
        return QPoint(int(col * size.width()), int(row * size.height()))

    def _drag(self, start: QPoint, end: QPoint) -> None:
        left, canvas = Qt.MouseButton.LeftButton, self._canvas
        modifier = MODIFIERS[int(self.rng.choice(3, p=[0.7, 0.15, 0.15]))]
        QTest.mouseMove(canvas, start)
        QTest.mousePress(canvas, left, modifier, start)
        QTest.mouseMove(canvas, end)
        rest(0.005)
        QTest.mouseRelease(canvas, left, modifier, end)

    def _one_of(self, kind: Any, action: Callable[[Any], None]) -> None:
        """Act on a control of a panel that can be seen and used."""
        if not self.docks:
            return
        entry = self.docks[int(self.rng.integers(len(self.docks)))]
        try:
            children = entry[0].findChildren(kind)
        except RuntimeError:  # Qt deleted it: closed by its own button
            self.docks.remove(entry)
            return
        found = [c for c in children if c.isVisible() and c.isEnabled()]
        if found:
            control = found[int(self.rng.integers(len(found)))]
            self.done[-1] += f" {getattr(control, 'text', str)()}"
            action(control)

    def _close_dialogs(self) -> None:
        for dialog in (
            QApplication.activeModalWidget(),
            QApplication.activePopupWidget(),
        ):
            if dialog is not None:
                dialog.close()


def run_here(seeds: range, actions: int) -> bool:
    """Run sequences in this process; tell whether all went well."""
    faults = Faults()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 720)
    for seed in seeds:
        before = len(faults.found)
        hands = RandomHands(viewer, seed, faults)
        try:
            for _ in range(actions):
                hands.act()
        except Exception:  # noqa: BLE001 - each is a fault
            faults.found.append(traceback.format_exc(limit=-5))
        hands.finish()
        if len(faults.found) > before:
            print(f"seed {seed}: {', '.join(hands.done)}")
            print("\n".join(faults.found[before:]), flush=True)
        print(f"{DONE} {seed}", flush=True)
    print(f"sentences: {dict(faults.sentences)}", flush=True)
    viewer.close()
    return not faults.found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=50)
    parser.add_argument("--actions", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    seed, last = options.first, options.first + options.sequences
    if options.here:
        return 0 if run_here(range(seed, last), options.actions) else 1
    done, failed, renderer = 0, 0, 0
    while seed < last:
        command = [sys.executable, "-X", "faulthandler", "-W", "ignore", "-m", MODULE]
        command += ["--here", "--first", str(seed), "--sequences", str(last - seed)]
        command += ["--actions", str(options.actions)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        print(ended.stdout, end="", flush=True)
        finished = ended.stdout.count(DONE)
        done, seed = done + finished, seed + finished
        if ended.returncode < 0 and "glDraw" in ended.stderr:
            renderer, seed = renderer + 1, seed + 1
        elif ended.returncode:
            failed += 1
            print(ended.stderr[-3000:])
            seed += not finished
    print(
        f"{done} sequences of {options.actions} actions to the end, {failed} runs with "
        f"faults; the renderer failed {renderer} times, as it does without the plugin"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
