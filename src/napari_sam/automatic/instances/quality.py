"""Quality of objects from instance maps: how likely each is an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.automatic.instances.watershed import Maps

FEATURES = ("foreground", "contrast", "peak", "consistency", "border", "solid")
"""Names of the columns of `quality_features`."""


def quality_features(labels: NDArray[np.int32], maps: Maps) -> NDArray[np.float64]:
    """Measure what distinguishes right objects from wrong ones.

    Parameters
    ----------
    labels : ndarray
        (h, w) int32, N objects.
    maps : Maps
        They were made from.

    Returns
    -------
    ndarray
        (N, 6): mean foreground; its mean at the outline minus that just outside;
        highest depth; mean absolute difference of the predicted depth and that of the
        object itself; mean predicted border at the outline; fraction of certain
        foreground.
    """
    from scipy import ndimage

    count = int(labels.max())
    rows = np.zeros((count, len(FEATURES)))
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            rows[number - 1] = _features_of(labels, maps, number, window)
    return rows


def _features_of(
    labels: NDArray[np.int32], maps: Maps, number: int, window: tuple[slice, slice]
) -> tuple[float, ...]:
    """Return one row of `quality_features`."""
    from scipy import ndimage

    around = tuple(slice(max(w.start - 2, 0), w.stop + 2) for w in window)
    mask = labels[around] == number
    foreground, depth = maps.foreground[around], maps.depth[around]
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    outline = mask & (distance <= 1.5)
    outside = ndimage.binary_dilation(mask, iterations=2) & (labels[around] == 0)
    beyond = float(foreground[outside].mean()) if outside.any() else 0.5
    own = distance / distance.max()
    return (
        float(foreground[mask].mean()),
        float(foreground[outline].mean()) - beyond,
        float(depth[mask].max()),
        float(np.abs(depth - own)[mask].mean()),
        float(maps.border[around][outline].mean()),
        float((foreground[mask] > 0.9).mean()),
    )


# Logistic regression of whether an object has an IoU of at least 0.5 with a true one,
# fitted to held-out scenes of the training's generator.
_WEIGHTS = np.array([0.0, 4.0, 2.0, -8.0, 0.0, 1.0])
_BIAS = -3.0


def quality_of(labels: NDArray[np.int32], maps: Maps) -> NDArray[np.float64]:
    """Estimate for each object the probability that it is one, (N,)."""
    if not labels.any():
        return np.zeros(0)
    logits = quality_features(labels, maps) @ _WEIGHTS + _BIAS
    probability: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return probability
