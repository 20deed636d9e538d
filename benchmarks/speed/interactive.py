"""Waiting times in the real viewer, and how long its window does not respond.

Real viewer, real default weights. Run under a display, for instance:
xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.speed.interactive

Takes some minutes on two CPU cores; measure on an idle machine. A gesture ends when the
canvas has drawn the preview. Times are compared with those of the bare decoder or
encoder on the main thread, measured alternately in the same run.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import psutil
import torch
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget

import napari_sam as ns
from napari_sam import samples
from napari_sam.plugin.background.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_sam.plugin.widget import SamWidget

SEED = 2024
SIZE = (1440, 860)
MS = 1000.0
LONG = 60.0  # seconds after which something is wrong

GESTURES = 50
NEW_PLANES = 5
PLANES, ROUNDS = 8, 5
OBJECTS, ENDS = 500, 50
SIDE, RADIUS, STEP = 2000, 32, 80  # of the plane with discs, and of its grid

TICK_MS = 5
STALL_MS = 50.0

clock = time.perf_counter


def row(what: str, figure: str, aim: str = "") -> None:
    print(f"{what:<58}{figure:>26}   {aim}".rstrip(), flush=True)


def spread(seconds: list[float]) -> str:
    median, late = np.percentile(seconds, [50, 95]) * MS
    return f"{median:.0f} ms, {late:.0f} ms"


def corners(box: np.ndarray, *index: float) -> np.ndarray:
    r0, c0, r1, c1 = box
    return np.array(
        [(*index, r, c) for r, c in ((r0, c0), (r0, c1), (r1, c1), (r1, c0))]
    )


# ------------------------------------------------------------------ the window


def rest(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * MS), loop.quit)
    loop.exec()


class Desk:
    """Viewer with the widget, and the times at which it has drawn something.

    Parameters
    ----------
    predictor : Predictor or None
        The model; the default model, not yet loaded, when None.
    """

    def __init__(self, predictor: Any = None) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*SIZE)
        found = self.viewer.window.add_plugin_dock_widget("napari-sam")
        self.widget: SamWidget = found[1]
        self.session = self.widget.session
        if predictor is not None:
            self.session.model = predictor
        self._shown = self._painted = 0.0
        self._any_frame = False
        self._loop: QEventLoop | None = None
        # Connected after the widget, so that the preview layer is up to date.
        self.session.changed.connect(self._on_changed)
        (self.canvas,) = self.widget.native.window().findChildren(QOpenGLWidget)
        self.canvas.frameSwapped.connect(self._on_frame)

    def open(self, image: Any, **options: Any) -> None:
        """Show an image and press Start."""
        self.viewer.add_image(image, **options)
        self.viewer.dims.set_point(0, 0)
        rest(0.5)
        self.widget.panel.new_prompts.changed.emit(True)
        rest(0.5)

    def painted(
        self, gesture: Callable[[], Any], any_frame: bool = False
    ) -> tuple[float, float]:
        """Return when a gesture began, and when its mask (or anything) was drawn."""
        self._shown = self._painted = 0.0
        self._any_frame = any_frame
        self._loop = QEventLoop()
        started = clock()
        gesture()
        QTimer.singleShot(int(LONG * MS), self._loop.quit)
        self._loop.exec()
        self._loop = None
        if not self._painted:
            raise RuntimeError(f"no mask was shown: {self.widget.panel.status.value}")
        return started, self._painted

    def draw(self, box: np.ndarray, *index: float) -> tuple[float, float]:
        """Draw a box, and wait for its mask."""
        shape = corners(box, *index)
        return self.painted(lambda: self.session.shapes_layer.add_rectangles(shape))

    def click(self, at: np.ndarray, *index: float) -> tuple[float, float]:
        """Add a point, and wait for its mask."""
        points = self.session.points_layer
        return self.painted(lambda: points.add([[*index, *at]]))

    def press(self, button: Any) -> None:
        """Press a button of the widget."""
        button.changed.emit(True)

    def idle(self) -> None:
        """Wait until no work is left."""
        rest(0.1)
        while self.widget.panel.cancel.enabled:
            rest(0.05)

    def close(self) -> None:
        """Close the viewer and print its notifications."""
        self.viewer.close()
        gc.collect()
        rest(0.5)
        for notice in notification_manager.records:
            print(notice.severity, notice.message)
        notification_manager.records.clear()

    def _on_changed(self) -> None:
        if self.session.result is not None:
            self._shown = clock()

    def _on_frame(self) -> None:
        if (self._shown or self._any_frame) and not self._painted:
            self._painted = clock()
            if self._loop is not None:
                self._loop.quit()


class Decodes:
    """Times at which a predictor's `predict_batch` began and ended."""

    def __init__(self, predictor: Any) -> None:
        self.began = self.ended = 0.0
        inner = predictor.predict_batch

        def timed(*args: Any, **options: Any) -> Any:
            self.began = clock()
            found = inner(*args, **options)
            self.ended = clock()
            return found

        predictor.predict_batch = timed


