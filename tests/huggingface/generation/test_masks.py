"""Steps of the mask generators."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam.huggingface.generation.masks import (
    compress_runs,
    crop_boxes,
    decode_runs,
    encode_runs,
    mask_boxes,
    near_crop_edge,
    paste,
    stability_scores,
)

masks = arrays(bool, st.tuples(*[st.integers(1, 7)] * 2))


def decompress(text: str) -> list[int]:
    """Read COCO's text: groups of five bits, and differences from the fourth on."""
    counts: list[int] = []
    value, shift = 0, 0
    for group in (ord(character) - 48 for character in text):
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (1 << shift) if group & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts


@given(mask=masks)
def test_runs_keep_the_mask(mask: np.ndarray) -> None:
    (runs,) = encode_runs(torch.from_numpy(mask)[None])
    assert runs["size"] == list(mask.shape)
    np.testing.assert_array_equal(decode_runs(runs), mask)
    assert decompress(compress_runs(runs)["counts"]) == runs["counts"]


def test_large_counts_are_compressed() -> None:
    counts = [100_000, 3, 70_000, 900_000, 1, 2]
    runs = {"size": [1, sum(counts)], "counts": counts}
    assert decompress(compress_runs(runs)["counts"]) == counts


@given(mask=masks)
def test_boxes_enclose_masks(mask: np.ndarray) -> None:
    (box,) = mask_boxes(torch.from_numpy(mask)[None]).tolist()
    rows, cols = np.nonzero(mask)
    full = [cols.min(), rows.min(), cols.max(), rows.max()] if len(rows) else [0] * 4
    assert box == full


def test_stability_is_the_iou_of_two_thresholds() -> None:
    logits = torch.tensor([[[-3.0, -0.5, 0.5, 2.0, 3.0]]])
    assert stability_scores(logits, 0.0, 1.0).tolist() == [0.5]
    assert stability_scores(logits, 1.0, 1.0).tolist() == pytest.approx([1 / 3])


def test_edges_of_a_crop_count_and_those_of_the_image_do_not() -> None:
    boxes = torch.tensor([[30, 30, 60, 60], [5, 30, 60, 60], [30, 30, 95, 60]])
    crop, shape = [0, 0, 100, 100], (200, 200)
    assert near_crop_edge(boxes, crop, shape).tolist() == [False, False, True]
    assert not near_crop_edge(boxes, crop, (100, 100)).any()


def test_crops_cover_the_image_and_masks_are_pasted() -> None:
    boxes, layers = crop_boxes((50, 80), 1, 0.25)
    assert layers == [0, 1, 1, 1, 1]
    covered = torch.zeros(1, 50, 80, dtype=torch.bool)
    for box in boxes[1:]:
        left, top, right, bottom = box
        part = torch.ones(1, bottom - top, right - left, dtype=torch.bool)
        covered |= paste(part, box, (50, 80))
    assert covered.all()
