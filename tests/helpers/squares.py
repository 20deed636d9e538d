"""A stand-in model that sees a square around any prompt, and slow answers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.helpers.models import BrightPredictor, as_prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prompts.prompt import Prompt

SHAPE = 60, 80
# Centres of squares on a grid, far enough from each other.
CENTRES = [(row, col) for row in (10, 30, 50) for col in (10, 30, 50, 70)]


class Squares(BrightPredictor):
    """Sees squares of 3, 5 and 7 pixels around a point or a box, the middle one best.

    A point on the background takes away its pixel. Each answer takes `delay` seconds.
    """

    def __init__(self, delay: float = 0) -> None:
        super().__init__("squares")
        self.delay = delay

    def predict_batch(
        self, embedding: Any, prompts: Sequence[Prompt], **options: Any
    ) -> Any:
        time.sleep(self.delay)
        return super().predict_batch(embedding, prompts, **options)

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Any:
        found = []
        if prompt.box is None:
            centre = prompt.positives[0]
        else:
            centre = (prompt.box[:2] + prompt.box[2:]) / 2
        rows, cols = np.indices(pixels.shape)
        for score, half in ((0.7, 1), (0.9, 2), (0.8, 3)):
            inside = (abs(rows - centre[0]) <= half) & (abs(cols - centre[1]) <= half)
            for row, col in prompt.negatives:
                inside &= (rows != row) | (cols != col)
            one = as_prediction(np.where(inside, 9, -9))
            found.append(replace(one, score=score, candidates=()))
        best, *others = sorted(found, key=lambda p: -p.score)
        return replace(best, candidates=(best, *others))
