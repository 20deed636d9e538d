"""Objects of a label array cleaned up, each in its own box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.measurements import check_labels, label_planes
from napari_sam.masks.morphology import (
    check_radius,
    check_size,
    fill_holes,
    innermost,
    keep_prompted,
    minimum_size,
    smooth_across,
)
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.masks.patch import Patch
    from napari_sam.volume.results import SliceResult
    from napari_sam.volume.stack_prompts import ObjectPrompts

__all__ = [
    "CleanUp",
    "Window",
    "apply_to_labels",
    "fill_holes",
    "keep_prompted",
    "minimum_size",
    "object_windows",
    "prompt_seeds",
    "prompted_pixels",
    "smooth_across",
]

Window = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What is done with an object, in the order of the parameters.

    Parameters
    ----------
    keep_prompted : bool
        Parts without a prompt go, see `keep_prompted`.
    fill_holes : bool
        Holes are filled in every plane across the stack, see `fill_holes`.
    smooth : float
        Standard deviation of `smooth_across`, in slices, or in the spacing's unit
        where that is given; 0 for none.
    min_size : int
        Parts of fewer voxels go, see `minimum_size`; all remain at 0 and 1.

    Raises
    ------
    ValueError
        When a number is negative or not finite.
    """

    keep_prompted: bool = False
    fill_holes: bool = False
    smooth: float = 0.0
    min_size: int = 0

    def __post_init__(self) -> None:
        check_radius(self.smooth)
        check_size(self.min_size)

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return bool(
            self.keep_prompted or self.fill_holes or self.smooth or self.min_size > 1
        )

    def apply(
        self,
        mask: NDArray[np.bool_],
        axis: int = 0,
        seeds: ArrayLike | None = None,
        spacing: ArrayLike | None = None,
    ) -> NDArray[np.bool_]:
        """Clean one object.

        Parameters
        ----------
        mask : ndarray
            (Z, H, W) or (H, W) bool; not changed.
        axis : int
            Of the stack; a plane has none.
        seeds : array-like, optional
            (N, ndim) int: voxels of the mask that prompts lie on.
        spacing : array-like, optional
            (ndim,) distance of neighbouring voxels along each axis.
        """
        if self.keep_prompted:
            mask = keep_prompted(mask, [] if seeds is None else seeds)
        if self.fill_holes:
            mask = fill_holes(mask, axis)
        if self.smooth:
            mask = smooth_across(mask, axis, spacing, self.smooth)
        if self.min_size > 1:
            mask = minimum_size(mask, self.min_size)
        return mask

    def changes(
        self,
        labels: Any,
        ids: Collection[int] | None = None,
        axis: int = 0,
        seeds: Mapping[int, ArrayLike] | None = None,
        spacing: ArrayLike | None = None,
    ) -> Iterator[tuple[int, Window, NDArray[np.bool_]]]:
        """Find the objects of a label array that change, and what they become.

        Nothing is written. Voxels of other objects are never taken. Each object is
        read when its turn comes: what was written for those before it counts, and
        without that two objects may be given the same voxel of the background.

        Parameters
        ----------
        labels : array-like
            (Z, H, W) or (H, W), any integer dtype; numpy, dask or zarr.
        ids : collection of int, optional
            The objects; all when None.
        axis, spacing
            As in `apply`.
        seeds : mapping, optional
            {label: (N, ndim) int}, voxels of the array that prompts lie on.

        Yields
        ------
        tuple
            Label, window in the array, and the object's new bool mask there.

        Raises
        ------
        ValueError
            When labels, axis or spacing cannot be used.
        """
        for label, window in object_windows(labels, ids).items():
            part = np.asarray(labels[window])
            own = part == label
            first = [side.start for side in window]
            found = np.reshape((seeds or {}).get(label, []), (-1, len(first))) - first
            new = self.apply(own, axis, found, spacing) & (own | (part == 0))
            if (new != own).any():
                yield label, window, new


