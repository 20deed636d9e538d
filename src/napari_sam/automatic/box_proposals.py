"""Box search of automatic segmentation, for models trained on boxes.

A grid of square boxes is decoded, the large ones first. The mask of a large box often
shows several objects: each connected component, at several logit thresholds, proposes
a box. The proposals that most masks agree on are decoded, and their masks propose
again. Small boxes are left out where a good mask of at least their size is known.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidate import Candidate
from napari_sam.masks.morphology import largest_component
from napari_sam.masks.patch import box_iou, window_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_sam.automatic.crops import Crop
    from napari_sam.prediction.plane_transform import PlaneTransform

# Sides of the grid's boxes in pixels of a 256 px mask; the spacing is half a side.
_GRID_SIDES = (104.0, 68.0, 44.0, 28.0)
# Logit thresholds of the proposals: higher ones separate touching objects.
_LOGIT_THRESHOLDS = (0.0, 2.0, 4.0)
# Maximum number of proposals decoded after each side. Neither twice as many nor a
# second round found more on coins, nuclei and ellipses, for a sixth more decodes.
_MAX_PROPOSALS = 24
# Boxes above this IoU give the same mask.
_SAME_BOX_IOU = 0.75
# At the end good masks are decoded again from their own box: number of rounds, maximum
# number of boxes in each, and the IoU above which a decoded box counts as their own.
_POLISH_ROUNDS, _MAX_POLISHED, _OWN_BOX_IOU = 2, 96, 0.85
# Boxes are a little larger than their object, as in training: by a fraction of their
# sides, and at most by pixels of the mask (training of LiteMedSAM used up to 5, that of
# MedSAM up to 20 at four times the size).
_EXPANSION, _MAX_EXPANSION = 0.06, 2.5
# Shortest side of a component that proposes a box, in pixels of the mask.
_MIN_SIDE = 4
# A box of the grid is left out when this fraction of it is covered by masks of at least
# this quality.
_COVERED_FRACTION, _GOOD_QUALITY = 0.75, 0.6
# Masks much smaller than the box do not cover it: fraction of the box's area.
_MIN_COVERING_AREA = 0.6


class BoxProposalSearch:
    """Box search on one crop: yields batches of boxes and collects their masks.

    Parameters
    ----------
    crop : Crop
        The part of the plane to search.
    transform : PlaneTransform
        Maps the crop to the model's input.
    region : ndarray, optional
        (h, w) bool, the low-resolution mask that the crop covers; only boxes that
        meet it are decoded.
    """

    def __init__(
        self,
        crop: Crop,
        transform: PlaneTransform,
        region: NDArray[np.bool_] | None = None,
    ) -> None:
        self._crop, self._transform = crop, transform
        self._shape = transform.mask_shape
        self._region = region
        self._decoded = np.empty((0, 4))
        # Area of the largest good mask at each pixel.
        self._good_area = np.zeros(self._shape)
        self._proposals: list[NDArray[np.float64]] = []
        self.candidates: list[Candidate] = []

    @property
    def num_batches(self) -> int:
        """Number of batches, empty ones included."""
        return len(self._rounds)

    def batches(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield (number of the batch, (K, 4) boxes) in low-resolution pixels.

        Call `add_masks` with the masks of a batch before taking the next one.
        """
        for number, make_boxes in enumerate(self._rounds):
            boxes = make_boxes()
            boxes = boxes[self._meets_region(boxes)]
            if len(boxes):
                self._decoded = np.concatenate([self._decoded, boxes])
                yield number, boxes

    def add_masks(
        self,
        boxes: NDArray[np.float64],
        logits: NDArray[np.float32],
        pred_ious: NDArray[np.float64],
    ) -> None:
        """Add the (K, m, m) logits and (K,) predicted IoU of boxes of a batch."""
        for box, values, pred_iou in zip(boxes, logits, pred_ious, strict=True):
            self._propose(values)
            component, fraction = _largest_component_logits(values, self._shape)
            # Scattered masks are not objects, whatever IoU the model predicts.
            candidate = Candidate.from_logits(
                component, float(pred_iou) * fraction, self._crop, self._transform
            )
            if candidate is None:
                continue
            own_box = _expand(candidate.low_res_box[None], self._shape)[0]
            candidate = replace(candidate, agreement=float(box_iou(box, own_box)))
            self.candidates.append(candidate)
            if candidate.quality >= _GOOD_QUALITY:
                mask = candidate.mask
                part = self._good_area[window_at(candidate.origin, mask.shape)]
                np.maximum(part, mask * np.count_nonzero(mask), out=part)

    @property
    def _rounds(self) -> list[Callable[[], NDArray[np.float64]]]:
        """Functions that make the boxes of each batch from the masks so far."""
        grids = [partial(self._uncovered_grid, side) for side in _GRID_SIDES]
        paired = [make for grid in grids for make in (grid, self._best_proposals)]
        return [*paired, *[self._boxes_to_polish] * _POLISH_ROUNDS]

    def _propose(self, logits: NDArray[np.float32]) -> None:
        """Propose the boxes of the connected components of a mask."""
        from scipy.ndimage import find_objects, label

        unpadded = logits[: self._shape[0], : self._shape[1]]
        for threshold in _LOGIT_THRESHOLDS:
            components, _ = label(unpadded > threshold)
            for rows, cols in find_objects(components):
                box = np.array(
                    [rows.start, cols.start, rows.stop - 1, cols.stop - 1], float
                )
                if (box[2:] - box[:2] >= _MIN_SIDE - 1).all():
                    self._proposals.append(box)

    def _best_proposals(self) -> NDArray[np.float64]:
        """Return the new proposals, those of most masks first."""
        if not self._proposals:
            return np.empty((0, 4))
        boxes, counts = np.unique(np.stack(self._proposals), axis=0, return_counts=True)
        self._proposals = []
        boxes = _expand(boxes, self._shape)
        votes = (box_iou(boxes[:, None], boxes[None]) > _SAME_BOX_IOU) @ counts
        order = np.argsort(-votes, kind="stable")
        return self._new_boxes(boxes[order], _SAME_BOX_IOU, _MAX_PROPOSALS)

    def _boxes_to_polish(self) -> NDArray[np.float64]:
        """Return boxes of good masks not decoded from their own box, best first."""
        scored = [(c.pred_iou * c.stability_score, c) for c in self.candidates]
        good = [pair for pair in scored if pair[0] >= _GOOD_QUALITY]
        good.sort(key=lambda pair: -pair[0])
        boxes = np.array([c.low_res_box for _, c in good]).reshape(-1, 4)
        return self._new_boxes(_expand(boxes, self._shape), _OWN_BOX_IOU, _MAX_POLISHED)

    def _new_boxes(
        self, boxes: NDArray[np.float64], max_iou: float, max_count: int
    ) -> NDArray[np.float64]:
        """Return the first boxes that resemble neither a decoded box nor each other."""
        known = box_iou(boxes[:, None], self._decoded[None]) > max_iou
        free = np.logical_not(known).all(axis=1).reshape(-1)
        chosen: list[int] = []
        for i in range(len(boxes)):
            if free[i] and len(chosen) < max_count:
                chosen.append(i)
                free &= box_iou(boxes, boxes[i]) <= max_iou
        return boxes[chosen]

    def _uncovered_grid(self, side: float) -> NDArray[np.float64]:
        """Return the boxes of a grid that good masks of their size do not cover."""
        boxes = _grid(side, self._shape)
        covered = self._good_area > _MIN_COVERING_AREA * side**2
        return boxes[[_fraction_in(covered, box) < _COVERED_FRACTION for box in boxes]]

    def _meets_region(self, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        if self._region is None:
            return np.ones(len(boxes), bool)
        return np.array([_fraction_in(self._region, box) > 0 for box in boxes], bool)


def _largest_component_logits(
    logits: NDArray[np.float32], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], float]:
    """Make all but the largest component negative; return its fraction of the mask."""
    mask = logits[: shape[0], : shape[1]] > 0
    largest = largest_component(mask, connectivity=1)
    others = mask & ~largest
    if not others.any():
        return logits, 1.0
    kept = logits.copy()
    kept[: shape[0], : shape[1]][others] *= -1
    return kept, float(np.count_nonzero(largest) / np.count_nonzero(mask))


def _grid(side: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return square boxes about half a side apart, spread evenly over the plane."""
    starts = [
        np.array([(length - side) / 2])
        if side >= length
        else np.linspace(
            0, length - side, int(np.ceil((length - side) / (side / 2))) + 1
        )
        for length in shape
    ]
    rows, cols = (a.ravel() for a in np.meshgrid(*starts, indexing="ij"))
    return _clip(np.stack([rows, cols, rows + side - 1, cols + side - 1], 1), shape)


def _expand(boxes: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Expand tight boxes of masks to the size of box prompts in training."""
    margin = np.minimum(_EXPANSION * (boxes[:, 2:] - boxes[:, :2] + 1), _MAX_EXPANSION)
    return _clip(boxes + np.concatenate([-margin, margin], axis=1), shape)


def _clip(boxes: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    clipped: NDArray[np.float64] = np.clip(boxes, 0, np.tile(np.array(shape) - 1.0, 2))
    return clipped


def _fraction_in(mask: NDArray[np.bool_], box: NDArray[np.float64]) -> float:
    """Compute the fraction of a box that a mask covers."""
    row, col, last_row, last_col = np.rint(box).astype(int)
    return float(mask[row : last_row + 1, col : last_col + 1].mean())
