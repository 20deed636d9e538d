"""Watershed of instance maps: from foreground, depth and borders to objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.morphology import DIRECTIONS, shifted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int32]

# Probability from which a pixel is foreground.
_FOREGROUND = 0.5
# Two peaks of the depth are one object if the saddle between them is at most this much
# lower than the lower peak: in a plane, and in a stack, whose planes differ by noise.
_MIN_DYNAMICS = {2: 0.12, 3: 0.25}
# How much a predicted border lowers the depth.
_BORDER_WEIGHT = 0.5
# In pixels, of the rows and columns, and of the planes of a stack.
_SMOOTHING, _SMOOTHING_OF_PLANES = 0.7, 1.0
# Pieces of fewer pixels of the maps are noise.
_MIN_PIXELS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """Maps of a part of a plane, or of all planes of a stack.

    Parameters
    ----------
    foreground, depth, border : ndarray
        (h, w) or (Z, h, w) float32, see `napari_sam.nets.instance_head.InstanceMaps`.
    """

    foreground: Floats
    depth: Floats
    border: Floats


def split_objects(maps: Maps) -> Labels:
    """Split the foreground into objects.

    Each peak of the depth starts an object, and pieces that a shallow saddle separates
    are merged, in the order of the saddles. This is the watershed with dynamics
    (Grimaud 1992, "A new measure of contrast: the dynamics"). In a stack objects
    continue through the planes.

    Returns
    -------
    ndarray
        (h, w) or (Z, h, w) int32.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    inside = maps.foreground > _FOREGROUND
    height = maps.depth - _BORDER_WEIGHT * maps.border
    sigma = (_SMOOTHING_OF_PLANES,) * (height.ndim - 2) + (_SMOOTHING,) * 2
    height = ndimage.gaussian_filter(height, sigma)
    height[~inside] = -1.0
    peaks = (height == ndimage.maximum_filter(height, 3)) & inside
    markers, count = ndimage.label(peaks, np.ones((3,) * height.ndim, bool))
    if not count:
        return np.zeros(inside.shape, np.int32)
    pieces: Labels = watershed(-height, markers, mask=inside)
    merged = _merge_shallow(pieces, height, count)[pieces]
    merged = connected_parts(merged)
    sizes = np.bincount(merged.ravel())
    kept = sizes >= _MIN_PIXELS
    kept[0] = False
    labels: Labels = (np.cumsum(kept) * kept)[merged].astype(np.int32)
    return labels


def _merge_shallow(pieces: Labels, height: Floats, count: int) -> NDArray[np.int64]:
    """Return the object of each piece, merging over shallow saddles."""
    first, second, saddle = _saddles(pieces, height)
    highest = np.full(count + 1, -np.inf, height.dtype)
    inside = pieces > 0
    np.maximum.at(highest, pieces[inside], height[inside])
    peak = highest.astype(np.float64)
    parent = np.arange(count + 1)

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
        if peak[lower] - saddle[k] < _MIN_DYNAMICS[pieces.ndim]:
            parent[lower] = higher
    return np.array([root(i) for i in range(count + 1)])


def _saddles(
    pieces: Labels, height: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return pairs of adjacent pieces, and the highest pass between each."""
    pairs, passes = [], []
    shifts = [(0,) * (pieces.ndim - 2) + direction for direction in DIRECTIONS]
    if pieces.ndim == 3:
        shifts.append((1, 0, 0))  # planes touch where pixels have the same place
    for shift in shifts:
        one, other = shifted(pieces, shift)
        meet = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.stack([one[meet], other[meet]], 1))
        low, high = shifted(height, shift)
        passes.append(np.minimum(low[meet], high[meet]))
    joined = np.sort(np.concatenate(pairs).astype(np.int64), axis=1)
    values = np.concatenate(passes)
    unique, inverse = np.unique(joined, axis=0, return_inverse=True)
    saddle = np.full(len(unique), -np.inf, np.float32)
    np.maximum.at(saddle, inverse.ravel(), values)
    return unique[:, 0], unique[:, 1], saddle


def connected_parts(labels: NDArray[np.signedinteger[Any]]) -> NDArray[np.int64]:
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
