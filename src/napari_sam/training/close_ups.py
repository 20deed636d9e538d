"""Crops of an image embedding around objects, for faster training.

The cost of a mask decoder is nearly proportional to the number of embedding cells,
and mostly the surroundings of an object matter. The positional encoding of a cell stays
that of the whole plane, so that the weights also work on whole planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_MASK_PIXELS_PER_CELL = 4
# Fractions of the side of the embedding: the smallest crop, and the step of its size.
_MIN_SIDE_FRACTION, _STEP_FRACTION = 1 / 4, 1 / 8
# Side of a crop: the side of the object times a factor, plus a fraction of the
# embedding.
_OBJECT_FACTOR, _MARGIN_FRACTION = 1.4, 1 / 16
_BACKGROUND_LOGIT = -10.0


@dataclass(frozen=True, slots=True, eq=False)
class CloseUps:
    """Square crops of an embedding, of equal size, one for each of K objects.

    Parameters
    ----------
    corners : ndarray
        (K, 2) int64, (row, col) of the first cell of each crop.
    side : int
        Side in cells.
    """

    corners: NDArray[np.int64]
    side: int

    @classmethod
    def around(cls, target: Tensor, grid: int, rng: np.random.Generator) -> Self | None:
        """Draw a size and positions at random, each object inside its crop.

        Parameters
        ----------
        target : Tensor
            (K, h, w) fraction of each low-resolution pixel that the object covers.
        grid : int
            Side of the embedding in cells.
        rng : Generator
            Random numbers.

        Returns
        -------
        CloseUps or None
            None when an object is too large or the plane too narrow for a crop.
        """
        cells = np.array(target.shape[1:]) // _MASK_PIXELS_PER_CELL
        first, last = (e // _MASK_PIXELS_PER_CELL for e in _extents(target))
        last = np.minimum(last, cells - 1)
        step = int(grid * _STEP_FRACTION)
        object_side = (last - first + 1).max()
        needed = _OBJECT_FACTOR * object_side + grid * _MARGIN_FRACTION
        side = max(int(grid * _MIN_SIDE_FRACTION), int(np.ceil(needed / step)) * step)
        side += step * int(rng.integers(2))
        if side > min(grid - step, *cells):
            return None
        low = np.maximum(last - side + 1, 0)
        high = np.minimum(first, cells - side)
        return cls(rng.integers(np.minimum(low, high), high + 1), side)

    def crop_embedding(self, embedding: Tensor) -> Tensor:
        """Crop (K or 1, C, S, S) to (K, C, side, side)."""
        return self._crop(embedding, 1)

    def crop_masks(self, masks: Tensor) -> Tensor:
        """Crop (K, M, h, w) masks to (K, M, 4 side, 4 side)."""
        return self._crop(masks, _MASK_PIXELS_PER_CELL)

    def paste_masks(self, masks: Tensor, size: int) -> Tensor:
        """Paste (K, M, 4 side, 4 side) logits into background, (K, M, size, size)."""
        pasted = masks.new_full((*masks.shape[:2], size, size), _BACKGROUND_LOGIT)
        for i, (rows, cols) in enumerate(self._windows(_MASK_PIXELS_PER_CELL)):
            pasted[i, :, rows, cols] = masks[i]
        return pasted

    def _crop(self, tensor: Tensor, pixels_per_cell: int) -> Tensor:
        expanded = tensor.expand(len(self.corners), -1, -1, -1)
        crops = zip(expanded, self._windows(pixels_per_cell), strict=True)
        return torch.stack([plane[:, rows, cols] for plane, (rows, cols) in crops])

    def _windows(self, pixels_per_cell: int) -> list[tuple[slice, slice]]:
        size = pixels_per_cell * self.side
        starts = (pixels_per_cell * self.corners).tolist()
        return [(slice(row, row + size), slice(col, col + size)) for row, col in starts]


def _extents(target: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last (row, col) of each object, (K, 2) each."""
    covered: NDArray[np.bool_] = (target > 0.5).cpu().numpy()
    # An object thinner than a pixel covers no pixel by half: use the whole plane.
    covered |= ~covered.any((1, 2), keepdims=True)
    first, last = [], []
    for axis in (2, 1):
        profile: NDArray[np.bool_] = np.any(covered, axis=axis)
        first.append(profile.argmax(1))
        last.append(profile.shape[1] - 1 - profile[:, ::-1].argmax(1))
    return np.stack(first, 1), np.stack(last, 1)
