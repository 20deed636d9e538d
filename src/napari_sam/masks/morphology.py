"""Masks of one object made tidy: holes, loose parts, steps between slices.

All functions take the bool mask of one object, cut out to the box that holds it,
(Z, H, W) with the stack along any axis, or (H, W), and return a new one of the same
shape. None makes the object larger than its box; each raises ValueError when mask,
axis or numbers cannot be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import check_axis, check_spacing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# In slices. Below, the neighbours' weights are cut off by scipy (at 4 sigma).
_SMALLEST_SIGMA = 0.125


def fill_holes(mask: NDArray[np.bool_], axis: int | None = None) -> NDArray[np.bool_]:
    """Fill background that the object closes off.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool.
    axis : int, optional
        Fill in every plane across this axis; when None, only cavities that are
        closed in 3D. A plane is filled alike in both cases.

    Returns
    -------
    ndarray
        Of the mask's shape. Background hangs together through faces (edges of
        pixels), so an object closes it off through corners as well.
    """
    from scipy.ndimage import generate_binary_structure, label

    mask = _as_mask(mask)
    links = generate_binary_structure(mask.ndim, 1)
    within = list(range(mask.ndim))
    if axis is not None and mask.ndim == 3:
        within.remove(check_axis(axis, 3))
        links = links & _middle(axis)
    regions, count = label(~mask, links)
    is_hole = np.ones(count + 1, bool)
    for side in within:
        is_hole[np.take(regions, [0, -1], side)] = False
    is_hole[0] = True  # the object itself
    filled: NDArray[np.bool_] = is_hole[regions]
    return filled


def keep_prompted(mask: NDArray[np.bool_], seeds: ArrayLike) -> NDArray[np.bool_]:
    """Keep the connected parts that hold a prompt.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool. Voxels that share a corner are connected.
    seeds : array-like
        (N, ndim) int, voxels that prompts lie on; those outside do not count.

    Returns
    -------
    ndarray
        Of the mask's shape. Where no part holds a seed, the largest remains.
    """
    mask = _as_mask(mask)
    parts, sizes = _parts(mask)
    places = np.reshape(np.asarray(seeds, dtype=np.intp), (-1, mask.ndim))
    inside = ((places >= 0) & (places < mask.shape)).all(axis=1)
    kept = np.zeros(len(sizes), bool)
    kept[parts[tuple(places[inside].T)]] = True
    kept[0] = False
    if not kept.any() and len(sizes) > 1:
        kept[1 + np.argmax(sizes[1:])] = True
    remaining: NDArray[np.bool_] = kept[parts]
    return remaining


def minimum_size(mask: NDArray[np.bool_], size_voxels: int) -> NDArray[np.bool_]:
    """Drop connected parts of fewer voxels than this.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool. Voxels that share a corner are connected.
    size_voxels : int
        The smallest part that remains.
    """
    check_size(size_voxels)
    parts, sizes = _parts(_as_mask(mask))
    kept = sizes >= size_voxels
    kept[0] = False
    remaining: NDArray[np.bool_] = kept[parts]
    return remaining


def smooth_across(
    mask: NDArray[np.bool_],
    axis: int,
    spacing: ArrayLike | None = None,
    radius: float = 1.0,
) -> NDArray[np.bool_]:
    """Smooth the steps of an object from slice to slice.

    Every slice becomes a map of signed distances to the object's outline, these are
    averaged along the stack with Gaussian weights, and the object is where the mean
    is positive. That is shape-based interpolation (Raya and Udupa 1990, IEEE Trans.
    Med. Imaging 9:32-42) with a Gaussian in place of two neighbours. Unlike a blurred
    mask, straight and tapering objects keep their size, and end slices remain: the
    Gaussian meets the outermost slice again beyond the end. Slices without the object
    stay so and separate what is smoothed. Where the average would leave nothing of a
    slice, as of a thin object that runs aslant, the slice stays as it was.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool; a plane is returned as it is.
    axis : int
        Of the stack.
    spacing : array-like, optional
        (ndim,) distance of neighbouring voxels along each axis.
    radius : float
        Standard deviation of the Gaussian: in slices, or in the unit of `spacing`
        where that is given.

    Returns
    -------
    ndarray
        Of the mask's shape.
    """
    mask = _as_mask(mask)
    sizes = check_spacing(spacing, mask.ndim)
    axis = check_axis(axis, mask.ndim)
    check_radius(radius)
    smoothed, sigma = mask.copy(), float(radius / sizes[axis])
    if mask.ndim == 2 or sigma < _SMALLEST_SIGMA:
        return smoothed
    stack, result = np.moveaxis(mask, axis, 0), np.moveaxis(smoothed, axis, 0)
    present: NDArray[np.bool_] = np.any(stack, axis=(1, 2))
    for run in _runs(present):
        result[run] = _smooth_run(stack[run], np.delete(sizes, axis), sigma)
    return smoothed


def innermost(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(row, col) of the pixel of a mask that lies farthest from its outline."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(np.argmax(depth), depth.shape))


def signed_distance(
    plane: NDArray[np.bool_], sizes: ArrayLike = (1.0, 1.0)
) -> NDArray[np.float32]:
    """Distance of pixel centres to an object's outline, positive inside.

    Parameters
    ----------
    plane : ndarray
        (H, W) bool; what lies beyond it is outside the object.
    sizes : array-like
        (2,) physical height and width of a pixel.

    Returns
    -------
    ndarray
        (H, W) float32, in the unit of the sizes.
    """
    from scipy.ndimage import distance_transform_edt

    # To centres on the other side, of which the outline is half a pixel short.
    half = np.asarray(sizes, float).min() / 2
    inside = distance_transform_edt(np.pad(plane, 1), sizes)[1:-1, 1:-1]
    outside = distance_transform_edt(~plane, sizes)
    distance: NDArray[np.float32] = np.where(plane, inside - half, half - outside)
    return distance.astype(np.float32)


def check_radius(radius: float) -> None:
    """Refuse what is no standard deviation."""
    if not (np.isfinite(radius) and radius >= 0):
        raise ValueError(f"Smoothing by {radius} is not possible: give 0 or more.")


def check_size(size: int) -> None:
    """Refuse what is no number of voxels."""
    if not (size >= 0 and float(size).is_integer()):
        raise ValueError(
            f"The smallest size {size} is no number of voxels: give 0 or more."
        )


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The connected parts, numbered from 1, and the voxels of each; of none first."""
    from scipy.ndimage import label

    parts, _ = label(mask, np.ones((3,) * mask.ndim))
    return parts, np.bincount(parts.ravel())


def _smooth_run(
    planes: NDArray[np.bool_], sizes: NDArray[np.float64], sigma: float
) -> NDArray[np.bool_]:
    """Smooth along the first axis, where every plane holds the object."""
    from scipy.ndimage import gaussian_filter1d

    if len(planes) == 1:
        return planes
    distances = np.stack([signed_distance(plane, sizes) for plane in planes])
    gaussian_filter1d(distances, sigma, axis=0, output=distances, mode="nearest")
    inside = distances > 0
    vanished = ~inside.any(axis=(1, 2))
    inside[vanished] = planes[vanished]
    return inside


def _runs(present: NDArray[np.bool_]) -> list[slice]:
    """Where True follows True without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]])))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _middle(axis: int) -> NDArray[np.bool_]:
    """(3, 3, 3), True where a neighbour lies in the same plane across the axis."""
    middle = np.zeros((3, 3, 3), bool)
    np.moveaxis(middle, axis, 0)[1] = True
    return middle


def _as_mask(mask: Any) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = np.asarray(mask)
    if array.dtype != bool or array.ndim not in (2, 3):
        raise ValueError(
            f"The mask has type {array.dtype} and shape {array.shape}: give a boolean "
            "mask of one object, with two or three axes."
        )
    return array
