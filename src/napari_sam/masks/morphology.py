"""Morphology of binary masks: holes, connected components, smoothing, distances.

Masks are (Z, H, W) with the stack along any axis, or (H, W). Each function returns a
new array of the same shape, and raises ValueError when mask, axis or numbers are not
valid.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.values import real_number, whole_number
from napari_sam.images.axes import check_axis, check_spacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

# In slices. scipy truncates the Gaussian at 4 sigma: below this sigma, neighbouring
# slices have no weight.
_MIN_SIGMA = 0.125


DIRECTIONS = (0, 1), (1, 0), (1, 1), (1, -1)
"""Half of the directions, as (rows, columns), in which pixels of a plane touch."""


def shifted(
    array: NDArray[Any], shift: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return views of an array and of its neighbours in a direction.

    Parameters
    ----------
    array : ndarray
        Of any number of dimensions.
    shift : sequence of int
        Where the neighbours lie, in pixels along each axis.
    """
    steps = list(zip(shift, array.shape, strict=True))
    one = tuple(slice(max(-s, 0), max(n - max(s, 0), 0)) for s, n in steps)
    other = tuple(slice(max(s, 0), max(n - max(-s, 0), 0)) for s, n in steps)
    return array[one], array[other]


def fill_holes(mask: NDArray[np.bool_], axis: int | None = None) -> NDArray[np.bool_]:
    """Fill holes: background that is enclosed by the object.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool.
    axis : int, optional
        Fill each plane across this axis by itself; when None, fill cavities that are
        closed in 3D. A plane is filled alike in both cases.

    Returns
    -------
    ndarray
        Of the mask's shape. Background is connected through faces (edges of pixels),
        so an object also encloses it with pixels that touch at corners.
    """
    from scipy.ndimage import binary_fill_holes, generate_binary_structure

    mask = _as_mask(mask)
    neighbours = generate_binary_structure(mask.ndim, 1)
    if axis is not None and mask.ndim == 3:
        np.moveaxis(neighbours, check_axis(axis, 3), 0)[[0, 2]] = False
    filled: NDArray[np.bool_] = binary_fill_holes(mask, neighbours)
    return filled


def keep_prompted(mask: NDArray[np.bool_], seeds: ArrayLike) -> NDArray[np.bool_]:
    """Keep the connected components that contain a prompt.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool. Voxels that share a corner are connected.
    seeds : array-like
        (N, ndim) int, the voxels of the prompts; those outside the mask are ignored.

    Returns
    -------
    ndarray
        Of the mask's shape. Where no component contains a seed, the largest remains.
    """
    mask = _as_mask(mask)
    prompted = components_at(mask, seeds)
    return prompted if prompted.any() else largest_component(mask)


def minimum_size(mask: NDArray[np.bool_], size_voxels: int) -> NDArray[np.bool_]:
    """Remove connected components of fewer voxels.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool. Voxels that share a corner are connected.
    size_voxels : int
        Size of the smallest component that remains.
    """
    from skimage.morphology import remove_small_objects

    mask = _as_mask(mask)
    size_voxels = whole_number(size_voxels, "size_voxels", least=0)
    if size_voxels <= 1:
        return mask.copy()
    if _has_max_size():  # scikit-image 0.26 and later
        size = {"max_size": int(size_voxels) - 1}
    else:
        size = {"min_size": int(size_voxels)}
    remaining: NDArray[np.bool_] = remove_small_objects(
        mask, connectivity=mask.ndim, **size
    )
    return remaining


def components_at(
    mask: NDArray[np.bool_], seeds: ArrayLike, connectivity: int | None = None
) -> NDArray[np.bool_]:
    """Keep the connected components that contain a seed.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool.
    seeds : array-like
        (N, ndim) int; voxels outside the mask or the array are ignored.
    connectivity : int, optional
        1 for neighbours that share a face (an edge in 2D), up to ndim for those that
        share a corner, the default; as in scikit-image.
    """
    components, sizes = _label(mask, connectivity)
    voxels = np.reshape(np.asarray(seeds, dtype=np.intp), (-1, mask.ndim))
    inside = ((voxels >= 0) & (voxels < mask.shape)).all(axis=1)
    kept = np.zeros(len(sizes), bool)
    kept[components[tuple(voxels[inside].T)]] = True
    kept[0] = False
    remaining: NDArray[np.bool_] = kept[components]
    return remaining


def largest_component(
    mask: NDArray[np.bool_], connectivity: int | None = None
) -> NDArray[np.bool_]:
    """Keep the largest connected component, the first of equals.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool; an empty mask remains empty.
    connectivity : int, optional
        See `components_at`.
    """
    components, sizes = _label(mask, connectivity)
    largest: NDArray[np.bool_] = (components == np.argmax(sizes)) & mask
    return largest


