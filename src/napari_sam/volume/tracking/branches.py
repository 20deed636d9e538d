"""Branches in the box of a user: one object whose cross-section is of several parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.border import border_step, coarse_grid, smoothed
from napari_sam.masks.morphology import large_components
from napari_sam.masks.patch import (
    MaskPatch,
    box_iou,
    mask_to_box,
    on_common_canvas,
    window_at,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.volume.tracking.appearance import View

    Boxes = list[NDArray[np.float64]]

# Parts of a box are told apart by brightness. Each has at least this fraction of their
# area, and this many pixels; together they fill the box to at least this IoU.
_MIN_FRACTION, _MIN_PIXELS, _MIN_FILL = 0.08, 16, 0.7
_MAX_PARTS = 8
# Parts replace a mask when the step of brightness at their border is larger by this
# factor, and they fill the box as well but for this IoU.
_LEAST_GAIN, _LOST_FILL = 1.5, 0.15


def branch_boxes(view: View, found: MaskPatch) -> Boxes:
    """Find the branches of an object in its box, where a mask does not show them.

    One box around several branches often gives a mask that includes what lies between
    them. Otsu's threshold (1979) of the brightness in the box separates both.

    Parameters
    ----------
    view : View
        Of the user's box.
    found : MaskPatch
        The mask that the model found for it.

    Returns
    -------
    list of ndarray
        The tight (4,) box of each branch on the plane; empty where the mask is as good.
    """
    from skimage.filters import threshold_otsu

    smooth, inside = smoothed(view.gray), _inside(view)
    levels = smooth[inside]
    if not levels.size or levels.min() == levels.max():
        return []
    threshold = threshold_otsu(levels)  # type: ignore[no-untyped-call]
    offset = np.tile(view.origin, 2)
    for candidate in (inside & (smooth > threshold), inside & (smooth < threshold)):
        least = max(_MIN_FRACTION * np.count_nonzero(candidate), _MIN_PIXELS)
        parts = large_components(candidate, least)
        if not 2 <= len(parts) <= _MAX_PARTS:
            continue
        mask = np.logical_or.reduce(parts)
        if _fill(mask, view) >= _MIN_FILL and _is_clearer(view, mask, found):
            return [
                box + offset for part in parts if (box := mask_to_box(part)) is not None
            ]
    return []


def is_clearer(view: View, branches: MaskPatch, found: MaskPatch) -> bool:
    """Tell whether branches fit the image better than the mask of their box."""
    return _is_clearer(view, _on_view(branches, view), found)


def _is_clearer(view: View, mask: NDArray[np.bool_], found: MaskPatch) -> bool:
    before = _on_view(found, view)
    if not (mask.any() and before.any()):
        return False
    grid = np.ix_(*coarse_grid(mask.shape))
    smooth = smoothed(view.gray)[grid]
    steps = [abs(border_step(smooth, m[grid])) for m in (mask, before)]
    fills = [_fill(m, view) for m in (mask, before)]
    return steps[0] > _LEAST_GAIN * steps[1] and fills[0] >= fills[1] - _LOST_FILL


def _inside(view: View) -> NDArray[np.bool_]:
    """Return the pixels of a view inside its box, (h, w) bool."""
    inside = np.zeros(view.gray.shape, bool)
    low, high = np.split(np.round(view.box - np.tile(view.origin, 2)).astype(int), 2)
    low = np.maximum(low, 0)
    inside[low[0] : high[0] + 1, low[1] : high[1] + 1] = True
    return inside


def _fill(mask: NDArray[np.bool_], view: View) -> float:
    """Return the IoU of the box around a mask of a view with the view's box."""
    tight = mask_to_box(mask)
    if tight is None:
        return 0.0
    return float(box_iou(tight + np.tile(view.origin, 2), view.box))


def _on_view(patch: MaskPatch, view: View) -> NDArray[np.bool_]:
    """Return the part of a mask that lies in a view, (h, w) bool."""
    if not patch.logits.size:
        return np.zeros(view.gray.shape, bool)
    frame = MaskPatch(view.origin, view.gray)
    first, layers = on_common_canvas([frame, patch], 0.0)
    start = tuple(np.subtract(view.origin, first).tolist())
    part: NDArray[np.bool_] = layers[1][window_at(start, view.gray.shape)] > 0
    return part