# ------------------------------------------------------------------ (a), (b)


def bare(predictor: Any, embedding: Any, prompt: ns.Prompt) -> float:
    """Measure the decoder alone, up to a mask at the size of the plane."""
    started = clock()
    for prediction in predictor.predict_batch(embedding, [prompt]):
        _ = prediction.patch
    return clock() - started


def napari_alone(desk: Desk, boxes: np.ndarray) -> list[float]:
    """Measure how long napari takes to show a box without segmentation."""
    desk.widget.panel.live.value = False
    shapes, seconds = desk.session.shapes_layer, []
    for box in boxes:
        desk.idle()
        shape = corners(box)
        started, painted = desk.painted(lambda s=shape: shapes.add_rectangles(s), True)
        seconds.append(painted - started)
        shapes.selected_data = {0}
        shapes.remove_selected()
    desk.idle()
    desk.widget.panel.live.value = True
    return seconds


def gestures(predictor: Any) -> None:
    """Measure (a): from adding a prompt on an encoded plane to the drawn mask."""
    rng = np.random.default_rng(SEED)
    desk = Desk(predictor)
    image = samples.coins()
    desk.open(image, contrast_limits=(0, 255))
    embedding = predictor.embed(image, (0, 255), zoom="off")
    boxes, centres = samples.coin_boxes(), samples.coin_centres()
    desk.draw(boxes[0])  # encodes the plane
    desk.press(desk.widget.panel.discard)
    row(
        "(a) napari alone: a box drawn, no mask", spread(napari_alone(desk, boxes[:20]))
    )
    decodes = Decodes(predictor)
    for kind in ("box", "point"):
        waits, parts, alone = [], [], []
        for number in range(GESTURES):
            which = number % len(boxes)
            shift = rng.uniform(-2, 2, 4)
            if kind == "box":
                box = boxes[which] + shift
                prompt = ns.Prompt(box=box)
                alone.append(bare(predictor, embedding, prompt))
                desk.idle()
                started, painted = desk.draw(box)
            else:
                at = centres[which] + shift[:2]
                prompt = ns.Prompt(points=[at])
                alone.append(bare(predictor, embedding, prompt))
                desk.idle()
                started, painted = desk.click(at)
            waits.append(painted - started)
            before, after = decodes.began - started, painted - decodes.ended
            parts.append((before, decodes.ended - decodes.began, after))
            desk.press(desk.widget.panel.discard)
            desk.idle()
        ratio = np.median(waits) / np.median(alone)
        row(f"(a) {kind}: preview drawn, median and 95 %", spread(waits))
        row("    bare decoder, median and 95 %", spread(alone))
        row("    ratio of medians", f"{ratio:.2f}", "aim: 1.3")
        each = np.median(np.array(waits) / np.array(alone))
        row("    median of each gesture's ratio", f"{each:.2f}")
        text = " + ".join(f"{part * MS:.0f}" for part in np.median(parts, axis=0))
        row("    before + in + after the decoder, medians", f"{text} ms")
    del predictor.predict_batch
    desk.close()


