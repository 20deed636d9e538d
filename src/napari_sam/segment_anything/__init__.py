"""The interface of the package segment-anything, for code that was written for it.

``from napari_sam.segment_anything import SamPredictor, sam_model_registry`` takes the
place of ``from segment_anything import ...``. Coordinates are (x, y) here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.segment_anything.automatic_mask_generator import (
        SamAutomaticMaskGenerator,
    )
    from napari_sam.segment_anything.predictor import SamPredictor
    from napari_sam.segment_anything.registry import (
        Sam,
        build_sam,
        build_sam_vit_b,
        build_sam_vit_h,
        build_sam_vit_l,
        sam_model_registry,
    )
    from napari_sam.segment_anything.utils.transforms import ResizeLongestSide

_HOMES = {
    "ResizeLongestSide": "utils.transforms",
    "Sam": "registry",
    "SamAutomaticMaskGenerator": "automatic_mask_generator",
    "SamPredictor": "predictor",
    "build_sam": "registry",
    "build_sam_vit_b": "registry",
    "build_sam_vit_h": "registry",
    "build_sam_vit_l": "registry",
    "sam_model_registry": "registry",
}

__all__ = [
    "ResizeLongestSide",
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
