"""What transformers and segment-anything use of torchvision, without installing it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """Return the areas of (..., 4) boxes."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Any, iou_threshold: float) -> Any:
    """Suppress boxes of one category, the best score first."""
    order = scores.argsort(descending=True, stable=True)
    alive = torch.ones(len(order), dtype=torch.bool)
    kept = []
    for n, i in enumerate(order.tolist()):
        if not alive[n]:
            continue
        kept.append(i)
        rest = boxes[order[n + 1 :]]
        low = torch.maximum(boxes[i, :2], rest[:, :2])
        high = torch.minimum(boxes[i, 2:], rest[:, 2:])
        common = (high - low).clamp(min=0).prod(1)
        iou = common / (area(boxes[i]) + area(rest) - common)
        alive[n + 1 :] &= ~(iou > iou_threshold)
    return torch.tensor(kept, dtype=torch.long)


def install() -> None:
    """Make the modules importable, unless torchvision is there.

    Call it after transformers has been imported, which looks for the real one.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    else:
        return
    contents: dict[str, dict[str, Any]] = {
        "torchvision": {},
        "torchvision.ops": {},
        "torchvision.ops.boxes": {"batched_nms": batched_nms, "box_area": area},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {
            "resize": lambda picture, size: picture.resize(
                size[::-1], Image.Resampling.BILINEAR
            ),
            "to_pil_image": Image.fromarray,
        },
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
