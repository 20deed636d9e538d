"""Watershed of instance maps: from foreground, depth and borders to objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int32]

# Probability from which a pixel is foreground.
_FOREGROUND = 0.5
# Two peaks of the depth are one object if the saddle between them is at most this much
# lower than the lower peak.
_MIN_DYNAMICS = 0.12
# How much a predicted border lowers the depth.
_BORDER_WEIGHT = 0.5
_SMOOTHING = 0.7
# Pieces of fewer pixels of the maps are noise.
_MIN_PIXELS = 8
_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """Maps of a part of a plane.

    Parameters
    ----------
    foreground, depth, border : ndarray
        (h, w) float32, see `napari_sam.nets.instance_head.InstanceMaps`.
    """

    foreground: Floats
    depth: Floats
    border: Floats


def split_objects(maps: Maps) -> Labels:
    """Split the foreground into objects.

    Each peak of the depth starts an object, and pieces that a shallow saddle separates
    are merged, in the order of the saddles. This is the watershed with dynamics
    (Grimaud 1992, "A new measure of contrast: the dynamics").

    Returns
    -------
    ndarray
        (h, w) int32.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    inside = maps.foreground > _FOREGROUND
    height = maps.depth - _BORDER_WEIGHT * maps.border
    height = ndimage.gaussian_filter(height, _SMOOTHING)
    height[~inside] = -1.0
    peaks = (height == ndimage.maximum_filter(height, 3)) & inside
    markers, count = ndimage.label(peaks, _NEIGHBOURS)
    if not count:
        return np.zeros(inside.shape, np.int32)
    pieces: Labels = watershed(-height, markers, mask=inside)
    merged = _merge_shallow(pieces, height, count)[pieces]
    merged = _connected(merged)
    sizes = np.bincount(merged.ravel())
    kept = sizes >= _MIN_PIXELS
    kept[0] = False
    labels: Labels = (np.cumsum(kept) * kept)[merged].astype(np.int32)
    return labels


def _merge_shallow(pieces: Labels, height: Floats, count: int) -> NDArray[np.int64]:
    """Return the object of each piece, merging over shallow saddles."""
    from scipy import ndimage

    first, second, saddle = _saddles(pieces, height)
    peak = np.full(count + 1, -np.inf)
    numbers = np.arange(count + 1)
    peak[1:] = ndimage.maximum(height, pieces, numbers[1:])
    parent = numbers.copy()

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for k in np.argsort(-saddle, kind="stable").tolist():
        a, b = root(int(first[k])), root(int(second[k]))
        if a == b:
            continue
        lower, higher = (a, b) if peak[a] <= peak[b] else (b, a)
        if peak[lower] - saddle[k] < _MIN_DYNAMICS:
            parent[lower] = higher
    return np.array([root(i) for i in range(count + 1)])


def _saddles(
    pieces: Labels, height: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return pairs of adjacent pieces, and the highest pass between each."""
    pairs, passes = [], []
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one, other = _shifted(pieces, shift)
        meet = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.stack([one[meet], other[meet]], 1))
        low, high = _shifted(height, shift)
        passes.append(np.minimum(low[meet], high[meet]))
    joined = np.sort(np.concatenate(pairs).astype(np.int64), axis=1)
    values = np.concatenate(passes)
    unique, inverse = np.unique(joined, axis=0, return_inverse=True)
    saddle = np.full(len(unique), -np.inf, np.float32)
    np.maximum.at(saddle, inverse.ravel(), values)
    return unique[:, 0], unique[:, 1], saddle


def _shifted(
    array: NDArray[Any], shift: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return views of an array and of its neighbours in a direction."""
    down, right = shift
    rows = array.shape[0] - down
    if right >= 0:
        width = array.shape[1] - right
        return array[:rows, :width], array[down:, right:]
    return array[:rows, -right:], array[down:, :right]


def _connected(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the parts of an object that do not touch labels of their own."""
    from scipy import ndimage

    pieces = np.zeros(labels.shape, np.int64)
    count = 0
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        parts, found = ndimage.label(labels[window] == number)
        pieces[window][parts > 0] = parts[parts > 0] + count
        count += found
    return pieces
