"""Branches in the box of a user: one object whose cross-section is of several parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.border import border_step, smoothed
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

    from napari_sam.volume.appearance import View

    Mask = NDArray[np.bool_]

# Branches are told apart by brightness. Each has at least this fraction of their area,
# and this many pixels; together they fill the box to at least this IoU.
_MIN_FRACTION, _MIN_PIXELS, _MIN_FILL = 0.08, 16, 0.7
_MAX_BRANCHES = 8
# Branches replace a mask when they differ from the rest of the box more by this factor,
# their border is as sharp, and they fill the box as well but for this IoU.
_LEAST_GAIN, _LOST_FILL = 1.5, 0.15
# A mask is compared with the rest of the box and so much around it: a fraction of the
# box, and pixels.
_AROUND, _MIN_AROUND = 0.06, 2


def branch_boxes(view: View, found: MaskPatch) -> list[NDArray[np.float64]]:
    """Find the branches of an object in its box, where a mask does not show them.

    One box around several branches often gives a mask that includes what lies between
    them. Otsu's threshold (1979) of the brightness in the box separates both. The
    branches are the side that differs more from what surrounds the box.

    Parameters
    ----------
    view : View
        Of the user's box.
    found : MaskPatch
        The mask that the model found for it.

    Returns
    -------
    list of ndarray
        The tight (4,) box of each branch on the plane; empty where the mask is as good,
        or the box holds one part.
    """
    from skimage.filters import threshold_otsu

    smooth, inside = smoothed(view.gray), _box_pixels(view)
    if not inside.any() or np.ptp(smooth[inside]) == 0:
        return []
    threshold = threshold_otsu(smooth[inside])  # type: ignore[no-untyped-call]
    sides = inside & (smooth > threshold), inside & (smooth <= threshold)
    outside = smooth if inside.all() else smooth[~inside]
    levels = [abs(smooth[side].mean() - np.median(outside)) for side in sides]
    side = sides[int(np.argmax(levels))]
    least = max(_MIN_FRACTION * np.count_nonzero(side), _MIN_PIXELS)
    parts = large_components(side, least)
    if not 2 <= len(parts) <= _MAX_BRANCHES:
        return []
    mask = np.logical_or.reduce(parts)
    if _fill(mask, view) < _MIN_FILL or not _is_clearer(view, mask, found):
        return []
    boxes = [mask_to_box(part) for part in parts]
    return [box + np.tile(view.origin, 2) for box in boxes if box is not None]


def is_clearer(view: View, branches: MaskPatch, found: MaskPatch) -> bool:
    """Tell whether branches fit the image better than the mask of their box."""
    return _is_clearer(view, _on_view(branches, view), found)


def _is_clearer(view: View, mask: Mask, found: MaskPatch) -> bool:
    before = _on_view(found, view)
    if not (mask.any() and before.any()):
        return False
    smooth, around = smoothed(view.gray), _box_pixels(view, _AROUND, _MIN_AROUND)
    contrasts = [_contrast(smooth, m, around) for m in (mask, before)]
    # A mask of what lies between the branches has the opposite contrast.
    gain = np.sign(contrasts[0]) * np.array(contrasts)
    steps = [abs(border_step(smooth, m)) for m in (mask, before)]
    fills = [_fill(m, view) for m in (mask, before)]
    is_clear = gain[0] > _LEAST_GAIN * gain[1] and steps[0] >= steps[1]
    return bool(is_clear and fills[0] >= fills[1] - _LOST_FILL)


def _contrast(smooth: NDArray[np.float32], mask: Mask, around: Mask) -> float:
    """Return the brightness of a mask minus that of the rest of some pixels."""
    rest = around & ~mask
    if not rest.any():
        return 0.0
    return float(smooth[mask].mean(dtype=float) - smooth[rest].mean(dtype=float))


def _box_pixels(view: View, fraction: float = 0.0, pixels: float = 0.0) -> Mask:
    """Return the pixels of a view in its box, or also so far around it."""
    margin = max(fraction * float((view.box[2:] - view.box[:2]).max()), pixels)
    box = view.box - np.tile(view.origin, 2) + margin * np.array((-1, -1, 1, 1))
    # -1 is before the first pixel; lower numbers would count from the end.
    low, high = np.split(np.maximum(np.round(box), -1).astype(int), 2)
    low = np.maximum(low, 0)
    inside = np.zeros(view.gray.shape, bool)
    inside[low[0] : high[0] + 1, low[1] : high[1] + 1] = True
    return inside


def _fill(mask: Mask, view: View) -> float:
    """Return the IoU of the box around a mask of a view with the view's box."""
    tight = mask_to_box(mask)
    if tight is None:
        return 0.0
    return float(box_iou(tight + np.tile(view.origin, 2), view.box))


def _on_view(patch: MaskPatch, view: View) -> Mask:
    """Return the part of a mask that lies in a view, (h, w) bool."""
    if not patch.logits.size:
        return np.zeros(view.gray.shape, bool)
    frame = MaskPatch(view.origin, view.gray)
    first, layers = on_common_canvas([frame, patch], 0.0)
    start = tuple(np.subtract(view.origin, first).tolist())
    part: Mask = layers[1][window_at(start, view.gray.shape)] > 0
    return part
