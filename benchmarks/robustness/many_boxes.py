"""961 boxes at once with the real default model: time, progress and cancelling.

Run under a display, for instance:
xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.robustness.many_boxes

First in a script, where the generator of a request can be stopped between two steps;
then in the viewer, where all boxes are added at once, and *Cancel* is pressed.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

import napari_sam as ns
from benchmarks.speed.interactive import Desk, corners, rest
from benchmarks.speed.many_objects import scene
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.requests.from_arrays import plane_request

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor

COUNT, SIDE = 961, 1024
CANCEL_AFTER = (2.0, 6.0, 12.0)  # seconds
TICK_MS = 20

clock = time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--boxes", type=int, default=COUNT)
    parser.add_argument("--script", action="store_true", help="without the viewer")
    options = parser.parse_args()
    image, boxes = scene((SIDE, SIDE), options.boxes)
    predictor = ns.load_model("lite_medsam")
    in_a_script(predictor, image, boxes)
    if not options.script:
        in_the_viewer(predictor, image, boxes)


def in_a_script(predictor: Predictor, image: np.ndarray, boxes: list[Any]) -> None:
    """Print the time of a request, and the longest one between two steps."""
    prompts = [ns.Prompt(box=box) for box in boxes]
    request = plane_request(image, prompts)
    started, used = clock(), time.process_time()
    last, waits, texts = started, [], ["the start"]
    for step in request.run(predictor, EmbeddingCache()):
        waits.append(clock() - last)
        texts.append(f"{step.what} {step.done}")
        last = clock()
    waits.append(clock() - last)
    longest = int(np.argmax(waits))
    print(
        f"script: {clock() - started:.1f} s ({time.process_time() - used:.1f} s of one "
        f"core), {len(waits)} steps, longest {waits[longest]:.2f} s, after "
        f"{texts[longest]!r}",
        flush=True,
    )


class Watch:
    """Notes when the line of progress changes, and how long the window stalls."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.texts: list[tuple[float, str]] = []
        self.stall = 0.0
        self._last = clock()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = clock()
        self.stall, self._last = max(self.stall, now - self._last), now
        text = self._desk.widget.panel.status.value
        if not self.texts or self.texts[-1][1] != text:
            self.texts.append((now, text))

    def stop(self) -> None:
        """Stop watching."""
        self._timer.stop()

    def longest(self) -> float:
        """Return the longest time between two changes of the line."""
        return float(np.diff([at for at, _ in self.texts]).max(initial=0))


def in_the_viewer(predictor: Predictor, image: np.ndarray, boxes: list[Any]) -> None:
    """Print how long all boxes take, and how soon *Cancel* acts."""
    desk = Desk(predictor)
    desk.open(image, contrast_limits=(0, 255))
    desk.session.each_prompt_an_object = True
    shapes = [corners(np.asarray(box)) for box in boxes]
    for seconds in (*CANCEL_AFTER, None):
        watch, started = Watch(desk), clock()
        desk.session.shapes_layer.add_rectangles(shapes)
        added = clock() - started
        if seconds is None:
            desk.idle()
            print(
                f"viewer, to the end: {clock() - started:.1f} s, of which napari took "
                f"{added:.1f} to add the boxes; the line changed at least every "
                f"{watch.longest():.2f} s; the window stalled for {watch.stall:.2f} s "
                f"at most; {desk.widget.panel.status.value!r}",
                flush=True,
            )
        else:
            rest(seconds)
            shown = desk.widget.panel.status.value
            pressed = clock()
            desk.press(desk.widget.panel.cancel)
            desk.idle()
            print(
                f"viewer, cancelled after {seconds:.0f} s at {shown!r}: free after "
                f"{clock() - pressed:.2f} s; the line changed at least every "
                f"{watch.longest():.2f} s; then {desk.widget.panel.status.value!r}",
                flush=True,
            )
            desk.press(desk.widget.panel.discard)
            rest(1)
        watch.stop()
    desk.close()


if __name__ == "__main__":
    main()
