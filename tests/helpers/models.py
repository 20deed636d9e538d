"""Stand-ins for a loaded model, for logic tests only."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.predictor import Prediction, Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prompts.prompt import Prompt


class World(Predictor):
    """An object is what is bright inside its box, or around its first point.

    `reach` is how far beyond the box it looks, as real models do.
    """

    input_size = 32
    planes_at_once = 1
    click_decoder = None

    def __init__(self, score: float = 0.9, gain: float = 1.0, reach: int = 0) -> None:
        self.name, self.family, self.key = "world", "sam", "world"
        self.prompts = frozenset({"point", "box", "mask"})
        self.score, self.gain, self.reach = score, gain, reach
        self.seen: list[np.ndarray] = []

    @property
    def device(self) -> Any:
        return "paper"

    def embed(
        self, plane: Any, contrast_limits: Any = None, *, plane_shape: Any = None
    ) -> Any:
        pixels = to_uint8(plane, contrast_limits)
        assert plane_shape in (None, pixels.shape[:2])
        self.seen.append(pixels)
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
        return [self._answer(embedding, p.within(embedding.shape)) for p in prompts]

    def _answer(self, embedding: Any, prompt: Prompt) -> Prediction:
        box = prompt.box
        if box is None:
            box = np.concatenate([prompt.positives[0] - 6, prompt.positives[0] + 6])
        rows, cols = np.indices(embedding.shape)
        low, high = box[:2] - self.reach, box[2:] + self.reach
        inside = (rows >= low[0]) & (cols >= low[1])
        inside &= (rows <= high[0]) & (cols <= high[1])
        intensity = (embedding.pixels - 127.5) * self.gain
        logits = np.where(inside, intensity, -abs(intensity)).astype(np.float32)
        transform, square = as_model(logits)
        one = Prediction(square, self.score, transform)
        return Prediction(square, self.score, transform, (one,))


def as_model(logits: np.ndarray) -> tuple[PlaneTransform, np.ndarray]:
    """Logits of a plane as those of a model whose input is the plane itself."""
    rows, cols = logits.shape
    side = max(rows, cols)
    transform = PlaneTransform((rows, cols), (rows, cols), side, side, "lite_medsam")
    return transform, np.pad(logits, [(0, side - rows), (0, side - cols)])


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
