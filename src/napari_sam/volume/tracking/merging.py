"""Merging of the two directions of a propagation between two prompted slices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.interpolation import blend, majority
from napari_sam.masks.patch import patch_iou
from napari_sam.volume.tracking.observation import Observation, interpolated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.volume.results import SliceResult
    from napari_sam.volume.tracking.object_tracker import ObjectTracker

# Masks of both directions with a smaller IoU are not blended: the better one is used.
# Between the two values a third mask breaks the tie.
_BLEND_IOU, _AGREEMENT_IOU = 0.3, 0.9


def merge_directions(
    upward: ObjectTracker, downward: ObjectTracker
) -> Iterator[SliceResult]:
    """Merge both directions of a range.

    Yields
    ------
    SliceResult
        Of all slices of the range that hold the object.
    """
    slices, object_id = upward.slice_range.slices, upward.object_id
    known = {o.index: o for o in (upward.start, downward.start) if not o.is_empty}
    for index in slices:
        merged = _merge(index, upward, downward)
        if merged is not None:
            known[index] = merged
            yield merged.result(object_id, upward.status(merged))
    for index in slices:
        before = [i for i in known if i < index]
        after = [i for i in known if i > index]
        if index not in known and before and after:
            filled = interpolated(known[max(before)], known[min(after)], index)
            yield filled.result(object_id, "interpolated")


def _merge(
    slice_index: int, upward: ObjectTracker, downward: ObjectTracker
) -> Observation | None:
    """Blend the masks of both directions, weighted by distance and confidence."""
    first, second = upward.accepted(slice_index), downward.accepted(slice_index)
    if first is None or second is None:
        return first or second
    slice_range = upward.slice_range
    length = slice_range.last - slice_range.first + 2
    position = (slice_index - slice_range.first + 1) / length
    weights = (1 - position) * first.confidence, position * second.confidence
    fraction = weights[1] / sum(weights)
    iou = patch_iou(first.patch, second.patch)
    better = first if fraction < 0.5 else second
    if iou < _BLEND_IOU and upward.fits_border:
        # Confidence counts the way already, see `confidence_on_the_way`.
        better = max(first, second, key=lambda o: o.confidence)
    merged_confidence = min(1.0, 0.5 + iou) * better.confidence
    if iou < _BLEND_IOU:
        return replace(better, confidence=merged_confidence)
    patches, third = (first.patch, second.patch), second.tie_break
    return Observation(
        slice_index,
        blend(*patches, fraction) if third is None else majority([*patches, third]),
        (1 - fraction) * first.pred_iou + fraction * second.pred_iou,
        merged_confidence,
        better.weakest,
        window=better.window,
        appearance=better.appearance,
    )


def disputed_box(first: Observation, second: Observation) -> NDArray[np.float64] | None:
    """Return the box around two masks of a slice that differ.

    Where two directions differ, one has usually lost a part of the object; the two
    masks together hold all of it.

    Returns
    -------
    ndarray or None
        (4,) box; None where the masks agree, or hardly overlap.
    """
    if second.is_empty:
        return None
    if not _BLEND_IOU <= patch_iou(first.patch, second.patch) < _AGREEMENT_IOU:
        return None
    boxes = np.stack([first.patch.box, second.patch.box])
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
