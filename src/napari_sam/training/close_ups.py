"""Parts of an embedding around objects: a decoder learns from them at less cost.

Nearly all the work of a mask decoder is done for each cell of the embedding, and what
decides about an object lies around it. Positions stay those of the whole plane, so that
the same weights answer on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# Low-resolution mask pixels a side of a cell.
_RATIO = 4
# Of the embedding's side: the smallest close-up, and what sides are multiples of.
_SMALLEST, _STEP = 1 / 4, 1 / 8
# Of the object's side; and of the embedding's, added to it.
_SPACE, _MARGIN = 1.4, 1 / 16
# Logit of what was not looked at: background.
_FAR = -10.0


@dataclass(frozen=True, slots=True, eq=False)
class CloseUps:
    """A square of the embedding for each of K objects, all of one size.

    Parameters
    ----------
    corners : ndarray
        (K, 2) int64, (row, col) of the first cell.
    side : int
        Cells.
    """

    corners: NDArray[np.int64]
    side: int

    @classmethod
    def around(cls, target: Tensor, grid: int, rng: np.random.Generator) -> Self | None:
        """Choose places and a size by chance, each object being within its square.

        Parameters
        ----------
        target : Tensor
            (K, h, w), the share of each low-resolution pixel that the object covers.
        grid : int
            Cells of a side of the embedding.
        rng : Generator
            Source of chance.

        Returns
        -------
        CloseUps or None
            None where an object is too large, or the plane too narrow, for a close-up.
        """
        cells = np.array(target.shape[1:]) // _RATIO
        first, last = _extents(target)
        first, last = first // _RATIO, np.minimum(last // _RATIO, cells - 1)
        step = int(grid * _STEP)
        needed = _SPACE * (last - first + 1).max() + grid * _MARGIN
        side = max(int(grid * _SMALLEST), int(np.ceil(needed / step)) * step)
        side += step * int(rng.integers(2))
        if side > min(grid - step, *cells):
            return None
        low = np.maximum(last - side + 1, 0)
        high = np.minimum(first, cells - side)
        return cls(rng.integers(np.minimum(low, high), high + 1), side)

    def cut(self, image: Tensor) -> Tensor:
        """Cut (K or 1, C, S, S) to (K, C, side, side)."""
        return self._cut(image, 1)

    def cut_masks(self, masks: Tensor) -> Tensor:
        """Cut (K, M, h, w) masks to (K, M, 4 side, 4 side)."""
        return self._cut(masks, _RATIO)

    def paste(self, masks: Tensor, size: int) -> Tensor:
        """Put (K, M, 4 side, 4 side) logits into (K, M, size, size) of background."""
        whole = masks.new_full((*masks.shape[:2], size, size), _FAR)
        for i, (rows, cols) in enumerate(self._windows(_RATIO)):
            whole[i, :, rows, cols] = masks[i]
        return whole

    def _cut(self, image: Tensor, ratio: int) -> Tensor:
        several = image.expand(len(self.corners), -1, -1, -1)
        parts = zip(several, self._windows(ratio), strict=True)
        return torch.stack([part[:, rows, cols] for part, (rows, cols) in parts])

    def _windows(self, ratio: int) -> list[tuple[slice, slice]]:
        return [
            (
                slice(row * ratio, (row + self.side) * ratio),
                slice(col * ratio, (col + self.side) * ratio),
            )
            for row, col in self.corners.tolist()
        ]


def _extents(target: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last (row, col) of each object, (K, 2)."""
    covered: NDArray[np.bool_] = (target > 0.5).cpu().numpy()
    # An object thinner than a pixel covers none by half.
    covered |= ~covered.any((1, 2), keepdims=True)
    first, last = [], []
    for axis in (2, 1):
        along: NDArray[np.bool_] = np.any(covered, axis=axis)
        first.append(along.argmax(1))
        last.append(along.shape[1] - 1 - along[:, ::-1].argmax(1))
    return np.stack(first, 1), np.stack(last, 1)
