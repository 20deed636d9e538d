"""A model that finds what is bright, scenes with balls, and hands that draw."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.predictor import Prediction, Predictor
from napari_sam.prompts.prompt import Prompt
from tests.volume.test_results import as_model


class BrightPredictor(Predictor):
    """Stands for a model in logic tests: an object is what is bright in its box."""

    input_size = 32
    planes_at_once = 1
    click_decoder = None
    device = "cpu"

    def __init__(self, key: str = "bright", threshold: int = 127) -> None:
        self.name, self.family, self.key = key, "sam", key
        self.prompts = frozenset({"point", "box", "mask"})
        self.threshold = threshold

    def __repr__(self) -> str:
        return f"BrightPredictor({self.key!r})"

    def embed(
        self, plane: Any, contrast_limits: Any = None, *, plane_shape: Any = None
    ) -> Any:
        pixels = to_uint8(plane, contrast_limits)
        # Each pixel of a rendition stands for all it covers of the full plane.
        for axis, size in enumerate(full_shape(pixels, plane_shape)):
            count = pixels.shape[axis]
            index = np.arange(size) * count // size
            pixels = pixels.take(index, axis)
        gray = pixels.max(axis=-1) if pixels.ndim == 3 else pixels
        return SimpleNamespace(
            pixels=gray,
            transform=as_model(gray)[0],
            shape=gray.shape,
            nbytes=1,
            model_key=self.key,
            plane_key=plane_key(gray),
        )

    def predict_batch(
        self, embedding: Any, prompts: Sequence[Prompt], **_: Any
    ) -> list[Prediction]:
        checked = [prompt.within(embedding.shape) for prompt in prompts]
        return [self._answer(embedding.pixels, prompt) for prompt in checked]

    def _answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        box = prompt.box
        if box is None:
            first = prompt.positives[0]
            box = np.concatenate([first - 6, first + 6])
        rows, cols = np.indices(pixels.shape)
        inside = (rows >= box[0]) & (cols >= box[1])
        inside &= (rows <= box[2]) & (cols <= box[3])
        for row, col in prompt.negatives:
            inside &= (abs(rows - row) > 2) | (abs(cols - col) > 2)
        mask = inside & (pixels > self.threshold)
        transform, logits = as_model(np.where(mask, 9, -9).astype(np.float32))
        one = Prediction(logits, 0.9, transform)
        return Prediction(logits, 0.9, transform, (one,))


@pytest.fixture
def bright() -> BrightPredictor:
    return BrightPredictor()


@pytest.fixture
def stack() -> np.ndarray:
    """(9, 40, 50) with a bright ball around (4, 15, 20) and one around (4, 28, 38)."""
    z, y, x = np.indices((9, 40, 50))
    first = (2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49
    second = (2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25
    return np.where(first | second, 200, 20).astype(np.uint8)


@pytest.fixture
def session(bright: BrightPredictor, stack: np.ndarray) -> SamSession:
    """On the middle slice of the balls, with prompt layers of its own."""
    viewer = ViewerModel()
    viewer.add_image(stack, name="balls", scale=(2, 1, 1), contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    return session


FIRST, SECOND = (7, 12, 23, 28), (22, 32, 34, 44)


def corners(box: Sequence[float], *index: float) -> np.ndarray:
    r0, c0, r1, c1 = box
    return np.array(
        [(*index, r, c) for r, c in ((r0, c0), (r0, c1), (r1, c1), (r1, c0))]
    )


def draw(session: SamSession, box: Sequence[float], *index: float) -> None:
    """Add a rectangle to the session's boxes; on slice 4 unless told."""
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(box, *(index or (4,))))


def press(button: Any) -> None:
    """Press it as a user does: a button that is off does nothing."""
    assert button.enabled
    button.native.click()


def written(session: SamSession) -> np.ndarray:
    """The labels that the session wrote."""
    assert session.labels_layer is not None
    data: np.ndarray = session.labels_layer.data
    return data
