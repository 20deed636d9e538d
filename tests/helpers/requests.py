"""Views, and results of requests run with a stand-in model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.view import ImageView
from tests.helpers.models import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult

DISPLAY = IntensityMapping.display()


def view_of(data: Any, mapping: IntensityMapping = DISPLAY, **reader: Any) -> ImageView:
    """Make a view of an image, displayed from 0 to 255."""
    return ImageView(PlaneReader((data,), **reader), mapping, (0.0, 255.0))


def painted(pieces: Iterable[ObjectPlaneMask], shape: tuple[int, ...]) -> np.ndarray:
    """Paint object ids, and check that pieces do not overlap."""
    labels = np.zeros(shape, int)
    for piece in pieces:
        plane = labels[piece.plane_index][piece.region]
        assert not plane[piece.mask].any()
        plane[piece.mask] = piece.object_id
    return labels


def run(
    request: SegmentationRequest, model: Any = None, cache: EmbeddingCache | None = None
) -> SegmentationResult:
    """Run a request, by default with `World`."""
    cache = EmbeddingCache() if cache is None else cache
    return run_to_end(request.run(model or World(), cache))
