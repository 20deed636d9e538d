"""Boxes, overlaps and stability of masks; painting masks into labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def mask_to_box(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Tight box of a mask, through the centres of its outermost pixels.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool.

    Returns
    -------
    ndarray or None
        (row_min, col_min, row_max, col_max), or None for an empty mask.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    cols = np.flatnonzero(mask.any(axis=0))
    return np.array([rows[0], cols[0], rows[-1], cols[-1]], dtype=float)


def mask_to_window(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns that just hold a mask of the plane; None for an empty mask."""
    box = mask_to_box(mask)
    if box is None:
        return None
    row, col, last_row, last_col = (int(side) for side in box)
    return slice(row, last_row + 1), slice(col, last_col + 1)


def window_at(origin: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a crop of this shape whose first pixel is `origin`."""
    (row, col), (height, width) = origin, shape
    return slice(row, row + height), slice(col, col + width)


def masks_to_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Tight boxes of (K, H, W) masks, (K, 4); NaN for empty masks."""
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    cols: NDArray[np.bool_] = np.any(masks, axis=1)
    height, width = masks.shape[1:]
    boxes = np.stack(
        [
            rows.argmax(1),
            cols.argmax(1),
            height - 1 - rows[:, ::-1].argmax(1),
            width - 1 - cols[:, ::-1].argmax(1),
        ],
        axis=1,
    ).astype(float)
    boxes[~rows.any(axis=1)] = np.nan
    return boxes


def mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; 0 when both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0


def box_iou(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection over union of boxes, (..., 4) against (..., 4), broadcast.

    Boxes run through pixel centres, so one pixel is added to each side.
    """
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.clip(high - low + 1, 0, None).prod(-1)
    areas = [np.prod(box[..., 2:] - box[..., :2] + 1, -1) for box in (first, second)]
    result: NDArray[np.float64] = shared / (areas[0] + areas[1] - shared)
    return result


def stability(logits: NDArray[np.floating[Any]], offset: float = 1.0) -> Any:
    """How little a mask changes when its threshold moves by `offset` up and down.

    The ratio of the two areas, which is their IoU because one contains the
    other (Kirillov et al. 2023, appendix B, "Stability").

    Parameters
    ----------
    logits : ndarray
        (..., h, w).
    offset : float
        Logits above and below the threshold of 0.

    Returns
    -------
    float or ndarray
        One value a mask, 0 for empty masks.
    """
    inner = np.count_nonzero(logits > offset, axis=(-2, -1))
    outer = np.count_nonzero(logits > -offset, axis=(-2, -1))
    return inner / np.maximum(outer, 1)


def labels_from_logits(
    logits: Iterable[NDArray[np.float32]], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Settle overlapping objects: each pixel goes to the largest positive logit.

    Parameters
    ----------
    logits : iterable of ndarray
        (H, W) float32 each, positive inside the object.
    shape : tuple of int
        (H, W).

    Returns
    -------
    ndarray
        (H, W) int32, object i painted as i + 1.
    """
    labels = np.zeros(shape, np.int32)
    best = np.zeros(shape, np.float32)
    for index, values in enumerate(logits, start=1):
        wins = values > best
        labels[wins] = index
        best[wins] = values[wins]
    return labels
