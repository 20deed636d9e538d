from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_sam.image import to_uint8
from napari_sam.predictor import Prediction
from napari_sam.prompts import Prompt


class BrightPredictor:
    """Stands for a model in logic tests: an object is what is bright in its box."""

    name, family, key = "bright", "sam", "bright"
    prompts = frozenset({"point", "box", "mask"})

    def embed(self, plane: Any, contrast_limits: Any = None) -> Any:
        pixels = to_uint8(plane, contrast_limits)
        return SimpleNamespace(pixels=pixels, shape=pixels.shape[:2], nbytes=1)

    def predict_batch(
        self, embedding: Any, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        return [self._predict(embedding.pixels, prompt) for prompt in prompts]

    def plane_logits(self, embedding: Any, prediction: Prediction) -> np.ndarray:
        return np.where(prediction.mask, 1, -1).astype(np.float32)

    def _predict(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        box = prompt.box
        if box is None:
            centre = prompt.positives[0]
            box = np.concatenate([centre - 6, centre + 6])
        rows, cols = np.indices(pixels.shape[:2])
        inside = (rows >= box[0]) & (cols >= box[1])
        inside &= (rows <= box[2]) & (cols <= box[3])
        mask = inside & (pixels > 127)
        logits = np.where(mask, 1, -1).astype(np.float32)
        one = Prediction(mask, 0.9, logits)
        return Prediction(mask, 0.9, logits, (one,))


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> BrightPredictor:
    import napari_sam.predictor

    predictor = BrightPredictor()
    # SamSession tells predictors from names by their type.
    monkeypatch.setattr(napari_sam.predictor, "Predictor", BrightPredictor)
    return predictor


@pytest.fixture
def stack() -> np.ndarray:
    """(9, 40, 50) with a bright ball around (4, 15, 20) and one around (4, 28, 38)."""
    z, y, x = np.indices((9, 40, 50))
    first = (2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49
    second = (2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25
    return np.where(first | second, 200, 20).astype(np.uint8)


FIRST, SECOND = (7, 12, 23, 28), (22, 32, 34, 44)


def corners(box: Sequence[float], *index: float) -> np.ndarray:
    r0, c0, r1, c1 = box
    return np.array(
        [(*index, r, c) for r, c in ((r0, c0), (r0, c1), (r1, c1), (r1, c0))]
    )
