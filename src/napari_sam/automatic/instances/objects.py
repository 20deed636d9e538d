"""Objects of a block of a plane or stack: maps to masks, with their quality."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.object_quality import quality_of
from napari_sam.masks.patch import MaskPatch
from napari_sam.masks.watershed import Maps, connected_parts, split_objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window

# Smallest and largest probability that becomes a logit.
_LOWEST, _HIGHEST = 0.01, 0.99


def objects_of(
    values: NDArray[np.float32], area: Window, owned: Window, scale: float
) -> Iterator[tuple[MaskPatch, float]]:
    """Split a part of a plane into objects.

    Parameters
    ----------
    values : ndarray
        (3, h, w) blended maps of `area`.
    area, owned : Window
        The part of the plane, and the part of it in which the objects' centroids must
        lie, so that neighbouring parts share no object.
    scale : float
        Pixels of the maps over those of the plane.

    Yields
    ------
    patch : MaskPatch
        On the plane.
    quality : float
        Estimated probability that it is an object.
    """
    from scipy import ndimage

    maps = Maps(*values)
    labels = split_objects(maps)
    qualities = quality_of(labels, maps)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[window] == number
        centre = np.argwhere(mask).mean(axis=0) + [part.start for part in window]
        if owned.holds((centre + 0.5) / scale - 0.5 + area.origin):
            patch = _on_plane(maps.foreground, labels, number, window, area, scale)
            if patch.logits.size:
                yield patch, float(qualities[number - 1])


@dataclass(frozen=True, slots=True, eq=False)
class PlaneParts:
    """The parts of objects of a block of a stack that lie on one plane.

    Parameters
    ----------
    numbers : tuple of int
        The object of each part, from 1 in the block.
    patches : tuple of MaskPatch
        The parts, each of one piece, on the plane.
    sections : ndarray
        (n,) int64, the objects that have pixels of the maps, increasing.
    diameters, qualities : ndarray
        (n,) float64 of their cross-sections: the square root of the area, and the
        estimated probability that each is an object.
    """

    numbers: tuple[int, ...]
    patches: tuple[MaskPatch, ...]
    sections: NDArray[np.int64]
    diameters: NDArray[np.float64]
    qualities: NDArray[np.float64]


def split_stack(
    values: NDArray[np.float32], area: Window, owned: Window, scale: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Split a part of all planes of a stack into objects.

    Parameters
    ----------
    values : ndarray
        (3, Z, h, w) blended maps of `area` in each plane.
    area, owned, scale
        See `objects_of`.

    Returns
    -------
    labels : ndarray
        (Z, h, w) int32, N labels.
    numbers : ndarray
        (N + 1,) int64, the number of each label from 1 on; 0 for the background, and
        for objects whose centroids do not lie in `owned`.
    """
    from scipy import ndimage

    labels = split_objects(Maps(*values))
    numbers, number = np.zeros(int(labels.max()) + 1, np.int64), count(1)
    for label, part in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[part] == label
        centre = np.argwhere(inside).mean(axis=0) + [side.start for side in part]
        if owned.holds((centre[1:] + 0.5) / scale - 0.5 + area.origin):
            numbers[label] = next(number)
    return labels, numbers


def parts_of_plane(
    labels: NDArray[np.int32],
    values: NDArray[np.float32],
    numbers: NDArray[np.int64],
    area: Window,
    scale: float,
) -> PlaneParts:
    """Cut the objects of `split_stack` on one plane out of it, and measure them.

    Parameters
    ----------
    labels : ndarray
        (h, w) int32, the plane of the result of `split_stack`.
    values : ndarray
        (3, h, w) the plane of its maps.
    numbers : ndarray
        Its second result.
    area, scale
        See `objects_of`.
    """
    from scipy import ndimage

    quality = quality_of(labels, Maps(*values))
    diameters = np.sqrt(np.bincount(labels.ravel()))
    sections = np.flatnonzero(numbers[: len(diameters)] * diameters)
    found, patches = [], []
    pieces = connected_parts(labels)
    for piece, window in enumerate(ndimage.find_objects(pieces), start=1):
        number = numbers[labels[window][pieces[window] == piece][0]]
        if number:
            patch = _on_plane(values[0], pieces, piece, window, area, scale)
            if patch.logits.size:
                found.append(int(number))
                patches.append(patch)
    return PlaneParts(
        tuple(found),
        tuple(patches),
        numbers[sections],
        diameters[sections],
        quality[sections - 1],
    )


def mean_qualities(planes: Sequence[PlaneParts], count: int) -> NDArray[np.float64]:
    """Estimate for each object of a block the probability that it is one.

    Parameters
    ----------
    planes : sequence of PlaneParts
        All planes, in order.
    count : int
        Number of objects.

    Returns
    -------
    ndarray
        (count + 1,) the mean of the cross-sections of each object, weighted by their
        diameters; the first entry is of no object.
    """
    total, weight = np.zeros((2, count + 1))
    for plane in planes:
        total[plane.sections] += plane.diameters * plane.qualities
        weight[plane.sections] += plane.diameters
    mean: NDArray[np.float64] = total / np.maximum(weight, 1)
    return mean


def _on_plane(
    foreground: NDArray[np.float32],
    labels: NDArray[np.signedinteger[Any]],
    number: int,
    window: tuple[slice, slice],
    area: Window,
    scale: float,
) -> MaskPatch:
    """Return an object's mask at the resolution of the plane."""
    from scipy import ndimage

    around = tuple(slice(max(w.start - 1, 0), w.stop + 1) for w in window)
    probability = np.clip(foreground[around], _LOWEST, _HIGHEST)
    logits = np.abs(np.log(probability / (1 - probability))) + 1e-3
    logits = np.where(labels[around] == number, logits, -logits).astype(np.float32)
    start = [part.start for part in around]
    if scale == 1:
        row, col = np.add(start, area.origin).tolist()
        return MaskPatch.from_logits(logits, (row, col))
    places, origin = [], []
    for axis, (first, size) in enumerate(zip(start, logits.shape, strict=True)):
        low = max(int(np.ceil(first / scale - 0.5)), 0)
        high = min(int((first + size) / scale + 0.5), area.shape[axis])
        pixels = np.arange(low, high)
        places.append(np.clip((pixels + 0.5) * scale - 0.5 - first, 0, size - 1))
        origin.append(area.origin[axis] + low)
    grid = np.meshgrid(*places, indexing="ij")
    finer = ndimage.map_coordinates(logits, grid, order=1, mode="nearest")
    return MaskPatch.from_logits(finer, (origin[0], origin[1]))
