"""Neighbours: objects on one plane that touch, or nearly do."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import DIRECTIONS, shifted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.masks.painting import ObjectPlaneMask

# In pixels of the plane, or samples of a large one.
_REACHES = 1, 3
_MAX_SAMPLES = 1024


def neighbours(pieces: Sequence[ObjectPlaneMask]) -> list[set[int]]:
    """Find the neighbours of each object among others on the same plane.

    Returns
    -------
    list of set of int
        Positions of the neighbours in `pieces`.
    """
    found: list[set[int]] = [set() for _ in pieces]
    if len(pieces) < 2:
        return found
    numbers = _paint_numbers(pieces)
    count = len(pieces) + 1
    for reach, (down, right) in product(_REACHES, DIRECTIONS):
        first, second = shifted(numbers, (reach * down, reach * right))
        differs = (first != second) & (first > 0) & (second > 0)
        codes = first[differs].astype(np.int64) * count + second[differs]
        for code in np.unique(codes).tolist():
            one, other = divmod(code, count)
            found[one - 1].add(other - 1)
            found[other - 1].add(one - 1)
    return found


def _paint_numbers(pieces: Sequence[ObjectPlaneMask]) -> NDArray[np.int32]:
    """Paint each object with its position from 1; large planes are sampled."""
    regions = [piece.region for piece in pieces]
    starts = [min(region[axis].start for region in regions) for axis in (0, 1)]
    stops = [max(region[axis].stop for region in regions) for axis in (0, 1)]
    sides = np.subtract(stops, starts)
    step = max(1, -(-int(sides.max()) // _MAX_SAMPLES))
    numbers = np.zeros(-(-sides // step), np.int32)
    for number, piece in enumerate(pieces, start=1):
        offset = np.subtract(piece.origin, starts)
        row, col = (-offset % step).tolist()  # the first sample in the mask
        mask = piece.mask[row::step, col::step]
        top, left = (-(-offset // step)).tolist()
        part = numbers[top : top + mask.shape[0], left : left + mask.shape[1]]
        part[mask] = number
    return numbers