def noisy_stack(count: int) -> np.ndarray:
    """Return copies of the coins with different noise, so that no plane is cached."""
    rng = np.random.default_rng(SEED)
    image = samples.coins().astype(float)
    noise = rng.normal(0, 4, (count, *image.shape))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def new_planes(predictor: Any) -> None:
    """Compare (b): the first mask of a plane with one encode and one decode."""
    desk = Desk(predictor)
    stack = noisy_stack(NEW_PLANES + 1)
    desk.open(stack, contrast_limits=(0, 255))
    box = samples.coin_boxes()[3]
    waits, alone = [], []
    for index in range(NEW_PLANES):
        started = clock()
        embedding = predictor.embed(stack[index], (0, 255), zoom="off")
        bare(predictor, embedding, ns.Prompt(box=box))
        alone.append(clock() - started)
        desk.idle()
        desk.viewer.dims.set_current_step(0, index)
        started, painted = desk.draw(box, index)
        waits.append(painted - started)
        desk.press(desk.widget.panel.discard)
    row("(b) first mask on a new plane, median and 95 %", spread(waits))
    row("    one encode + one decode, median and 95 %", spread(alone))
    ratio = np.median(waits) / np.median(alone)
    row("    ratio of medians", f"{ratio:.2f}", "aim: 1.2")
    desk.close()


# ------------------------------------------------------------------ (c)


class Stalls(QObject):
    """Measures how long the event loop does not run, and which code blocks it."""

    def __init__(self) -> None:
        super().__init__()
        self._gaps: list[float] = []
        self._where: Counter[str] = Counter()
        self._main = threading.get_ident()
        self._last = clock()
        self._watching = False
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def during(self, what: str, action: Callable[[], Any]) -> None:
        """Run an action and print its longest stall."""
        gc.collect()
        rest(0.3)
        self._gaps, self._where, self._last = [], Counter(), clock()
        self._watching = True
        watchdog = threading.Thread(target=self._watch, daemon=True)
        self._timer.start()
        watchdog.start()
        rest(0.1)
        action()
        rest(0.3)
        self._timer.stop()
        self._watching = False
        watchdog.join()
        longest = max(self._gaps) * MS
        count = sum(gap * MS > STALL_MS for gap in self._gaps)
        row(f"(c) {what}", f"{longest:.0f} ms, {count} over {STALL_MS:.0f}")
        for where, samples_taken in self._where.most_common(4):
            print(f"      {samples_taken:>4} x {where}", flush=True)

    def _tick(self) -> None:
        now = clock()
        self._gaps.append(now - self._last)
        self._last = now

    def _watch(self) -> None:
        while self._watching:
            time.sleep(TICK_MS / MS)
            if (clock() - self._last) * MS > STALL_MS:
                frames = sys._current_frames()
                where = _place(frames[self._main])
                for thread in threading.enumerate():
                    if thread.name == "napari-sam" and thread.ident in frames:
                        where += f" | worker: {_place(frames[thread.ident])}"
                self._where[where] += 1


def _place(frame: Any) -> str:
    """Return our deepest function, what it called, and its position."""
    stack = [f for f in traceback.extract_stack(frame) if f.filename != __file__]
    if not stack:
        return "the event loop itself"
    ours = [n for n, f in enumerate(stack) if "napari_sam" in Path(f.filename).parts]
    first = ours[-1] if ours else 0
    chosen = [stack[first], *stack[first + 1 : first + 2], stack[-1]]
    names = [f"{Path(f.filename).stem}.{f.name}:{f.lineno}" for f in chosen]
    owner = "" if ours else "not ours: "
    return owner + " > ".join(dict.fromkeys(names))


def stalls() -> None:
    """Measure (c): the longest stall of the event loop over all user actions."""
    meter = Stalls()
    volume, spacing = samples.head()
    prompt = samples.head_prompts()[1][14]

    desk = Desk()
    desk.open(noisy_stack(3), contrast_limits=(0, 255))
    widget, boxes = desk.widget, samples.coin_boxes()

    def by_hand(layers: int = 1) -> None:
        for _ in range(layers):
            shape = desk.viewer.layers[0].data.shape
            desk.viewer.add_labels(np.zeros(shape, np.int32))

    meter.during("at rest", lambda: rest(1))
    meter.during("napari alone: a labels layer added by hand", by_hand)
    meter.during("napari alone: a second one", by_hand)
    for _ in range(2):
        desk.viewer.layers.pop()

    def load() -> None:
        desk.press(widget.panel.download)
        desk.idle()

    meter.during("load of the model", load)
    assert desk.session.model_choice.loaded is not None
    meter.during("encode, decode, first preview", lambda: desk.draw(boxes[3], 0))
    meter.during(
        "first commit, makes the layer", lambda: desk.press(widget.panel.accept)
    )
    meter.during("decode of a box, preview", lambda: desk.draw(boxes[4], 0))
    meter.during("commit", lambda: desk.press(widget.panel.accept))
    centre = samples.coin_centres()[5]
    meter.during("click, preview", lambda: desk.click(centre, 0))
    meter.during("discard", lambda: desk.press(widget.panel.discard))

    def new_slice() -> None:
        desk.viewer.dims.set_current_step(0, 1)
        desk.draw(boxes[6], 1)

    meter.during("encode of another slice, decode", new_slice)
    desk.press(widget.panel.discard)
    predictor = desk.session.model_choice.loaded
    desk.close()

    desk = Desk(predictor)
    desk.open(volume, scale=spacing)
    widget = desk.widget
    desk.viewer.dims.set_current_step(0, 14)
    desk.draw(prompt.box, 14)

    def stack() -> None:
        desk.press(widget.panel.segment_stack)
        desk.idle()

    meter.during("napari alone: a labels layer of the head", by_hand)
    desk.viewer.layers.pop()
    meter.during("propagation through the head", stack)
    meter.during("commit of the stack", lambda: desk.press(widget.panel.accept))
    desk.close()


