"""Objects of a block of a plane or stack: maps to masks, with their quality."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.object_quality import quality_of
from napari_sam.masks.patch import MaskPatch
from napari_sam.masks.watershed import Maps, connected_parts, split_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def objects_of_stack(
    values: NDArray[np.float32], area: Window, owned: Window, scale: float
) -> Iterator[tuple[int, int, MaskPatch, float]]:
    """Split a part of all planes of a stack into objects, and yield it by plane.

    Parameters
    ----------
    values : ndarray
        (3, Z, h, w) blended maps of `area` in each plane.
    area, owned, scale
        See `objects_of`.

    Yields
    ------
    number : int
        Number of the object, from 1.
    index : int
        Plane.
    patch : MaskPatch
        A connected part of the object on that plane.
    quality : float
        Estimated probability that the object is one: the mean of its cross-sections,
        weighted by their diameters.
    """
    from scipy import ndimage

    labels = split_objects(Maps(*values))
    qualities = _stack_qualities(labels, values)
    numbers, number = np.zeros(len(qualities) + 1, int), count(1)
    for label, part in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[part] == label
        centre = np.argwhere(inside).mean(axis=0) + [side.start for side in part]
        if owned.holds((centre[1:] + 0.5) / scale - 0.5 + area.origin):
            numbers[label] = next(number)
    for index, plane in enumerate(labels):
        pieces = connected_parts(plane)
        for piece, window in enumerate(ndimage.find_objects(pieces), start=1):
            label = plane[window][pieces[window] == piece][0]
            if numbers[label]:
                patch = _on_plane(values[0, index], pieces, piece, window, area, scale)
                if patch.logits.size:
                    yield numbers[label], index, patch, float(qualities[label - 1])


def _stack_qualities(
    labels: NDArray[np.int32], values: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the quality of each object of a stack, (N,)."""
    total, weight = np.zeros((2, int(labels.max())))
    for index, plane in enumerate(labels):
        quality = quality_of(plane, Maps(*values[:, index]))
        diameters = np.sqrt(np.bincount(plane.ravel())[1:])
        total[: len(quality)] += diameters * quality
        weight[: len(quality)] += diameters
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
