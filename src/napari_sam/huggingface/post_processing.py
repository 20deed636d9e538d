"""Low-resolution logits to masks at the size of the images, as transformers does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping


def post_process_masks(
    masks: Any,
    original_sizes: Any,
    reshaped_input_sizes: Any,
    mask_threshold: float,
    binarize: bool,
    pad_size: Mapping[str, int],
) -> list[Tensor]:
    """Resize masks; see `SamImageProcessor.post_process_masks`."""
    resized = []
    sizes = zip(_pairs(original_sizes), _pairs(reshaped_input_sizes), strict=True)
    for logits, (original, (height, width)) in zip(masks, sizes, strict=False):
        given = _as_tensor(logits)
        # Half precision would move values across the threshold.
        exact = torch.promote_types(given.dtype, torch.float32)
        values = _interpolate(given.to(exact), (pad_size["height"], pad_size["width"]))
        values = _interpolate(values[..., :height, :width], original)
        resized.append(values > mask_threshold if binarize else values.to(given.dtype))
    return resized


def _as_tensor(logits: Any) -> Tensor:
    if isinstance(logits, np.ndarray):
        logits = torch.from_numpy(logits)
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"masks has {type(logits).__name__} entries: give a tensor or an array for "
            "each image."
        )
    return logits


def _interpolate(values: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(values, shape, mode="bilinear", align_corners=False)


def _pairs(sizes: Any) -> list[tuple[int, int]]:
    return [(int(height), int(width)) for height, width in sizes]
