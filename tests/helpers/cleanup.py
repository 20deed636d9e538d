"""Clean-up of a label array, object by object: a reference for the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import ArrayLike

    from napari_sam.masks.cleanup import CleanUp


def clean_up_labels(
    labels: np.ndarray,
    cleanup: CleanUp,
    ids: Collection[int] | None = None,
    axis: int = 0,
    seeds: Mapping[int, ArrayLike] | None = None,
) -> np.ndarray:
    """Clean objects of a label array one after the other, in order of their labels.

    Voxels that an object loses become background, which later objects may take.
    """
    cleaned = labels.copy()
    for label in np.unique(labels[labels != 0]):
        if ids is not None and label not in ids:
            continue
        voxels = np.argwhere(cleaned == label)
        low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
        part = cleaned[tuple(map(slice, low, high))]
        own = part == label
        own_seeds = np.reshape((seeds or {}).get(label, []), (-1, labels.ndim)) - low
        new = cleanup.apply(own, axis, own_seeds) & (own | (part == 0))
        part[own & ~new] = 0
        part[new] = label
    return cleaned
