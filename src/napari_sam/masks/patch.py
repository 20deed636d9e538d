"""Mask patches: the mask of one object on a plane, cropped; boxes, IoU and overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Logit of painted masks: beyond those of models, so that they win every overlap. Half
# precision holds it.
PAINTED_LOGIT = 6e4


@dataclass(frozen=True, slots=True, eq=False)
class MaskPatch:
    """The mask of one object on a plane, cropped to the object.

    Parameters
    ----------
    origin : tuple of int
        (row, col) of the crop's first pixel on the plane.
    logits : ndarray
        (h, w) floating, positive inside the object; (0, 0) for an empty mask.
    """

    origin: tuple[int, int]
    logits: NDArray[np.floating[Any]]

    @classmethod
    def empty(cls) -> Self:
        """Make a patch without pixels."""
        return cls((0, 0), np.empty((0, 0), np.float32))

    @classmethod
    def from_logits(
        cls, logits: NDArray[np.floating[Any]], origin: tuple[int, int] = (0, 0)
    ) -> Self:
        """Crop logits tightly to the object.

        Parameters
        ----------
        logits : ndarray
            (h, w) floating, positive inside the object. The crop is copied.
        origin : tuple of int
            (row, col) of the first logit on the plane.
        """
        window = mask_to_window(logits > 0)
        if window is None:
            return cls.empty()
        rows, cols = window
        # A copy: a view would keep all the logits in memory.
        return cls(
            (int(origin[0]) + rows.start, int(origin[1]) + cols.start),
            logits[window].copy(),
        )

    @classmethod
    def from_mask(
        cls,
        mask: NDArray[np.bool_],
        origin: tuple[int, int] = (0, 0),
        logit: float = 1.0,
    ) -> Self:
        """Crop a binary mask tightly to the object.

        Parameters
        ----------
        mask : ndarray
            (h, w) bool.
        origin : tuple of int
            (row, col) of the mask's first pixel on the plane.
        logit : float
            Logit inside the object; outside it is `-logit`.
        """
        values = np.where(mask, np.float32(logit), np.float32(-logit))
        return cls.from_logits(values, origin)

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the crop on the plane."""
        return window_at(self.origin, self.logits.shape)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask inside `region`, (h, w) bool."""
        inside: NDArray[np.bool_] = self.logits > 0
        return inside

    @property
    def box(self) -> NDArray[np.float64]:
        """(row_min, col_min, row_max, col_max) on the plane; the mask is not empty."""
        tight = mask_to_box(self.mask)
        assert tight is not None
        moved: NDArray[np.float64] = tight + np.tile(self.origin, 2)
        return moved

    def holds(self, point: Sequence[float]) -> bool:
        """Tell whether the pixel of a (row, col) point of the plane is in the mask."""
        row, col = (round(p) - o for p, o in zip(point, self.origin, strict=True))
        height, width = self.logits.shape
        inside = 0 <= row < height and 0 <= col < width
        return inside and bool(self.logits[row, col] > 0)

    @property
    def centroid(self) -> NDArray[np.float64]:
        """(row, col) on the plane, the mean of the mask's pixels; NaN when empty."""
        centre: NDArray[np.float64] = np.argwhere(self.mask).mean(axis=0) + self.origin
        return centre


