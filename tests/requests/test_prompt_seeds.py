"""Voxels of prompts in a stack, for the clean-up."""

from __future__ import annotations

import numpy as np

from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.stack import prompt_seeds
from napari_sam.volume.results import SliceResult


def result(object_id: int, index: int, mask: np.ndarray) -> SliceResult:
    logits = np.where(mask, 1, -1).astype(np.float16)
    return SliceResult(object_id, index, 0.9, "prompted", (10, 20), logits)


def test_seeds_of_prompted_slices() -> None:
    mask = np.ones((3, 5), bool)
    clicked = Prompt(points=[(4.6, 2), (9, 9)], labels=[1, 0])
    prompts = {7: {2: Prompt(box=(0, 0, 90, 90)), 4: clicked}, 8: {2: clicked}}
    results = [result(7, 2, mask), result(7, 3, mask), result(7, 4, mask)]
    seeds = prompt_seeds(prompts, results)
    assert list(seeds) == [7]
    on_box, on_point = seeds[7].tolist()
    assert on_box[:2] == [2, 11]
    assert on_point == [4, 5, 2]


def test_empty_masks_give_no_seeds() -> None:
    empty = result(1, 2, np.zeros((0, 0), bool))
    (seeds,) = prompt_seeds({1: {2: Prompt(box=(0, 0, 5, 5))}}, [empty]).values()
    assert seeds.shape == (0, 3)