def apply_to_labels(
    labels: Any,
    cleanup: CleanUp,
    ids: Collection[int] | None = None,
    axis: int = 0,
    seeds: Mapping[int, ArrayLike] | None = None,
    spacing: ArrayLike | None = None,
) -> NDArray[Any]:
    """Clean objects of a label array one after the other, by their numbers.

    Parameters
    ----------
    labels, ids, axis, seeds, spacing
        As in `CleanUp.changes`; the labels are not changed.
    cleanup : CleanUp
        What is to be done.

    Returns
    -------
    ndarray
        Of the labels' shape and type. Voxels that an object loses become background,
        which the objects after it may take.

    Raises
    ------
    ValueError
        When labels, axis or spacing cannot be used.
    """
    cleaned = np.array(labels)
    for label, window, new in cleanup.changes(cleaned, ids, axis, seeds, spacing):
        part = cleaned[window]
        part[(part == label) & ~new] = 0
        part[new] = label
    return cleaned


def object_windows(
    labels: Any, ids: Collection[int] | None = None
) -> dict[int, Window]:
    """The boxes that just hold the objects of a label array, by label.

    The array is read once, with one plane in memory at a time; labels may be any
    whole numbers.

    Parameters
    ----------
    labels : array-like
        (Z, H, W) or (H, W), any integer dtype; numpy, dask or zarr.
    ids : collection of int, optional
        The objects; all when None. Those without a voxel have no box.

    Raises
    ------
    ValueError
        When the labels cannot be used.
    """
    from scipy.ndimage import find_objects

    ndim = len(check_labels(labels))
    windows: dict[int, Window] = {}
    for index, plane in label_planes(labels):
        places = np.nonzero(plane if ids is None else np.isin(plane, list(ids)))
        found, which = np.unique(plane[places], return_inverse=True)
        numbered = np.zeros(plane.shape, np.intp)
        numbered[places] = which + 1
        for label, window in zip(found.tolist(), find_objects(numbered), strict=True):
            if ndim == 3:
                window = (slice(index, index + 1), *window)
            windows[label] = _union(windows.get(label, window), window)
    windows.pop(0, None)  # when asked for
    return dict(sorted(windows.items()))


def prompt_seeds(
    prompts: ObjectPrompts, results: Iterable[SliceResult], axis: int = 0
) -> dict[int, NDArray[np.intp]]:
    """Voxels that the prompts of propagated objects lie on, for `keep_prompted`.

    Parameters
    ----------
    prompts : dict
        {object id: {slice: Prompt}}.
    results : iterable of SliceResult
        What became of them; anchors that were painted by hand count as prompts.
    axis : int
        Of the stack, from the front.

    Returns
    -------
    dict
        {object id: (N, 3) int}, of each prompted slice the `prompted_pixels`.
    """
    seeds: dict[int, list[NDArray[np.intp]]] = {}
    for result in results:
        prompt = prompts.get(result.object_id, {}).get(result.index)
        if prompt is None and result.status != "anchor":
            continue
        pixels = prompted_pixels(prompt or Prompt(), result.patch)
        voxels = np.insert(pixels, axis, result.index, axis=1)
        seeds.setdefault(result.object_id, []).append(voxels)
    return {number: np.concatenate(parts) for number, parts in seeds.items()}


def prompted_pixels(prompt: Prompt, patch: Patch) -> NDArray[np.intp]:
    """(N, 2) pixels of a plane that a prompt lies on.

    The points on the object, or without such points the innermost pixel of the mask
    that came of it, as the middle of a box may lie beside the object.
    """
    pixels: NDArray[np.intp] = np.floor(prompt.positives + 0.5).astype(np.intp)
    if not len(pixels) and patch.mask.any():
        pixels = innermost(patch.mask)[None] + patch.origin
    return pixels


def _union(first: Window, second: Window) -> Window:
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )
