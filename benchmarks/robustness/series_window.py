"""500 random Next and Previous with edits in the real viewer.

Labels on the screen and in the files are compared at every image; layers are counted,
and memory and the time in which the window is busy are measured. Run under a display,
for instance:
xvfb-run -a -s "-screen 0 1366x768x24" python -m benchmarks.robustness.series_window
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import psutil
import tifffile
from qtpy.QtCore import QEventLoop, QTimer

from napari_sam.images.reading.read import read_image

if TYPE_CHECKING:
    from napari_sam.plugin.series.dock import SeriesWidget

SEED = 26
IMAGES, SIDE = 12, 1024
WARM_UP = 50
EDITED, UNDONE = 0.6, 0.15  # of the steps
MANY = 0.2  # of the steps, several keys faster than images open
WAIT_S = 60.0


def rest(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def wait(dock: SeriesWidget) -> float:
    """Wait until the wanted image is shown; return the seconds."""
    started, annotation = time.perf_counter(), dock.annotation
    assert annotation is not None
    while time.perf_counter() - started < WAIT_S:
        opened = annotation.opened
        if opened is not None and opened.item.name == annotation.wanted:
            return time.perf_counter() - started
        rest(0.002)
    raise RuntimeError(f"{annotation.wanted} was not opened")


def settle(dock: SeriesWidget) -> None:
    """Wait until all files are written."""
    assert dock.annotation is not None
    while dock.annotation.worker.busy:
        rest(0.005)


def resident() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def timed(owner: Any, name: str) -> list[float]:
    """Measure the computing of a method, which napari is a part of, by its thread."""
    found: list[float] = []
    inner = getattr(owner, name)

    def run(*args: Any) -> Any:
        started = time.thread_time()
        try:
            return inner(*args)
        finally:
            found.append(time.thread_time() - started)

    setattr(owner, name, run)
    return found


class Walk:
    """A random walk through the images of a dock.

    Parameters
    ----------
    dock : SeriesWidget
        The dock, on an open series.
    viewer : napari.Viewer
        Its viewer.
    output : Path
        Folder of the labels.
    """

    def __init__(self, dock: SeriesWidget, viewer: Any, output: Path) -> None:
        self.dock, self.viewer, self.output = dock, viewer, output
        self.rng = np.random.default_rng(SEED)
        self.expected: dict[str, np.ndarray] = {}
        self.waits: list[float] = []
        self.layers: Counter[int] = Counter()

    def steps(self, count: int) -> None:
        for number in range(count):
            self._step(number + 1)

    def _step(self, label: int) -> None:
        annotation = self.dock.annotation
        assert annotation is not None
        assert annotation.opened is not None
        name, layer = annotation.opened.item.name, annotation.layers.labels
        assert layer is not None
        if name in self.expected:
            self._compare(name, layer.data, "on the screen")
        if self.rng.random() < EDITED:
            layer.selected_label, layer.brush_size = label, 40
            layer.paint(tuple(self.rng.integers(0, SIDE, 2).tolist()), label)
        if self.rng.random() < UNDONE:
            layer.undo()
        self.expected[name] = np.array(layer.data)
        presses = int(self.rng.integers(2, 5)) if self.rng.random() < MANY else 1
        for _ in range(presses):
            step = "next_image" if self.rng.random() < 0.5 else "previous_image"
            self.dock.press(step)
        self.waits.append(wait(self.dock))
        self.layers[len(self.viewer.layers)] += 1
        if self.rng.random() < 0.2:
            settle(self.dock)
            for name in self.expected:
                if annotation.opened.item.name != name:
                    self._compare(name, self._saved(name), "in the file")

    def _saved(self, name: str) -> np.ndarray:
        path = self.output / f"{name}.labels.tif"
        if not path.is_file():
            return np.zeros((SIDE, SIDE), int)
        return np.asarray(read_image(path, labels=True).data)

    def _compare(self, name: str, found: np.ndarray, where: str) -> None:
        if not np.array_equal(found, self.expected[name]):
            raise RuntimeError(f"the labels of {name} {where} are others")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    steps = parser.parse_args().steps
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for number in range(IMAGES):
            pixels = rng.integers(0, 4000, (SIDE, SIDE), np.uint16)
            tifffile.imwrite(images / f"{number:02d}.tif", pixels)
        viewer = napari.Viewer(show=True)
        _, dock = viewer.window.add_plugin_dock_widget("napari-sam", "Image series")
        dock.open_series(images)
        while dock.annotation is None:
            rest(0.05)
        wait(dock)
        walk = Walk(dock, viewer, Path(folder) / "images-labels")
        walk.steps(WARM_UP)
        settle(dock)
        before, walk.waits = resident(), []
        shown = timed(dock.annotation.layers, "show")
        left = timed(dock.annotation, "_leave")
        walk.steps(steps)
        settle(dock)
        print(f"{steps} images opened, on two cores with load {os.getloadavg()[0]:.1f}")
        for what, seconds in (("shown", shown), ("left", left)):
            median, late, most = np.percentile(seconds, [50, 95, 100]) * 1000
            print(f"busy when an image is {what}, median, 95 %, most: ", end="")
            print(f"{median:.0f}, {late:.0f}, {most:.0f} ms of computing")
        median, late = np.percentile(walk.waits, [50, 95]) * 1000
        print(
            f"from the key to the image, median and 95 %: {median:.0f}, {late:.0f} ms"
        )
        print(f"memory, after {WARM_UP} images and at the end: ", end="")
        print(f"{before:.0f} MB, {resident():.0f} MB")
        print(f"numbers of layers: {dict(walk.layers)}")
        dock.close_series()
        viewer.close()
        print("the labels on the screen and in the files were the same at every image")


if __name__ == "__main__":
    main()
