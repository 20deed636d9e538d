"""Steps of the published mask generators, on tensors and (x, y) boxes.

They are those of Kirillov et al. 2023, "Segment Anything", appendix B. The automatic
segmentation of this package (`napari_sam.automatic`) keeps low-resolution candidates
instead, so that thresholds can change afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam.automatic.crops import Crop, make_crops
from napari_sam.automatic.selection import select_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Boxes this close to the edge of a crop are cut off, in pixels.
_EDGE = 20.0


def crop_boxes(
    shape: tuple[int, int], layers: int, overlap_ratio: float
) -> tuple[list[list[int]], list[int]]:
    """List the crops of an image of (H, W).

    Returns
    -------
    boxes : list of list of int
        (left, top, right, bottom) each, with the last row and column excluded.
    layers : list of int
        The layer of each, 0 for the whole image.
    """
    crops = make_crops(Crop((0, 0), shape), layers, overlap_ratio)
    # In the published order, column by column.
    crops.sort(key=lambda crop: (crop.layer, crop.origin[1], crop.origin[0]))
    boxes = []
    for crop in crops:
        (top, left), (height, width) = crop.origin, crop.shape
        boxes.append([left, top, left + width, top + height])
    return boxes, [crop.layer for crop in crops]


def grid(per_side: int) -> NDArray[np.float64]:
    """Return (per_side**2, 2) points (x, y) in [0, 1], row by row."""
    centres = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(centres, centres)
    return np.stack([x, y], -1).reshape(-1, 2)


def stability_scores(logits: Tensor, threshold: float, offset: float) -> Tensor:
    """Compute the IoU of masks at a higher and a lower threshold, (N,) of (N, H, W)."""
    inner = (logits > threshold + offset).flatten(1).sum(1)
    outer = (logits > threshold - offset).flatten(1).sum(1)
    return inner / outer


def mask_boxes(masks: Tensor) -> Tensor:
    """Return (N, 4) boxes of (N, H, W) bool masks: the first and last column and row.

    They are (left, top, right, bottom), and zeros for an empty mask.
    """
    edges = []
    for axis in (-2, -1):  # columns, then rows
        covered = masks.any(axis).int()
        if covered.shape[1] == 0:
            return masks.new_zeros(len(masks), 4, dtype=torch.int64)
        first = covered.argmax(1)
        edges.append((first, covered.shape[1] - 1 - covered.flip(1).argmax(1)))
    (left, right), (top, bottom) = edges
    boxes = torch.stack([left, top, right, bottom], 1)
    return boxes * masks.flatten(1).any(1)[:, None]


def near_crop_edge(boxes: Tensor, crop: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Tell which (N, 4) boxes in a crop end at its edge, but not at the image's.

    Parameters
    ----------
    boxes : Tensor
        In pixels of the crop.
    crop : sequence of int
        (left, top, right, bottom).
    shape : sequence of int
        (H, W) of the image.
    """
    left, top = crop[:2]
    moved = (boxes + boxes.new_tensor([left, top, left, top])).float()
    image = moved.new_tensor([0, 0, shape[1], shape[0]])
    at_crop = (moved - moved.new_tensor(list(crop))).abs() <= _EDGE
    return (at_crop & ((moved - image).abs() > _EDGE)).any(1)


def paste(masks: Tensor, crop: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Extend (N, h, w) masks of a crop to the (H, W) of the image."""
    left, top, right, bottom = crop
    return F.pad(masks, (left, shape[1] - right, top, shape[0] - bottom))


def suppress(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the indices of (N, 4) boxes that remain, see `select_boxes`."""
    arrays = boxes.cpu().double().numpy(), scores.cpu().numpy()
    return torch.from_numpy(select_boxes(*arrays, threshold))


def encode_runs(masks: Tensor) -> list[dict[str, Any]]:
    """Encode (N, H, W) masks as uncompressed runs in the format of COCO.

    ``size`` is [H, W] and ``counts`` the lengths of runs down the columns, that of the
    background first.
    """
    height, width = masks.shape[1:]
    encoded = []
    for flat in masks.bool().transpose(1, 2).flatten(1).cpu().numpy():
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        counts = np.diff(changes, prepend=0, append=flat.size).tolist()
        if flat.size and flat[0]:
            counts.insert(0, 0)
        encoded.append({"size": [height, width], "counts": counts})
    return encoded


def decode_runs(runs: dict[str, Any]) -> NDArray[np.bool_]:
    """Decode a mask from uncompressed runs, (H, W) bool."""
    height, width = runs["size"]
    values = np.arange(len(runs["counts"])) % 2 == 1
    return np.repeat(values, runs["counts"]).reshape(width, height).T


def compress_runs(runs: dict[str, Any]) -> dict[str, Any]:
    """Write uncompressed runs as text in the compressed format of COCO.

    From the third on, counts are differences to the second last. Each is written in
    groups of five bits, the lowest first, with a sixth bit where more follow.
    """
    counts = runs["counts"]
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text.append(chr(48 + (group | 32 if more else group)))
    return {"size": runs["size"], "counts": "".join(text)}
