"""Memory of a preview of many masks that fill the plane, and of accepting them.

`python -m benchmarks.robustness.preview_memory`

A stand-in model answers every box by the whole plane; the memory must not follow the
sum of the areas of the masks.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
from napari.components import ViewerModel
from tests.helpers.models import StandInPredictor

from napari_sam.plugin.session import SamSession
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import Prediction

if TYPE_CHECKING:
    from napari_sam.prompts.prompt import Prompt

MEGABYTE = 1e6
MASK_SIZE = 256  # of the low-resolution masks of SAM


class FullPredictor(StandInPredictor):
    """Answers every prompt by the whole plane, with the masks of a real model."""

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        height, width = pixels.shape
        transform = PlaneTransform.fit((height, width), 1024, MASK_SIZE, "sam")
        assert prompt.box is not None
        rank = np.float32(1 + prompt.box[0] / height)  # the smallest box wins
        return Prediction(np.full((MASK_SIZE, MASK_SIZE), rank), 0.9, transform)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--masks", type=int, nargs="+", default=[1, 61, 241, 961])
    options = parser.parse_args()
    print("masks  area Mpx  peak MB  kept MB  seconds")
    for count in options.masks:
        measure(count, options.side)


def measure(count: int, side: int) -> None:
    """Preview and accept so many masks."""
    viewer = ViewerModel()
    plane = np.full((side, side), 200, np.uint8)
    plane[0, 0] = 0
    viewer.add_image(plane, contrast_limits=(0, 255))
    session = SamSession(viewer, FullPredictor("full"))
    session.new_prompt_layers()
    session.each_prompt_an_object = True
    shift = np.linspace(0, side / 8, count)
    boxes = [
        np.array([(s, s), (s, side - 1), (side - 1, side - 1), (side - 1, s)])
        for s in shift
    ]
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(boxes)
    tracemalloc.start()
    start = time.perf_counter()
    session.preview()
    seconds = time.perf_counter() - start
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    area = float(((side - shift) ** 2).sum())
    print(
        f"{count:5d} {area / MEGABYTE:9.0f} {peak / MEGABYTE:8.0f} "
        f"{kept / MEGABYTE:8.0f} {seconds:8.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
