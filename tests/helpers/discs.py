"""A plane with bright discs, and a stand-in model that finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.testing import assert_array_equal
from scipy.ndimage import label

import napari_sam as ns
from tests.helpers.models import World, as_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prediction.predictor import Prediction

SHAPE = (90, 110)


# (row, col) of the centres of discs, and their radii.
DISCS = {(20, 22): 11, (22, 60): 14, (60, 30): 9, (62, 80): 16}


def discs() -> np.ndarray:
    """(H, W) int, each disc its number."""
    rows, cols = np.indices(SHAPE)
    labels = np.zeros(SHAPE, int)
    for number, ((row, col), radius) in enumerate(DISCS.items(), start=1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = number
    return labels


PLANE = np.where(discs() > 0, 200, 20).astype(np.uint8)


class Whole(World):
    """Answers by the whole object under a point, or of which a box holds most."""

    def __init__(self, *prompts: str) -> None:
        super().__init__()
        self.prompts = frozenset(prompts)
        self.asked: list[ns.Prompt] = []

    def predict_batch(
        self, embedding: Any, prompts: Sequence[ns.Prompt], **_: Any
    ) -> list[Prediction]:
        self.asked += prompts
        objects, _count = label(embedding.pixels > 127)
        answers = []
        for prompt in (p.within(embedding.shape) for p in prompts):
            assert prompt.kinds <= self.prompts
            if prompt.box is None:
                held = objects[tuple(np.floor(prompt.points[0]).astype(int))]
            else:
                r0, c0, r1, c1 = np.rint(prompt.box).astype(int)
                held = objects[max(r0, 0) : r1 + 1, max(c0, 0) : c1 + 1]
            counts = np.bincount(np.ravel(held), minlength=2)
            counts[0] = 0
            mask = (objects == counts.argmax()) & (objects > 0)
            transform, logits = as_model(np.where(mask, 9, -9).astype(np.float32))
            one = ns.Prediction(logits, 0.9, transform)
            answers.append(ns.Prediction(logits, 0.9, transform, (one,)))
        return answers


def same_objects(labels: np.ndarray, truth: np.ndarray) -> None:
    """The same regions, in whatever order they are numbered."""
    assert_array_equal(labels > 0, truth > 0)
    pairs = np.unique(np.stack([labels, truth]).reshape(2, -1), axis=1)
    assert len(pairs.T) == len(np.unique(truth)) == len(np.unique(labels))
