"""Main-thread times of accept, undo and measure with many objects.

1,000 objects on a plane of 2,048 pixels, and 300 in 40 slices of 1,024. A stand-in
answers boxes at once, with masks as small as a model's, so that only the plugin's own
work counts. What napari itself needs for the same layers, pixels and boxes is measured
beside it. Needs neither weights nor a display:
`python -m benchmarks.speed.many_objects`.
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from tests.helpers.models import StandInPredictor
from tests.helpers.sessions import corners

from napari_sam.plugin.session import SamSession
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import Prompt

AIM_MS = 100.0
RADIUS = 12
INPUT_SIZE, MASK_SIZE = 1024, 256  # of SAM


class CoarsePredictor(StandInPredictor):
    """Finds what is bright in the box of a prompt, in the pixels of small masks."""

    def answer(self, pixels: NDArray[np.uint8], prompt: Prompt) -> Prediction:
        height, width = pixels.shape
        transform = PlaneTransform.fit((height, width), INPUT_SIZE, MASK_SIZE, "sam")
        assert prompt.box is not None
        low, high = transform.to_mask(prompt.box.reshape(2, 2))
        top, left = np.maximum(np.floor(low).astype(int), 0)
        bottom, right = np.minimum(np.ceil(high).astype(int), MASK_SIZE - 1) + 1
        step = height // MASK_SIZE
        seen = pixels[step // 2 :: step, step // 2 :: step]
        logits = np.full((MASK_SIZE, MASK_SIZE), -9, np.float32)
        logits[top:bottom, left:right] = np.where(
            seen[top:bottom, left:right] > 100, 9, -9
        )
        return Prediction(logits, 0.9, transform)


def scene(shape: tuple[int, ...], count: int) -> tuple[NDArray[np.uint8], list[Any]]:
    """Return an image of discs, or columns through all slices, and their boxes."""
    side = shape[-1]
    columns = int(np.ceil(np.sqrt(count)))
    step = side / columns
    disc = np.hypot(*np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]) <= RADIUS
    image, boxes = np.zeros(shape, np.uint8), []
    for number in range(count):
        row, col = (int((n + 0.5) * step) for n in divmod(number, columns))
        place = (
            slice(row - RADIUS, row + RADIUS + 1),
            slice(col - RADIUS, col + RADIUS + 1),
        )
        image[(..., *place)][..., disc] = 200
        boxes.append(
            (row - RADIUS - 1, col - RADIUS - 1, row + RADIUS + 1, col + RADIUS + 1)
        )
    return image, boxes


def timed(what: str, action: Callable[[], Any], aim: float | None = AIM_MS) -> None:
    gc.collect()  # that of what was done before falls into any of the steps
    started, used = time.perf_counter(), time.process_time()
    action()
    milliseconds = 1000 * (time.perf_counter() - started)
    # Other programs on the machine do not count.
    processor = 1000 * (time.process_time() - used)
    met = "" if aim is None else f"   {'met' if processor <= aim else 'MISSED'}"
    print(
        f"  {what:<40}{processor:>9.0f} ms of one core,{milliseconds:>9.0f} by the "
        f"clock{met}",
        flush=True,
    )


def measure(shape: tuple[int, ...], count: int) -> None:
    """Print the times for a number of objects in an image of a shape."""
    print(f"{count} objects in {' x '.join(map(str, shape))}")
    image, boxes = scene(shape, count)
    viewer = ViewerModel()
    viewer.add_image(image, contrast_limits=(0, 255))
    middle = (shape[0] // 2,) if len(shape) == 3 else ()
    if middle:
        viewer.dims.set_current_step(0, middle[0])
    session = SamSession(viewer, CoarsePredictor("coarse"))
    session.new_prompt_layers()
    # The first layer of labels imports what napari needs for its colours.
    viewer.layers.remove(viewer.add_labels(np.zeros((2, 2), int)))
    session.each_prompt_an_object = True
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles([corners(box, *middle) for box in boxes])
    ask = session.propagate if middle else session.preview
    timed("segment and preview (worker too)", ask, None)
    timed("accept, into a new layer", session.commit)
    timed("undo", session.undo)
    timed("accept again", session.commit)
    timed("undo", session.undo)
    session.commit()
    timed("measure (worker too)", session.measure, None)
    napari_alone(image, [corners(box, *middle) for box in boxes], middle)


def napari_alone(
    image: NDArray[np.uint8], boxes: list[Any], middle: tuple[int, ...]
) -> None:
    """Print what napari needs for the layers, pixels and boxes of the steps above."""
    viewer = ViewerModel()
    viewer.add_image(image, contrast_limits=(0, 255))
    if middle:
        viewer.dims.set_current_step(0, middle[0])
    shapes = viewer.add_shapes(ndim=image.ndim, face_color="transparent")
    kinds = ["rectangle"] * len(boxes)
    shapes.add(boxes, shape_type=kinds)
    pixels = np.nonzero(image)
    values = np.arange(len(pixels[0]), dtype=np.int32) // 100 % len(boxes) + 1

    def accept() -> None:
        labels = viewer.layers[-1]
        labels.data_setitem(pixels, values)
        shapes.selected_data = set(range(len(boxes)))
        shapes.remove_selected()

    def accept_new() -> None:
        viewer.add_labels(np.zeros(image.shape, np.int32))
        accept()

    def undo() -> None:
        viewer.layers[-1].undo()
        shapes.add(boxes, shape_type=kinds)

    for what, action in (
        ("accept, into a new layer", accept_new),
        ("undo", undo),
        ("accept again", accept),
        ("undo", undo),
    ):
        timed(f"napari alone: {what}", action, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.parse_args()
    measure((2048, 2048), 1000)
    measure((40, 1024, 1024), 300)


if __name__ == "__main__":
    main()
