"""Voxels of prompts in a stack, for the clean-up."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.stack import prompt_seeds
from napari_sam.volume.results import SliceResult


def result(object_id: int, index: int, mask: np.ndarray) -> SliceResult:
    logits = np.where(mask, 1, -1).astype(np.float16)
    return SliceResult(object_id, index, 0.9, "prompted", (10, 20), logits)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_seeds_of_prompted_slices(axis: int) -> None:
    mask = np.ones((3, 5), bool)
    clicked = Prompt(points=[(4.6, 2), (9, 9)], labels=[1, 0])
    prompts = {7: {2: Prompt(box=(0, 0, 90, 90)), 4: clicked}, 8: {2: clicked}}
    results = [result(7, 2, mask), result(7, 3, mask), result(7, 4, mask)]
    found = prompt_seeds(prompts, results, axis)
    expected = [
        np.insert(pixel, axis, slice_index)
        for slice_index, pixel in ((2, (11, 21)), (4, (5, 2)))
    ]
    assert list(found) == [7]
    assert len(found[7]) == 2
    assert found[7][:, axis].tolist() == [2, 4]
    assert_array_equal(found[7][1], expected[1])
    assert np.delete(found[7][0], axis)[0] == 11


def test_empty_masks_give_no_seeds() -> None:
    empty = result(1, 2, np.zeros((0, 0), bool))
    (seeds,) = prompt_seeds({1: {2: Prompt(box=(0, 0, 5, 5))}}, [empty]).values()
    assert seeds.shape == (0, 3)
