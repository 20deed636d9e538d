"""Targets of an instance head: the maps that it should predict for labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int32]

_NO_LABEL = 2**30


def instance_targets(labels: Labels) -> NDArray[np.uint8]:
    """Compute foreground, depth and borders between objects.

    Parameters
    ----------
    labels : ndarray
        (h, w) int32, at the resolution of the network's input.

    Returns
    -------
    ndarray
        (3, h, w) uint8, 255 is 1; see `napari_sam.nets.instance_head.InstanceMaps`.
    """
    from scipy import ndimage

    touching = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        first = np.take(labels, range(labels.shape[axis] - 1), axis)
        second = np.take(labels, range(1, labels.shape[axis]), axis)
        meet = (first != second) & (first > 0) & (second > 0)
        edge = np.zeros(labels.shape, bool)
        before = (slice(None),) * axis + (slice(None, -1),)
        after = (slice(None),) * axis + (slice(1, None),)
        edge[before] |= meet
        edge[after] |= meet
        touching |= edge
    # Gaps of two pixels between neighbours count as well.
    near = ndimage.grey_dilation(labels, (3, 3))
    far = -ndimage.grey_dilation(np.where(labels > 0, -labels, -_NO_LABEL), (3, 3))
    touching |= (near > 0) & (near != far) & (far < _NO_LABEL)
    maps = np.stack([labels > 0, depth_of(labels), touching])
    targets: NDArray[np.uint8] = np.rint(255 * np.clip(maps, 0, 1)).astype(np.uint8)
    return targets


def depth_of(labels: Labels) -> NDArray[np.float64]:
    """Compute the distance to the border of the object, over its largest distance.

    Parameters
    ----------
    labels : ndarray
        (h, w) int32.

    Returns
    -------
    ndarray
        (h, w), 0 outside objects, 1 at the innermost pixels.
    """
    from scipy import ndimage

    edges = inner_edges(labels)
    depth = ndimage.distance_transform_edt((labels > 0) & ~edges) + (labels > 0)
    largest = ndimage.maximum(depth, labels, np.arange(labels.max() + 1))
    largest = np.maximum(np.asarray(largest, float), 1)
    depth = depth / largest[labels]
    depth[labels == 0] = 0
    return np.asarray(depth)


def inner_edges(labels: Labels) -> NDArray[np.bool_]:
    """Return the pixels of objects next to something else, (h, w)."""
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        changed = np.diff(labels, axis=axis) != 0
        for part in (slice(1, None), slice(None, -1)):
            edges[(slice(None),) * axis + (part,)] |= changed
    return edges & (labels > 0)