def opening() -> None:
    """Measure (f): the longest stall while the panel opens."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    viewer.add_image(samples.coins())
    rest(1)
    meter = Stalls()
    for what in ("panel opened, first time", "panel opened again"):
        found: list[Any] = []

        def open_panel(found: list[Any] = found) -> None:
            found += viewer.window.add_plugin_dock_widget("napari-sam")
            rest(LONG / 20)

        meter.during(what, open_panel)
        viewer.window.remove_dock_widget(found[0])
        rest(0.3)
    viewer.close()


# ------------------------------------------------------------------ (d)


def threads(predictor: Any) -> None:
    """Compare (d): the same inference on the worker thread and on the main thread."""
    planes = noisy_stack(PLANES)
    box = ns.Prompt(box=samples.coin_boxes()[3])
    worker = Worker()

    def steps(_: Any = None) -> Generator[int, None, None]:
        for number, plane in enumerate(planes):
            embedding = predictor.embed(plane, (0, 255), zoom="off")
            bare(predictor, embedding, box)
            yield number

    def on_worker() -> None:
        loop = QEventLoop()
        worker.submit(
            steps,
            on_progress=lambda _: None,
            on_result=lambda _: None,
            on_error=print,
            on_end=loop.quit,
        )
        loop.exec()

    seconds: dict[str, list[float]] = {"main": [], "worker": []}
    for _ in range(ROUNDS):
        for name, run in (("main", lambda: list(steps())), ("worker", on_worker)):
            started = clock()
            run()
            seconds[name].append(clock() - started)
    worker.close(LONG)
    main, other = (float(np.median(values)) for values in seconds.values())
    row(f"(d) {PLANES} planes on the main thread, median", f"{main:.2f} s")
    row("    the same on the worker thread, median", f"{other:.2f} s")
    row("    ratio", f"{other / main:.3f}", "aim: 1.1")


# ------------------------------------------------------------------ (e)


def discs() -> tuple[np.ndarray, np.ndarray]:
    """Return a plane of discs in a grid, and their boxes."""
    rng = np.random.default_rng(SEED)
    image = rng.normal(40, 3, (SIDE, SIDE))
    places = np.arange(STEP // 2, SIDE, STEP)
    centres = np.stack(np.meshgrid(places, places, indexing="ij"), -1).reshape(-1, 2)
    rows, cols = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disc = rows**2 + cols**2 <= RADIUS**2
    for r, c in centres:
        around = image[r - RADIUS : r + RADIUS + 1, c - RADIUS : c + RADIUS + 1]
        around[disc] += 150
    edge = np.array([-1, -1, 1, 1]) * (RADIUS + 2)
    boxes = np.concatenate([centres, centres], axis=1) + edge
    return np.clip(image, 0, 255).astype(np.uint8), boxes[:OBJECTS].astype(float)


def resident() -> float:
    """Return the resident memory of this process in megabytes."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def sitting(predictor: Any) -> None:
    """Commit (e): many objects on one plane, one after the other."""
    image, boxes = discs()
    desk = Desk(predictor)
    desk.open(image, contrast_limits=(0, 255))
    shown, accepted, memory = [], [], []
    for number, box in enumerate(boxes, start=1):
        started, painted = desk.draw(box)
        shown.append(painted - started)
        started = clock()
        empty = not desk.session.result.pieces
        desk.press(desk.widget.panel.discard if empty else desk.widget.panel.accept)
        accepted.append(clock() - started)
        if number in (ENDS, len(boxes) // 2, len(boxes)):
            memory.append(resident())
    found = int(desk.session.labels_layer.data.max())
    total = np.array(shown) + np.array(accepted)
    names = {"whole": total, "preview": np.array(shown), "accept": np.array(accepted)}
    row("(e) objects drawn and accepted", f"{found} of {len(boxes)}")
    for name, seconds in names.items():
        first, last = (
            np.median(part) * MS for part in (seconds[:ENDS], seconds[-ENDS:])
        )
        aim = "aim: no growth" if name == "whole" else ""
        title = f"    an object, first and last {ENDS}, {name}"
        row(title, f"{first:.0f} ms, {last:.0f} ms ({last / first:.2f})", aim)
    text = ", ".join(f"{value - memory[0]:+.0f}" for value in memory[1:])
    row(
        f"    memory, at half and at the end, above {ENDS} objects",
        f"{text} MB",
        "aim: flat",
    )
    desk.close()


PARTS = {
    "opening": "the longest stall while the panel opens (f)",
    "stalls": "the longest stall of the event loop (c)",
    "gestures": "from a prompt to its mask on an encoded plane (a)",
    "planes": "the first mask on a new plane (b)",
    "threads": "the worker against the main thread (d)",
    "sitting": "many objects on one plane (e)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", help=", ".join(PARTS) + "; default: all")
    parts = parser.parse_args().part or list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {unknown.pop()!r}: take {', '.join(PARTS)}")
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f}; Python "
        f"{platform.python_version()}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads, napari {napari.__version__}"
    )
    if "opening" in parts:
        opening()
    if "stalls" in parts:
        stalls()
    predictor = ns.load_model("lite_medsam")
    measure = {
        "gestures": gestures,
        "planes": new_planes,
        "threads": threads,
        "sitting": sitting,
    }
    for name, part in measure.items():
        if name in parts:
            part(predictor)


if __name__ == "__main__":
    main()
