"""Everything in a plane on models that only know boxes.

Square boxes are laid over the plane, the large ones first. A mask of a large box
often shows several objects: each connected piece of it, at several levels of the
logits, is the proposal of a box. Proposals that many masks agree on are decoded, and
their masks propose again. Small boxes are not laid where a trusted mask of their
size or more is known.
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

# Sides of the laid boxes in pixels of a 256 mask, half a side apart.
_SIDES = (104.0, 68.0, 44.0, 28.0)
# Logits at which pieces of a mask are proposed: touching objects part when raised.
_LEVELS = (0.0, 2.0, 4.0)
# The most proposals that are decoded after each side. Neither twice as many of them nor
# a second round found more on coins, nuclei and ellipses, for a sixth more decodes.
_MOST = 24
# Boxes more alike than this give the same mask.
_SAME_BOX = 0.75
# Afterwards good masks are asked by their own box, in so many rounds and so many of
# them at most, unless a box more alike than this was.
_POLISHING, _MOST_POLISHED, _SETTLED = 2, 96, 0.85
# Boxes are a little larger than their object, as those of the training were: by a
# share of its sides, and at most by pixels of the mask (of up to 5 in the training
# of LiteMedSAM, and 20 at four times the size in that of MedSAM).
_LOOSE, _LOOSE_MOST = 0.06, 2.5
# Shortest side of a piece, in pixels of the mask.
_SHORTEST = 4
# A laid box is left out when so much of it is covered by masks trusted so far.
_COVERED, _TRUSTED = 0.75, 0.6
# Masks of so much less area than a box do not speak for what is in it.
_OF_SIDE = 0.6


class BoxProposalSearch:
    """The search on one plane: take boxes, tell their masks, until none is left.

    Parameters
    ----------
    crop, frame : Crop, PlaneTransform
        The part of the plane that is searched; see `Candidate`.
    region : ndarray, optional
        (h, w) bool, the low-resolution mask that the crop covers: only boxes that
        meet it are asked.
    """

    def __init__(
        self,
        crop: Crop,
        transform: PlaneTransform,
        region: NDArray[np.bool_] | None = None,
    ) -> None:
        self._crop, self._frame = crop, transform
        self._shape = shape = transform.mask_shape
        self._region = region
        self._tried = np.empty((0, 4))
        self._largest = np.zeros(shape)  # area of the trusted masks there
        self._proposed: list[NDArray[np.float64]] = []
        self.candidates: list[Candidate] = []

    def batches(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield (number of the batch, (K, 4) boxes) in low-resolution pixels.

        Masks of a batch must be told before the next one is taken.
        """
        for number, ask in enumerate(self._rounds):
            boxes = ask()
            boxes = boxes[self._in_region(boxes)]
            if len(boxes):
                self._tried = np.concatenate([self._tried, boxes])
                yield number, boxes

    @property
    def _rounds(self) -> list[Callable[[], NDArray[np.float64]]]:
        """What makes the boxes of each batch, from the masks of those before."""
        laid = [partial(self._open, side) for side in _SIDES]
        paired = [make for lay in laid for make in (lay, self._proposals)]
        return [*paired, *[self._unsettled] * _POLISHING]

    @property
    def count(self) -> int:
        """How many batches there are."""
        return len(self._rounds)

    def tell(
        self,
        boxes: NDArray[np.float64],
        logits: NDArray[np.float32],
        scores: NDArray[np.float64],
    ) -> None:
        """Take the (K, m, m) logits and the (K,) scores of a batch, or a part of it."""
        for box, values, score in zip(boxes, logits, scores, strict=True):
            self._propose(values)
            whole, share = _largest_piece(values, self._shape)
            # Scattered masks are no objects, whatever the model thinks of them.
            trusted = float(score) * share
            found = Candidate.of(whole, trusted, self._crop, self._frame)
            if found is None:
                continue
            own = _loose(found.low_box[None], self._shape)[0]
            found = replace(found, agreement=float(box_iou(box, own)))
            self.candidates.append(found)
            if found.quality >= _TRUSTED:
                part = self._largest[window_at(found.origin, found.mask.shape)]
                size = np.count_nonzero(found.mask)
                np.maximum(part, found.mask * size, out=part)

    def _propose(self, logits: NDArray[np.float32]) -> None:
        from scipy.ndimage import find_objects, label

        seen = logits[: self._shape[0], : self._shape[1]]
        for level in _LEVELS:
            pieces, _ = label(seen > level)
            for rows, cols in find_objects(pieces):
                box = np.array(
                    [rows.start, cols.start, rows.stop - 1, cols.stop - 1], float
                )
                if (box[2:] - box[:2] >= _SHORTEST - 1).all():
                    self._proposed.append(box)

    def _proposals(self) -> NDArray[np.float64]:
        """Boxes that were proposed since, most agreed first, none tried before."""
        if not self._proposed:
            return np.empty((0, 4))
        boxes, counts = np.unique(np.stack(self._proposed), axis=0, return_counts=True)
        self._proposed = []
        boxes = _loose(boxes, self._shape)
        votes = (box_iou(boxes[:, None], boxes[None]) > _SAME_BOX) @ counts
        order = np.argsort(-votes, kind="stable")
        return self._new(boxes[order], _SAME_BOX, _MOST)

    def _unsettled(self) -> NDArray[np.float64]:
        """Boxes of good masks that were not asked by their own box, best first."""
        good = [c for c in self.candidates if c.score * c.stability >= _TRUSTED]
        good.sort(key=lambda c: -c.score * c.stability)
        boxes = np.array([c.low_box for c in good]).reshape(-1, 4)
        return self._new(_loose(boxes, self._shape), _SETTLED, _MOST_POLISHED)

    def _new(
        self, boxes: NDArray[np.float64], alike: float, most: int
    ) -> NDArray[np.float64]:
        """The first boxes that are like none tried before and like no other."""
        known = box_iou(boxes[:, None], self._tried[None]) > alike
        free = np.logical_not(known).all(axis=1).reshape(-1)
        chosen: list[int] = []
        for i in range(len(boxes)):
            if free[i] and len(chosen) < most:
                chosen.append(i)
                free &= box_iou(boxes, boxes[i]) <= alike
        return boxes[chosen]

    def _open(self, side: float) -> NDArray[np.float64]:
        """Lay boxes, but not where objects of their size or more are known."""
        boxes = _laid(side, self._shape)
        known = self._largest > _OF_SIDE * side**2
        return boxes[[_share(known, box) < _COVERED for box in boxes]]

    def _in_region(self, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        if self._region is None:
            return np.ones(len(boxes), bool)
        return np.array([_share(self._region, box) > 0 for box in boxes], bool)


def _largest_piece(
    logits: NDArray[np.float32], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], float]:
    """Logits that are positive only in the largest piece; its share of the mask."""
    mask = logits[: shape[0], : shape[1]] > 0
    largest = largest_component(mask, connectivity=1)
    others = mask & ~largest
    if not others.any():
        return logits, 1.0
    kept = logits.copy()
    kept[: shape[0], : shape[1]][others] *= -1
    return kept, float(np.count_nonzero(largest) / np.count_nonzero(mask))


def _laid(side: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Square boxes half a side apart, spread evenly over the plane."""
    starts = [
        np.array([(length - side) / 2])
        if side >= length
        else np.linspace(
            0, length - side, int(np.ceil((length - side) / (side / 2))) + 1
        )
        for length in shape
    ]
    rows, cols = (a.ravel() for a in np.meshgrid(*starts, indexing="ij"))
    boxes = np.stack([rows, cols, rows + side - 1, cols + side - 1], axis=1)
    laid: NDArray[np.float64] = np.clip(boxes, 0, np.tile(np.array(shape) - 1.0, 2))
    return laid


def _loose(boxes: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Grow boxes of masks to what is asked of the model, cut to the plane."""
    margin = np.minimum(_LOOSE * (boxes[:, 2:] - boxes[:, :2] + 1), _LOOSE_MOST)
    expand_box = boxes + np.concatenate([-margin, margin], axis=1)
    cut: NDArray[np.float64] = np.clip(expand_box, 0, np.tile(np.array(shape) - 1.0, 2))
    return cut


def _share(marked: NDArray[np.bool_], box: NDArray[np.float64]) -> float:
    row, col, last_row, last_col = np.rint(box).astype(int)
    return float(marked[row : last_row + 1, col : last_col + 1].mean())
