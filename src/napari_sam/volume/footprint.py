"""Footprint: where a propagation looked, to tell whether others would have met it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.masks.patch import MaskPatch


@dataclass(eq=False)
class Footprint:
    """Where the objects of a propagation were looked for and found.

    Objects of two propagations that do not meet get the same masks as in one: they
    share no window, whose objects are decoded together; no masks of theirs overlap;
    and none reaches into the territory of another.

    Parameters
    ----------
    windows : set
        (slice, window) in which objects were looked for.
    crops : list
        (slice, row, col, row stop, col stop) of masks, before and after overlaps were
        resolved.
    claims : list
        (first slice, last slice, row, col, row stop, col stop) of territories.
    empty : set of int
        Slices that were taken to show nothing.
    """

    windows: set[tuple[int, Window | None]] = field(default_factory=set)
    crops: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    claims: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    empty: set[int] = field(default_factory=set)

    def add_mask(self, slice_index: int, patch: MaskPatch) -> None:
        """Add the crop of a mask."""
        if patch.logits.size:
            self.crops.append((slice_index, *_corners(patch)))

    def add_territory(self, slice_index: int, reach: float, patch: MaskPatch) -> None:
        """Add what the mask of a prompted slice claims on `reach` slices around it."""
        first, last = int(slice_index - reach), int(np.ceil(slice_index + reach))
        self.claims.append((first, last, *_corners(patch)))

    def bounds(self) -> tuple[float, ...]:
        """Return first slice, row, col and last slice, row, col; inf if nothing."""
        boxes = [(z, z, *corners) for z, *corners in self.crops] + self.claims
        if not boxes:
            return (np.inf,) * 3 + (-np.inf,) * 3
        low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
        return (*low[[0, 2, 3]].tolist(), *high[[1, 4, 5]].tolist())

    def meets(self, other: Footprint) -> bool:
        """Tell whether objects of both may have changed each other's masks."""
        if self.windows & other.windows:
            return True
        for one, second in ((self, other), (other, self)):
            shown = {index for index, _ in second.windows}
            if (one.empty & shown) - second.empty:
                return True
            crops = np.array(one.crops, np.int64).reshape(-1, 5)
            claims = np.array(second.claims, np.int64).reshape(-1, 6)
            if _any_meet(crops[:, [0, 0, 1, 2, 3, 4]], claims):
                return True
        mine, others = (
            np.array(f.crops, np.int64).reshape(-1, 5)[:, [0, 0, 1, 2, 3, 4]]
            for f in (self, other)
        )
        return _any_meet(mine, others)


def meeting_groups(footprints: Sequence[Footprint]) -> list[list[int]]:
    """Group the footprints that meet, directly or through others, by their numbers."""
    parents = list(range(len(footprints)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    owners: dict[tuple[int, Window | None], int] = {}
    for i, footprint in enumerate(footprints):
        for place in footprint.windows:
            parents[root(i)] = root(owners.setdefault(place, i))
    for i, j in _near(footprints):
        if root(i) != root(j) and footprints[i].meets(footprints[j]):
            parents[root(j)] = root(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(footprints)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _near(footprints: Sequence[Footprint]) -> Iterator[tuple[int, int]]:
    """Yield pairs whose masks and territories are near each other as a whole."""
    bounds = np.array([footprint.bounds() for footprint in footprints])
    has_empty = np.array([bool(footprint.empty) for footprint in footprints])
    for j in range(1, len(footprints)):
        low, high = bounds[:j, :3], bounds[:j, 3:]
        near = (low <= bounds[j, 3:]).all(axis=1) & (high >= bounds[j, :3]).all(axis=1)
        near |= has_empty[:j] | has_empty[j]
        yield from ((i, j) for i in np.flatnonzero(near).tolist())


def _corners(patch: MaskPatch) -> tuple[int, int, int, int]:
    row, col = patch.origin
    height, width = patch.logits.shape
    return row, col, row + height, col + width


def _any_meet(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Tell whether any boxes of two lists overlap, (N, 6) as in `claims`."""
    if not len(one) or not len(other):
        return False
    # Most pairs are far from each other as a whole.
    low, high = one[:, [0, 2, 3]].min(axis=0), one[:, [1, 4, 5]].max(axis=0)
    near = (other[:, [0, 2, 3]] <= high) & (other[:, [1, 4, 5]] >= low)
    for first, last, row, col, row_stop, col_stop in other[near.all(axis=1)].tolist():
        meets = (one[:, 0] <= last) & (one[:, 1] >= first)
        meets &= (one[:, 2] < row_stop) & (one[:, 4] > row)
        meets &= (one[:, 3] < col_stop) & (one[:, 5] > col)
        if meets.any():
            return True
    return False