def large_components(
    mask: NDArray[np.bool_], min_size: float, connectivity: int | None = None
) -> list[NDArray[np.bool_]]:
    """Return the connected components of at least `min_size` voxels, largest first.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool.
    min_size : float
        In voxels.
    connectivity : int, optional
        See `components_at`.

    Returns
    -------
    list of ndarray
        Of the mask's shape, bool.
    """
    components, sizes = _label(mask, connectivity)
    order = np.argsort(-sizes, kind="stable")
    return [components == i for i in order if sizes[i] >= max(min_size, 1)]


def innermost(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return (row, col) of the pixel of a mask that is farthest from its outline."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(np.argmax(depth), depth.shape))


def smooth_across(
    mask: NDArray[np.bool_],
    axis: int,
    spacing: ArrayLike | None = None,
    radius: float = 1.0,
) -> NDArray[np.bool_]:
    """Smooth the steps of an object between slices.

    Each slice becomes a map of signed distances to the outline of the object. The
    maps are averaged along the stack with Gaussian weights; the object is where the
    mean is positive. This is shape-based interpolation (Raya and Udupa 1990, IEEE
    Trans. Med. Imaging 9:32-42) with a Gaussian in place of two neighbours. Unlike
    with a blurred mask, straight and tapering objects keep their size, and the end
    slices remain because the outermost slice is repeated beyond the end. Slices
    without the object stay empty, and the parts they separate are smoothed one by
    one. A slice that the mean would leave empty, as of a thin oblique object, stays
    as it was.

    Parameters
    ----------
    mask : ndarray
        (Z, H, W) or (H, W) bool; a plane is returned as it is.
    axis : int
        Of the stack.
    spacing : array-like, optional
        (ndim,) distance between neighbouring voxels along each axis.
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
    radius = real_number(radius, "radius", least=0)
    smoothed, sigma = mask.copy(), float(radius / sizes[axis])
    if mask.ndim == 2 or sigma < _MIN_SIGMA:
        return smoothed
    stack, result = np.moveaxis(mask, axis, 0), np.moveaxis(smoothed, axis, 0)
    has_object: NDArray[np.bool_] = np.any(stack, axis=(1, 2))
    for run in _runs(has_object):
        result[run] = _smooth_run(stack[run], np.delete(sizes, axis), sigma)
    return smoothed


def signed_distance(
    plane: NDArray[np.bool_], sizes: ArrayLike = (1.0, 1.0)
) -> NDArray[np.float32]:
    """Compute the distance of pixel centres to an object's outline, positive inside.

    Parameters
    ----------
    plane : ndarray
        (H, W) bool; everything beyond it is outside the object.
    sizes : array-like
        (2,) physical height and width of a pixel.

    Returns
    -------
    ndarray
        (H, W) float32, in the unit of the sizes.
    """
    from scipy.ndimage import distance_transform_edt

    # scipy measures to the nearest centre on the other side, half a pixel beyond the
    # outline.
    half = np.asarray(sizes, float).min() / 2
    inside = distance_transform_edt(np.pad(plane, 1), sizes)[1:-1, 1:-1]
    outside = distance_transform_edt(~plane, sizes)
    distance: NDArray[np.float32] = np.where(plane, inside - half, half - outside)
    return distance.astype(np.float32)


@functools.cache
def _has_max_size() -> bool:
    from skimage.morphology import remove_small_objects

    return "max_size" in inspect.signature(remove_small_objects).parameters


def _label(
    mask: NDArray[np.bool_], connectivity: int | None
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Label the connected components from 1, and count the voxels of each label.

    The count of label 0, the background, is given as 0.
    """
    from scipy.ndimage import generate_binary_structure, label

    neighbours = generate_binary_structure(mask.ndim, connectivity or mask.ndim)
    components, _ = label(mask, neighbours)
    sizes = np.bincount(components.ravel(), minlength=1)
    sizes[0] = 0
    return components, sizes


def _smooth_run(
    planes: NDArray[np.bool_], sizes: NDArray[np.float64], sigma: float
) -> NDArray[np.bool_]:
    """Smooth along the first axis; every plane contains the object."""
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
    """Return the runs of consecutive True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]])))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _as_mask(mask: Any) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = np.asarray(mask)
    if array.dtype != bool or array.ndim not in (2, 3):
        raise ValueError(
            f"The mask has type {array.dtype} and shape {array.shape}: give a boolean "
            "mask with two or three axes."
        )
    return array
