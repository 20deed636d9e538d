"""Boxes, overlaps, stability and borders of masks; painting masks into labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class MaskPatch:
    """One object on a plane, cut out around its mask.

    Parameters
    ----------
    origin : tuple of int
        (row, col) of the first pixel on the plane.
    logits : ndarray
        (h, w) floating, positive inside the object; (0, 0) of an empty mask.
    """

    origin: tuple[int, int]
    logits: NDArray[np.floating[Any]]

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns on the plane."""
        return window_at(self.origin, self.logits.shape)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask inside `region`, (h, w) bool."""
        inside: NDArray[np.bool_] = self.logits > 0
        return inside

    @property
    def box(self) -> NDArray[np.float64]:
        """(row_min, col_min, row_max, col_max) on the plane; not of an empty mask."""
        tight = mask_to_box(self.mask)
        assert tight is not None
        moved: NDArray[np.float64] = tight + np.tile(self.origin, 2)
        return moved

    @property
    def centroid(self) -> NDArray[np.float64]:
        """(row, col) on the plane, the mean of the mask's pixels; NaN when empty."""
        centre: NDArray[np.float64] = np.argwhere(self.mask).mean(axis=0) + self.origin
        return centre


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


def patch_iou(first: MaskPatch, second: MaskPatch) -> float:
    """Intersection over union of two masks of one plane; 0 when both are empty."""
    low = np.maximum(first.origin, second.origin)
    high = np.minimum(
        *(np.add(patch.origin, patch.logits.shape) for patch in (first, second))
    )
    shared = np.maximum(high - low, 0)
    if not shared.all():
        return 0.0
    one, other = (
        patch.mask[window_at(tuple(low - patch.origin), tuple(shared))]
        for patch in (first, second)
    )
    both = np.count_nonzero(one & other)
    areas = np.count_nonzero(first.mask) + np.count_nonzero(second.mask)
    return both / (areas - both) if both else 0.0


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


def border_contrast(
    plane: NDArray[Any],
    mask: NDArray[np.bool_],
    origin: tuple[int, int] = (0, 0),
    plane_shape: tuple[int, int] | None = None,
) -> float:
    """Mean brightness inside a mask less that of a ring of equal area around it.

    Parameters
    ----------
    plane : ndarray
        (h, w) or (h, w, C): the plane, or a smaller rendition of it. Colours are
        averaged, NaN and infinities do not count.
    mask : ndarray
        bool, the full plane or a part of it.
    origin : tuple of int
        (row, col) on the full plane of the mask's first pixel.
    plane_shape : tuple of int, optional
        (H, W) of the full plane; the shape of `plane` when None.

    Returns
    -------
    float
        In units of the plane; 0 for empty or full masks.
    """
    from scipy.ndimage import distance_transform_edt

    seen = _tight_sample(mask, origin, plane.shape[:2], plane_shape)
    if seen is None:
        return 0.0
    mask, (row, col) = seen
    reach = int(np.ceil(np.sqrt(np.count_nonzero(mask)) / 4)) + 1
    top, left = max(row - reach, 0), max(col - reach, 0)
    bottom, right = row + mask.shape[0] + reach, col + mask.shape[1] + reach
    gray = plane[top:bottom, left:right].astype(np.float32)
    gray = gray.mean(-1) if gray.ndim == 3 else gray
    inside = np.zeros(gray.shape, bool)
    inside[window_at((row - top, col - left), mask.shape)] = mask
    ring = ~inside & (distance_transform_edt(~inside) <= reach)
    finite = np.isfinite(gray)
    inside, ring = inside & finite, ring & finite
    if not (inside.any() and ring.any()):
        return 0.0
    return float(gray[inside].mean() - gray[ring].mean())


def _tight_sample(
    mask: NDArray[np.bool_],
    origin: tuple[int, int],
    shape: tuple[int, ...],
    plane_shape: tuple[int, int] | None,
) -> tuple[NDArray[np.bool_], tuple[int, int]] | None:
    """The mask at the pixel centres of a rendition, cut tight, and its origin there."""
    under, first = [], []
    for start, size, full, count in zip(
        origin, mask.shape, plane_shape or shape, shape, strict=True
    ):
        pixels = ((np.arange(count) + 0.5) * (full / count)).astype(int) - start
        under.append(pixels[(pixels >= 0) & (pixels < size)])
        first.append(int(np.searchsorted(pixels, 0)))
    sampled = mask[np.ix_(*under)]
    window = mask_to_window(sampled)
    if window is None:
        return None
    row, col = (f + w.start for f, w in zip(first, window, strict=True))
    return sampled[window], (row, col)


def resolve_overlaps(patches: Sequence[MaskPatch]) -> list[NDArray[np.bool_]]:
    """Settle overlapping objects: each pixel goes to the largest positive logit.

    Parameters
    ----------
    patches : sequence of MaskPatch
        Of one plane. Where logits are equal, the earlier patch wins.

    Returns
    -------
    list of ndarray
        (h, w) bool for each patch: the part of its mask that it wins.
    """
    won = [patch.mask for patch in patches]
    starts = np.array([p.origin for p in patches]).reshape(-1, 2)
    stops = starts + np.array([p.logits.shape for p in patches]).reshape(-1, 2)
    for later in range(1, len(patches)):
        meets = (starts[:later] < stops[later]) & (stops[:later] > starts[later])
        for earlier in np.flatnonzero(meets.all(axis=1)).tolist():
            low = np.maximum(starts[earlier], starts[later])
            shared = np.minimum(stops[earlier], stops[later]) - low
            first, second = (
                window_at(tuple(low - starts[i]), tuple(shared))
                for i in (earlier, later)
            )
            loses = patches[later].logits[second] > patches[earlier].logits[first]
            won[later][second] &= loses
            won[earlier][first] &= ~loses
    return won


def labels_from_patches(
    patches: Sequence[MaskPatch], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Paint objects into a plane, (H, W) int32, object i as i + 1."""
    labels = np.zeros(shape, np.int32)
    for number, (patch, won) in enumerate(
        zip(patches, resolve_overlaps(patches), strict=True), start=1
    ):
        labels[patch.region][won] = number
    return labels


def label_outlines(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Pixels of objects beside pixels of another label, (H, W)."""
    from skimage.segmentation import find_boundaries

    outlines: NDArray[np.bool_] = find_boundaries(labels, mode="inner")
    return outlines


# Beyond all logits of models: what was painted by hand is not argued with.
_PAINTED = 6e4  # as large as half precision holds


def paint_patch(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> MaskPatch:
    """A mask painted by hand as a patch; it wins against every other object."""
    window = mask_to_window(mask)
    if window is None:
        return MaskPatch((0, 0), np.empty((0, 0), np.float32))
    rows, cols = window
    logits = np.where(mask[window], np.float32(_PAINTED), np.float32(-_PAINTED))
    return MaskPatch((origin[0] + rows.start, origin[1] + cols.start), logits)
