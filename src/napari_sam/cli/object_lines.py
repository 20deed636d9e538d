"""Lines about the objects of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.requests.base import SegmentationRequest, SegmentationResult


def object_lines(
    request: SegmentationRequest, result: SegmentationResult, labels: NDArray[np.int32]
) -> Iterator[str]:
    """Describe each object of a plane; count those of an automatic stack."""
    sizes = np.bincount(labels.ravel(), minlength=max(result.scores, default=0) + 1)
    if request.stack is not None:
        if request.is_automatic:
            yield f"{np.count_nonzero(sizes[1:])} objects"
        return
    windows = [prediction.window for prediction in result.predictions]
    for number, (label, (score,)) in enumerate(result.scores.items()):
        known = score.status in ("prompt", "everything")
        method = "" if known else f", found by {score.status}"
        window = windows[number] if windows else None
        zoomed = "" if window is None else f", zoomed to {window.side} px"
        yield (
            f"object {label}: {sizes[label]} pixels, score {score.score:.2f}{method}"
            f"{zoomed}"
        )
