"""Label arrays of any size and kind, read tile by tile: numpy, zarr, dask."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

# Of a label array: an integer or a slice without step for each axis.
Region = tuple[slice | int, ...]

# Arrays of chunks are read by whole chunks, at least this many pixels at a time.
_TILE_SIZE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class FixedAxes:
    """A label array at one index of some axes; nothing is read before it is indexed.

    Parameters
    ----------
    array : array-like
        The labels.
    fixed : mapping
        {axis: index}.
    """

    array: Any
    fixed: Mapping[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the axes that are not fixed."""
        return tuple(int(self.array.shape[axis]) for axis in self._free)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Sides of the chunks."""
        chunks = _chunks(self.array, everywhere(self.array))
        return tuple(chunks[axis] for axis in self._free)

    def __getitem__(self, index: Region) -> NDArray[Any]:
        entries = iter(index)
        full = (
            self.fixed[axis] if axis in self.fixed else next(entries)
            for axis in range(self.array.ndim)
        )
        return np.asarray(self.array[tuple(full)])

    @property
    def _free(self) -> list[int]:
        return [axis for axis in range(self.array.ndim) if axis not in self.fixed]


def everywhere(array: Any) -> Region:
    """Return the region of a whole array."""
    return (slice(None),) * len(array.shape)


def tiles(array: Any, region: Region | None = None) -> Iterator[Region]:
    """Yield the regions of the tiles of a region, in the order of the array.

    Tiles consist of whole chunks and have about a million pixels, so that no more of
    the array is in memory at a time.

    Parameters
    ----------
    array : array-like
        The labels: numpy, zarr or dask.
    region : tuple, optional
        Part of the array; all of it when None.
    """
    region = everywhere(array) if region is None else region
    sides = _tile_sides(array, region)
    parts: list[list[slice | int]] = []
    for entry, size, side in zip(region, array.shape, sides, strict=True):
        if not isinstance(entry, slice):
            parts.append([entry])
            continue
        start, stop, _ = entry.indices(int(size))
        # Tiles begin where chunks do.
        edges = range(start - start % side, stop, side)
        parts.append([slice(max(e, start), min(e + side, stop)) for e in edges])
    yield from product(*parts)


def contains_label(array: Any, label: int, region: Region | None = None) -> bool:
    """Tell whether a region of an array contains a label."""
    if isinstance(array, np.ndarray) and _is_small(array, region):
        return bool((array[region] == label).any())
    return any((_read(array, tile) == label).any() for tile in tiles(array, region))


def label_box(
    array: Any, label: int, region: Region | None = None
) -> tuple[slice, ...] | None:
    """Return the bounding box of a label within a region; None when it is not there.

    The box has a slice for each axis of the array.
    """
    low = high = None
    for tile in tiles(array, region):
        found = _read(array, tile) == label
        if not found.any():
            continue
        positions = iter(np.nonzero(np.atleast_1d(found)))
        ranges = []
        for entry in tile:
            if isinstance(entry, slice):
                inside = next(positions)
                ranges.append(
                    (entry.start + inside.min(), entry.start + inside.max() + 1)
                )
            else:
                ranges.append((entry, entry + 1))
        first, last = np.array(ranges).T
        low = first if low is None else np.minimum(low, first)
        high = last if high is None else np.maximum(high, last)
    if low is None or high is None:
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def largest_label(array: Any) -> int:
    """Return the largest label of an array; 0 when it is empty."""
    if isinstance(array, np.ndarray):
        return int(array.max(initial=0))
    return max((int(_read(array, t).max(initial=0)) for t in tiles(array)), default=0)


def run_starts(values: NDArray[Any]) -> NDArray[np.intp]:
    """Return where runs of equal values begin, in an array of at least one value."""
    return np.flatnonzero(np.r_[True, values[1:] != values[:-1]])


def read_pixels(array: Any, indices: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    """Return single pixels, one index array per axis; reads a box in each tile."""
    if isinstance(array, np.ndarray) or not len(indices[0]):
        return np.asarray(array[tuple(indices)])
    sides = _tile_sides(array, everywhere(array))
    counts = [-(-int(n) // side) for n, side in zip(array.shape, sides, strict=True)]
    tile_of = [axis // side for axis, side in zip(indices, sides, strict=True)]
    number = np.ravel_multi_index(tile_of, counts)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order])) + 1
    values = np.empty(len(number), array.dtype)
    for members in np.split(order, starts):
        inside = [axis[members] for axis in indices]
        low = [int(axis.min()) for axis in inside]
        box = tuple(
            slice(first, int(axis.max()) + 1)
            for first, axis in zip(low, inside, strict=True)
        )
        at = tuple(axis - first for axis, first in zip(inside, low, strict=True))
        values[members] = np.asarray(array[box])[at]
    return values


def c_order_blocks(array: Any, region: tuple[slice, ...]) -> Iterator[NDArray[Any]]:
    """Yield the pixels of a region as flat arrays, in C order.

    Their concatenation is the flattened region; each has about four million pixels.
    """
    if isinstance(array, np.ndarray) and _is_small(array, region):
        yield array[region].ravel()
        return
    spans = [
        range(*entry.indices(int(size)))
        for entry, size in zip(region, array.shape, strict=True)
    ]
    sides = [1] * len(spans)
    budget = 4 * _TILE_SIZE
    for axis in reversed(range(len(spans))):
        sides[axis] = min(max(1, budget), max(1, len(spans[axis])))
        if sides[axis] < len(spans[axis]):
            break  # axes before this one are taken one index at a time
        budget //= sides[axis]
    parts = (
        [slice(span[i], span[min(i + n, len(span)) - 1] + 1) for i in starts]
        for span, n in zip(spans, sides, strict=True)
        for starts in [range(0, len(span), n)]
    )
    for block in product(*parts):
        yield np.asarray(array[block]).ravel()


def _is_small(array: NDArray[Any], region: Region | None) -> bool:
    """Tell quickly that a region is no larger than a tile."""
    return region is not None and array[region].size <= _TILE_SIZE


def _read(array: Any, region: Region) -> NDArray[Any]:
    return np.asarray(array[region])


def _tile_sides(array: Any, region: Region) -> list[int]:
    """Grow chunks, the last axes first, to the size of a tile."""
    sides = _chunks(array, region)
    for axis in reversed(range(len(sides))):
        if isinstance(region[axis], slice):
            size = max(1, int(array.shape[axis]))
            times = max(1, _TILE_SIZE // int(np.prod(sides)))
            sides[axis] = min(
                sides[axis] * times, -(-size // sides[axis]) * sides[axis]
            )
    return sides


def _chunks(array: Any, region: Sequence[Any]) -> list[int]:
    """Return the sides of the chunks; 1 along axes at one index, and for numpy."""
    chunks = getattr(array, "chunks", None) or (1,) * len(array.shape)
    # dask lists the sides of all chunks along each axis.
    largest = [max(c) if isinstance(c, tuple) else c for c in chunks]
    return [
        max(1, int(side)) if isinstance(entry, slice) else 1
        for side, entry in zip(largest, region, strict=True)
    ]
