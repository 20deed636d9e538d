"""Split of a mask into parts, one for each point on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Depth = NDArray[np.float64]
    Parts = NDArray[np.int32]
    Seeds = Mapping[int, NDArray[np.integer]]

# Depths at which the mask is tried to be cut.
_LEVELS = 64


def split_mask(
    mask: Bools,
    points: NDArray[np.integer],
    spacing: Sequence[float] | None = None,
    slice_axis: int | None = None,
) -> Parts:
    """Split a mask at its narrowest places between points.

    The watershed of the distance to the background cuts where the mask is narrow. Each
    point stands for the deep part that it belongs to, so that it matters little where
    on that part it lies. Where the mask is nowhere narrow between points, each pixel
    goes to the nearest point.

    Parameters
    ----------
    mask : ndarray
        bool, of any number of dimensions.
    points : ndarray
        (N, ndim) pixels of the mask.
    spacing : sequence of float, optional
        Distance between pixels along each axis; 1 when None.
    slice_axis : int, optional
        Axis of the slices of a stack: what lies beyond its first and last slice does
        not count as background.

    Returns
    -------
    ndarray
        int32, i + 1 in the part of point i, 0 in the background.
    """
    from scipy import ndimage

    steps = np.ones(mask.ndim) if spacing is None else np.asarray(spacing, float)
    margins = np.array([axis != slice_axis for axis in range(mask.ndim)], int)
    padded = np.pad(mask, np.stack([margins, margins], axis=1))
    depth = ndimage.distance_transform_edt(padded, sampling=steps)
    inside = map(slice, margins, margins + mask.shape)
    seeds = dict(enumerate(np.asarray(points, int), start=1))
    return _split(mask, depth[tuple(inside)], seeds, steps)


def _split(mask: Bools, depth: Depth, seeds: Seeds, steps: Depth) -> Parts:
    """Cut a mask at its narrowest places, and then its parts with several seeds."""
    if len(seeds) == 1:
        return np.where(mask, next(iter(seeds)), 0).astype(np.int32)
    regions = _find_regions(mask, depth, seeds, steps)
    if regions is None:
        return _nearest_seed(mask, seeds, steps)
    parts = np.zeros(mask.shape, np.int32)
    for number, members in _by_region(regions, seeds).items():
        region = regions == number
        parts += _split(region, np.where(region, depth, 0), members, steps)
    return parts


def _find_regions(
    mask: Bools, depth: Depth, seeds: Seeds, steps: Depth
) -> Parts | None:
    """Find the most distinct regions of which several have seeds, if there are any.

    Regions grow from the separate parts that are deeper than some level. They are the
    more distinct the deeper the shallowest of those with seeds is below that level.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    best, found, count_before = 0.0, None, 1
    for level in np.linspace(0, depth.max(), _LEVELS, endpoint=False):
        cores, count = ndimage.label(depth > level)
        # Regions stay as they are until a part divides or ends.
        if count > 1 and count != count_before:
            heights = ndimage.maximum(depth, cores, range(1, count + 1))
            regions: Parts = watershed(-depth, cores, mask=mask)
            used = list(_by_region(regions, seeds))
            height = min(heights[number - 1] for number in used) - level
            if len(used) > 1 and 0 not in used and height > best:
                best, found = float(height), regions
        count_before = count
    if found is None:
        return None
    markers = np.where(np.isin(found, list(_by_region(found, seeds))), found, 0)
    grown: Parts = watershed(-depth, markers, mask=mask)
    missing = mask & (grown == 0)  # they touch no region with a seed
    nearest = ndimage.distance_transform_edt(
        grown == 0, sampling=steps, return_distances=False, return_indices=True
    )
    grown[missing] = grown[tuple(nearest)][missing]
    return grown


def _by_region(regions: Parts, seeds: Seeds) -> Mapping[int, Seeds]:
    """Return {number of a region: its seeds}."""
    groups: dict[int, dict[int, NDArray[np.integer]]] = {}
    for i, seed in seeds.items():
        groups.setdefault(int(regions[tuple(seed)]), {})[i] = seed
    return groups


def _nearest_seed(mask: Bools, seeds: Seeds, steps: Depth) -> Parts:
    pixels = np.argwhere(mask)
    distances = [(((pixels - s) * steps) ** 2).sum(axis=1) for s in seeds.values()]
    parts = np.zeros(mask.shape, np.int32)
    parts[mask] = np.array(list(seeds))[np.argmin(distances, axis=0)]
    return parts