def mask_to_box(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Find the tight box of a mask, through the centres of its outermost pixels.

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
    """Find the rows and columns of a mask's tight box; None for an empty mask."""
    box = mask_to_box(mask)
    if box is None:
        return None
    row, col, last_row, last_col = (int(side) for side in box)
    return slice(row, last_row + 1), slice(col, last_col + 1)


def window_at(origin: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of a crop from its origin and (h, w) shape."""
    (row, col), (height, width) = origin, shape
    return slice(row, row + height), slice(col, col + width)


def on_common_canvas(
    patches: Sequence[MaskPatch], outside: float, margin: int = 0
) -> tuple[tuple[int, int], list[NDArray[np.floating[Any]]]]:
    """Place patches on canvases of one shape, the smallest that holds them all.

    Parameters
    ----------
    patches : sequence of MaskPatch
        Of one plane; at least one.
    outside : float
        Logit of the pixels outside a patch.
    margin : int
        Pixels added on each side.

    Returns
    -------
    origin : tuple of int
        (row, col) of the canvas's first pixel on the plane.
    logits : list of ndarray
        (h, w) for each patch, of its dtype.
    """
    low = np.min([p.origin for p in patches], axis=0) - margin
    high = np.max([np.add(p.origin, p.logits.shape) for p in patches], axis=0) + margin
    canvases = []
    for patch in patches:
        canvas = np.full(high - low, outside, patch.logits.dtype)
        canvas[window_at(tuple(patch.origin - low), patch.logits.shape)] = patch.logits
        canvases.append(canvas)
    return (int(low[0]), int(low[1])), canvases


def mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Compute the IoU (intersection over union) of two masks; 0 when both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0


def patch_iou(first: MaskPatch, second: MaskPatch) -> float:
    """Compute the IoU of two patches of one plane; 0 when both are empty."""
    low = np.maximum(first.origin, second.origin)
    high = np.minimum(
        *(np.add(patch.origin, patch.logits.shape) for patch in (first, second))
    )
    shape = np.maximum(high - low, 0)
    if not shape.all():
        return 0.0
    one, other = (
        patch.mask[window_at(tuple(low - patch.origin), tuple(shape))]
        for patch in (first, second)
    )
    intersection = np.count_nonzero(one & other)
    areas = np.count_nonzero(first.mask) + np.count_nonzero(second.mask)
    return intersection / (areas - intersection) if intersection else 0.0


def overlap_fraction(
    first: tuple[int, int],
    one: NDArray[np.bool_],
    second: tuple[int, int],
    other: NDArray[np.bool_],
) -> float:
    """Compute the fraction of the smaller of two masks that lies in the other.

    Parameters
    ----------
    first, second : tuple of int
        (row, col) of the first pixel of each mask.
    one, other : ndarray
        (h, w) bool.
    """
    low = np.maximum(first, second)
    high = np.minimum(np.add(first, one.shape), np.add(second, other.shape))
    size = tuple(np.maximum(high - low, 0).tolist())
    smaller = min(np.count_nonzero(one), np.count_nonzero(other))
    if not (all(size) and smaller):
        return 0.0
    overlap = (
        one[window_at(tuple(low - first), size)]
        & other[window_at(tuple(low - second), size)]
    )
    return float(np.count_nonzero(overlap) / smaller)


def box_iou(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the IoU of boxes, (..., 4) against (..., 4), broadcast.

    Boxes run through pixel centres, so one pixel is added to each side.
    """
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    intersection = np.clip(high - low + 1, 0, None).prod(-1)
    areas = [np.prod(box[..., 2:] - box[..., :2] + 1, -1) for box in (first, second)]
    result: NDArray[np.float64] = intersection / (areas[0] + areas[1] - intersection)
    return result


def stability(logits: NDArray[np.floating[Any]], offset: float = 1.0) -> Any:
    """Compute the stability score of masks.

    That is the IoU of the masks at a raised and at a lowered threshold, or the ratio
    of their areas, because one contains the other (Kirillov et al. 2023, appendix B,
    "Stability").

    Parameters
    ----------
    logits : ndarray
        (..., h, w).
    offset : float
        The thresholds are `offset` and `-offset`.

    Returns
    -------
    float or ndarray
        One value per mask; 0 for empty masks.
    """
    inner = np.count_nonzero(logits > offset, axis=(-2, -1))
    outer = np.count_nonzero(logits > -offset, axis=(-2, -1))
    return inner / np.maximum(outer, 1)


def resolve_overlaps(patches: Sequence[MaskPatch]) -> list[NDArray[np.bool_]]:
    """Assign each pixel of overlapping objects to the one with the largest logit.

    Parameters
    ----------
    patches : sequence of MaskPatch
        Of one plane. Where logits are equal, the earlier patch gets the pixel.

    Returns
    -------
    list of ndarray
        (h, w) bool for each patch: its mask without the pixels of other objects.
    """
    masks = [patch.mask for patch in patches]
    starts = np.array([p.origin for p in patches]).reshape(-1, 2)
    stops = starts + np.array([p.logits.shape for p in patches]).reshape(-1, 2)
    for later in range(1, len(patches)):
        meets = (starts[:later] < stops[later]) & (stops[:later] > starts[later])
        for earlier in np.flatnonzero(meets.all(axis=1)).tolist():
            low = np.maximum(starts[earlier], starts[later])
            shape = np.minimum(stops[earlier], stops[later]) - low
            first, second = (
                window_at(tuple(low - starts[i]), tuple(shape))
                for i in (earlier, later)
            )
            later_wins = patches[later].logits[second] > patches[earlier].logits[first]
            masks[later][second] &= later_wins
            masks[earlier][first] &= ~later_wins
    return masks


def label_outlines(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Find the pixels of objects that touch another label, (H, W) bool."""
    from skimage.segmentation import find_boundaries

    outlines: NDArray[np.bool_] = find_boundaries(labels, mode="inner")
    return outlines
