"""Predictors without a network, for tests of logic: bright pixels are objects."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.images.window import Window
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.predictor import Prediction, Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prompts.prompt import Prompt


class StandInPredictor(Predictor):
    """Has all that `PredictorLike` names, but no network; subclasses `answer`.

    `embedded` lists the 8-bit planes that were embedded.
    """

    input_size = 32
    smallest_window = 10**6  # planes of tests are not zoomed into, unless they say so
    planes_at_once = 1

    @property
    def smallest_click_window(self) -> int:
        return self.smallest_window

    click_decoder = None
    instance_head = None
    device = "cpu"

    def __init__(self, key: str) -> None:
        self.name, self.family, self.key = key, "sam", key
        self.prompts = frozenset({"point", "box", "mask"})
        self.embedded: list[np.ndarray] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def embed(
        self,
        plane: Any,
        contrast_limits: Any = None,
        *,
        plane_shape: Any = None,
        window: Any = None,
        zoom: Any = "auto",
    ) -> Any:
        pixels = to_uint8(plane, contrast_limits)
        if window is not None and plane_shape is None:
            plane_shape, pixels = pixels.shape[:2], pixels[Window(*window).slices]
        self.embedded.append(pixels)
        shape = full_shape(pixels, plane_shape, window)
        # Each pixel of a pyramid level stands for all it covers of the full plane.
        for axis, size in enumerate(shape if window is None else window.shape):
            count = pixels.shape[axis]
            index = np.arange(size) * count // size
            pixels = pixels.take(index, axis)
        gray = pixels.max(axis=-1) if pixels.ndim == 3 else pixels
        return SimpleNamespace(
            instances=None,
            pixels=gray,
            transform=as_model(gray)[0],
            shape=shape,
            window=window,
            nbytes=1,
            model_key=self.key,
            plane_key=plane_key(gray),
        )

    def predict_batch(
        self, embedding: Any, prompts: Sequence[Prompt], **_: Any
    ) -> list[Prediction]:
        checked = [prompt.within(embedding.shape) for prompt in prompts]
        window = embedding.window
        if window is None:
            return [self.answer(embedding.pixels, prompt) for prompt in checked]
        inside = [prompt.in_window(window) for prompt in checked]
        return [
            in_window(self.answer(embedding.pixels, prompt), embedding.shape, window)
            for prompt in inside
        ]

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        raise NotImplementedError


class World(StandInPredictor):
    """An object is what is bright inside its box, or around its first point.

    `reach` is the distance beyond the box that counts as inside, as for real models.
    """

    input_size = 64  # objects of 7 pixels in the planes of tests are large enough

    def __init__(self, score: float = 0.9, gain: float = 1.0, reach: int = 0) -> None:
        super().__init__("world")
        self.score, self.gain, self.reach = score, gain, reach

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        inside = inside_box(pixels.shape, prompt, self.reach)
        intensity = (pixels - 127.5) * self.gain
        return as_prediction(np.where(inside, intensity, -abs(intensity)), self.score)


class BrightPredictor(StandInPredictor):
    """An object is what is brighter than a threshold in its box, less negatives."""

    def __init__(self, key: str = "bright", threshold: int = 127) -> None:
        super().__init__(key)
        self.threshold = threshold

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        inside = inside_box(pixels.shape, prompt)
        rows, cols = np.indices(pixels.shape)
        for row, col in prompt.negatives:
            inside &= (abs(rows - row) > 2) | (abs(cols - col) > 2)
        return as_prediction(np.where(inside & (pixels > self.threshold), 9, -9))


def in_window(
    prediction: Prediction, plane_shape: tuple[int, int], window: Window
) -> Prediction:
    """A prediction in pixels of a window as one of the plane."""
    transform = replace(prediction.transform, plane_shape=plane_shape, window=window)
    candidates = tuple(replace(c, transform=transform) for c in prediction.candidates)
    return replace(prediction, transform=transform, candidates=candidates)


def inside_box(shape: Sequence[int], prompt: Prompt, reach: int = 0) -> np.ndarray:
    """(H, W) bool: inside the box, or near the first positive point without a box."""
    box = prompt.box
    if box is None:
        box = np.concatenate([prompt.positives[0] - 6, prompt.positives[0] + 6])
    rows, cols = np.indices(shape)
    low, high = box[:2] - reach, box[2:] + reach
    inside: np.ndarray = (rows >= low[0]) & (cols >= low[1])
    inside &= (rows <= high[0]) & (cols <= high[1])
    return inside


def as_model(logits: np.ndarray) -> tuple[PlaneTransform, np.ndarray]:
    """Logits of a plane as those of a model whose input is the plane itself."""
    rows, cols = logits.shape
    side = max(rows, cols)
    transform = PlaneTransform((rows, cols), (rows, cols), side, side, "lite_medsam")
    return transform, np.pad(logits, [(0, side - rows), (0, side - cols)])


def as_prediction(logits: np.ndarray, score: float = 0.9) -> Prediction:
    """The prediction of such a model, without alternatives."""
    transform, square = as_model(logits.astype(np.float32))
    one = Prediction(square, score, transform)
    return Prediction(square, score, transform, (one,))
