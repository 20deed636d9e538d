"""Clean-up of whole label arrays, object after object: what the package must equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.measurements import check_labels, label_planes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.masks.cleanup import CleanUp

Window = tuple[slice, ...]


def apply_to_labels(
    labels: Any,
    cleanup: CleanUp,
    ids: Collection[int] | None = None,
    axis: int = 0,
    seeds: Mapping[int, ArrayLike] | None = None,
    spacing: ArrayLike | None = None,
) -> NDArray[Any]:
    """Clean objects of a label array one after the other, in order of their labels.

    Voxels that an object loses become background, which later objects may take.
    """
    cleaned = np.array(labels)
    for label, window in object_windows(cleaned, ids).items():
        part = cleaned[window]
        own = part == label
        first = [side.start for side in window]
        found = np.reshape((seeds or {}).get(label, []), (-1, len(first))) - first
        new = cleanup.apply(own, axis, found, spacing) & (own | (part == 0))
        part[own & ~new] = 0
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


def _union(first: Window, second: Window) -> Window:
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )
