"""Overlaps of any number of masks on a plane, within the memory of the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import mask_to_window, resolve_overlaps, window_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.masks.patch import MaskPatch

    # (row, col) of the first pixel on the plane, and the mask, (h, w) bool.
    Part = tuple[tuple[int, int], NDArray[np.bool_]]

# Patches are kept up to this many pixels; beyond, a map of their winners is smaller.
_KEPT_PIXELS = 8_000_000
_WORTH = 3


class PatchOverlaps:
    """Assigns each pixel of overlapping objects to the one with the largest logit.

    Patches are added in order; where logits are equal, the earlier one gets the pixel.
    While their pixels exceed by far the region that they cover, they are replaced by
    a map of that region: the largest logit, and whose it is.
    """

    def __init__(self) -> None:
        self._count = 0
        self._patches: list[MaskPatch] = []
        self._map: _WinnerMap | None = None

    def add(self, patch: MaskPatch) -> None:
        """Add the mask of the next object."""
        self._count += 1
        self._patches.append(patch)
        pixels = sum(p.logits.size for p in self._patches)
        if pixels <= _KEPT_PIXELS:
            return
        low, high = _extent(self._patches)
        if self._map is not None or pixels > _WORTH * np.prod(high - low):
            self._put_into_map()

    def resolve(self) -> list[Part | None]:
        """Return what each object gets, cropped to its box; None for nothing."""
        if self._map is None:
            masks = resolve_overlaps(self._patches)
            return [
                _crop(patch.origin, mask)
                for patch, mask in zip(self._patches, masks, strict=True)
            ]
        self._put_into_map()
        return self._map.parts(self._count)

    def _put_into_map(self) -> None:
        if not self._patches:
            return
        low, high = _extent(self._patches)
        if self._map is None:
            self._map = _WinnerMap(low, high)
        self._map.grow(low, high)
        first = self._count - len(self._patches) + 1
        for number, patch in enumerate(self._patches, start=first):
            self._map.add(number, patch)
        self._patches = []


class _WinnerMap:
    """Largest logit of each pixel of a region, and the number of its patch."""

    def __init__(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> None:
        self._cover(low, high)

    def _cover(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> None:
        self._low, self._high = low, high
        self._logits = np.zeros(high - low, np.float32)
        self._owners = np.zeros(high - low, np.int32)

    def grow(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> None:
        """Cover a region, too."""
        low, high = np.minimum(low, self._low), np.maximum(high, self._high)
        if (low == self._low).all() and (high == self._high).all():
            return
        logits, owners, first = self._logits, self._owners, self._low - low
        place = window_at((int(first[0]), int(first[1])), logits.shape)
        self._cover(low, high)
        self._logits[place], self._owners[place] = logits, owners

    def add(self, number: int, patch: MaskPatch) -> None:
        """Give a patch the pixels where its logit is positive and the largest."""
        if not patch.logits.size:
            return
        first = np.array(patch.origin) - self._low
        place = window_at((int(first[0]), int(first[1])), patch.logits.shape)
        wins = patch.logits > self._logits[place]
        np.copyto(self._logits[place], patch.logits, where=wins, casting="same_kind")
        self._owners[place][wins] = number

    def parts(self, count: int) -> list[Part | None]:
        """Return what each of the patches got."""
        from scipy.ndimage import find_objects

        boxes = find_objects(self._owners, count)
        found: list[Part | None] = []
        for number, box in enumerate(boxes, start=1):
            if box is None:
                found.append(None)
                continue
            rows, cols = box
            origin = int(self._low[0]) + rows.start, int(self._low[1]) + cols.start
            found.append((origin, self._owners[box] == number))
        return found


def _extent(patches: list[MaskPatch]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the end (row, col) of all patches that are not empty."""
    boxes = [(p.origin, p.logits.shape) for p in patches if p.logits.size]
    if not boxes:
        return np.zeros(2, np.intp), np.zeros(2, np.intp)
    origins = np.array([origin for origin, _ in boxes], np.intp)
    sides = np.array([shape for _, shape in boxes], np.intp)
    return origins.min(axis=0), (origins + sides).max(axis=0)


def _crop(origin: tuple[int, int], mask: NDArray[np.bool_]) -> Part | None:
    window = mask_to_window(mask)
    if window is None:
        return None
    rows, cols = window
    # A copy: a view would keep all of a large mask in memory.
    return (origin[0] + rows.start, origin[1] + cols.start), mask[window].copy()
