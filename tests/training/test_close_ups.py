"""Crops of the embedding contain their objects and paste back in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.training.close_ups import CloseUps

GRID, RATIO = 64, 4


def squares(*boxes: tuple[int, int, int, int], shape: tuple[int, int]) -> torch.Tensor:
    """Make targets (K, h, w) of filled boxes, last pixels included."""
    target = torch.zeros(len(boxes), *shape)
    for mask, (row, col, last_row, last_col) in zip(target, boxes, strict=True):
        mask[row : last_row + 1, col : last_col + 1] = 1
    return target


@st.composite
def small_objects(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    height, width = (4 * draw(st.integers(36, GRID)) for _ in range(2))
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        last_row = min(height - 1, row + draw(st.integers(0, 50)))
        last_col = min(width - 1, col + draw(st.integers(0, 50)))
        boxes.append((row, col, last_row, last_col))
    return squares(*boxes, shape=(height, width)), draw(st.integers(0, 99))


@given(small_objects())
def test_objects_survive_crop_and_paste(made: tuple[torch.Tensor, int]) -> None:
    target, seed = made
    crops = CloseUps.around(target, GRID, np.random.default_rng(seed))
    assert crops is not None
    cropped = crops.crop_masks(target[:, None])
    assert cropped.shape == (len(target), 1, RATIO * crops.side, RATIO * crops.side)
    assert cropped.sum() == target.sum()
    pasted = crops.paste_masks(torch.where(cropped > 0.5, 3.0, -3.0), RATIO * GRID)
    height, width = target.shape[1:]
    assert torch.equal(pasted[:, 0, :height, :width] > 0, target > 0.5)
    assert not (pasted[:, 0, height:] > 0).any()


@given(small_objects())
def test_embedding_and_masks_have_the_same_crop(made: tuple[torch.Tensor, int]) -> None:
    target, seed = made
    crops = CloseUps.around(target, GRID, np.random.default_rng(seed))
    assert crops is not None
    rows, cols = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    cells = crops.crop_embedding(torch.stack([rows, cols])[None])
    assert cells.shape == (len(target), 2, crops.side, crops.side)
    pixels = torch.stack([rows, cols]).repeat_interleave(4, 1).repeat_interleave(4, 2)
    masks = crops.crop_masks(pixels[None])
    assert torch.equal(masks[:, :, ::RATIO, ::RATIO], cells)


@pytest.mark.parametrize(
    ("box", "shape"),
    [((0, 0, 200, 200), (256, 256)), ((10, 10, 20, 20), (256, 40))],
    ids=["a large object", "a narrow plane"],
)
def test_no_crop_without_room(
    box: tuple[int, int, int, int], shape: tuple[int, int]
) -> None:
    target = squares(box, shape=shape)
    assert CloseUps.around(target, GRID, np.random.default_rng(0)) is None


def test_no_crop_for_an_object_thinner_than_a_pixel() -> None:
    faint = 0.3 * squares((10, 10, 12, 12), shape=(256, 256))
    assert CloseUps.around(faint, GRID, np.random.default_rng(0)) is None


def test_gradients_reach_the_embedding() -> None:
    target = squares((40, 40, 60, 60), shape=(256, 256))
    crops = CloseUps.around(target, GRID, np.random.default_rng(0))
    assert crops is not None
    embedding = torch.ones(1, 2, GRID, GRID, requires_grad=True)
    crops.crop_embedding(embedding).sum().backward()
    assert embedding.grad is not None
    assert embedding.grad.sum() == 2 * crops.side**2
