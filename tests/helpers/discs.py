"""A plane with bright discs, and a stand-in model that segments them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.testing import assert_array_equal
from scipy.ndimage import label

from tests.helpers.models import StandInPredictor, as_prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prompts.prompt import Prompt

SHAPE = (90, 110)

# (row, col) of the centres of discs, and their radii.
DISCS = {(20, 22): 11, (22, 60): 14, (60, 30): 9, (62, 80): 16}


def discs() -> np.ndarray:
    """(H, W) int, each disc with its number."""
    rows, cols = np.indices(SHAPE)
    labels = np.zeros(SHAPE, int)
    for number, ((row, col), radius) in enumerate(DISCS.items(), start=1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = number
    return labels


PLANE = np.where(discs() > 0, 200, 20).astype(np.uint8)


class DiscPredictor(StandInPredictor):
    """Returns the full object under a point, or the one that fills most of a box.

    `received` lists the prompts.
    """

    def __init__(self, *prompts: str) -> None:
        super().__init__("discs")
        self.prompts = frozenset(prompts)
        self.received: list[Prompt] = []

    def predict_batch(
        self, embedding: Any, prompts: Sequence[Prompt], **options: Any
    ) -> list[Prediction]:
        self.received += prompts
        return super().predict_batch(embedding, prompts, **options)

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        assert prompt.kinds <= self.prompts
        objects, _count = label(pixels > 127)
        if prompt.box is None:
            inside = objects[tuple(np.floor(prompt.points[0]).astype(int))]
        else:
            r0, c0, r1, c1 = np.rint(prompt.box).astype(int)
            inside = objects[max(r0, 0) : r1 + 1, max(c0, 0) : c1 + 1]
        counts = np.bincount(np.ravel(inside), minlength=2)
        counts[0] = 0
        mask = (objects == counts.argmax()) & (objects > 0)
        return as_prediction(np.where(mask, 9, -9))


def same_objects(labels: np.ndarray, truth: np.ndarray) -> None:
    """Assert the same regions, however they are numbered."""
    assert_array_equal(labels > 0, truth > 0)
    pairs = np.unique(np.stack([labels, truth]).reshape(2, -1), axis=1)
    assert len(pairs.T) == len(np.unique(truth)) == len(np.unique(labels))
