"""Edits of label arrays of any size and kind: new numbers, and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.label_tiles import label_box, tiles
from napari_sam.masks.painting import PixelChanges
from napari_sam.masks.splitting import split_mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.masks.label_tiles import Region


def renumber(labels: Any, new_ids: Mapping[int, int]) -> PixelChanges:
    """Find the pixels that change when labels get other numbers.

    Parameters
    ----------
    labels : array-like
        Label array of any shape: numpy, zarr or dask; not changed.
    new_ids : mapping
        {label: its new number}. Several labels may get the same one, and 0 removes a
        label.

    Raises
    ------
    ValueError
        When the array contains none of the labels.
    """
    changing = {old: new for old, new in new_ids.items() if old != new}
    if not changing:
        raise ValueError("The labels have these numbers already.")
    old_ids = np.array(sorted(changing), labels.dtype)
    values_of = np.array([changing[int(i)] for i in old_ids], labels.dtype)
    indices, values = [], []
    for tile in tiles(labels):
        block = np.asarray(labels[tile])
        place = np.searchsorted(old_ids, block)
        place[place == len(old_ids)] = 0
        inside = np.nonzero(old_ids[place] == block)
        if len(inside[0]):
            indices.append(_in_array(inside, tile))
            values.append(values_of[place[inside]])
    if not values:
        raise ValueError(f"There is no {_names(new_ids)}: select another label.")
    joined = tuple(np.concatenate(axis) for axis in zip(*indices, strict=True))
    return PixelChanges(joined, np.concatenate(values), 0)


def ids_in_order(labels: Any) -> dict[int, int]:
    """Return {label: its place among the labels}, from 1; background stays 0."""
    found: set[int] = set()
    for tile in tiles(labels):
        found.update(np.unique(np.asarray(labels[tile])).tolist())
    return {label: i for i, label in enumerate(sorted(found - {0}), start=1)}


def split_label(
    labels: Any,
    label: int,
    points: NDArray[np.float64],
    first_new: int,
    region: Region,
    spacing: Sequence[float] | None = None,
    slice_axis: int | None = None,
) -> PixelChanges:
    """Find the pixels that change when a label is split into one part a point.

    The largest part keeps the label; see `split_mask`.

    Parameters
    ----------
    labels : array-like
        Label array of any shape: numpy, zarr or dask; not changed.
    label : int
        The label.
    points : ndarray
        (N, n) pixels of the array, on the label, N at least 2.
    first_new : int
        Label of the first new part; the others get the next ones.
    region : tuple
        The plane or stack of the array that is split: n entries.
    spacing : sequence of float, optional
        Distance between pixels along each axis of the array; 1 when None.
    slice_axis : int, optional
        Axis of the array that counts the slices of the region, if it is a stack.

    Raises
    ------
    ValueError
        When the region does not contain the label.
    """
    free = [a for a, entry in enumerate(region) if isinstance(entry, slice)]
    box = label_box(labels, label, region)
    if box is None:
        raise ValueError(f"There is no label {label} here: select another label.")
    window = tuple(
        side if isinstance(entry, slice) else entry
        for entry, side in zip(region, box, strict=True)
    )
    own = np.asarray(labels[window]) == label
    start = np.array([box[a].start for a in free])
    parts = split_mask(
        own,
        np.rint(points[:, free]).astype(int) - start,
        None if spacing is None else [spacing[a] for a in free],
        None if slice_axis is None else free.index(slice_axis),
    )
    sizes = np.bincount(parts.ravel(), minlength=len(points) + 1)[1:]
    others = [i for i in range(len(points)) if i != int(sizes.argmax())]
    new_ids = np.zeros(len(points) + 1, labels.dtype)
    for number, part in enumerate(others, start=first_new):
        new_ids[part + 1] = number
    inside = np.nonzero(new_ids[parts])
    return PixelChanges(_in_array(inside, window), new_ids[parts[inside]], 0)


def _in_array(
    inside: Sequence[NDArray[np.intp]], region: Region
) -> tuple[NDArray[np.intp], ...]:
    """Move indices into a region to the array, one index array an axis."""
    positions = iter(inside)
    count = len(inside[0])
    return tuple(
        next(positions) + entry.start
        if isinstance(entry, slice)
        else np.full(count, entry)
        for entry in region
    )


def _names(labels: Mapping[int, int]) -> str:
    which = ", ".join(str(label) for label in sorted(labels))
    return f"label {which}" if len(labels) == 1 else f"labels {which}"
