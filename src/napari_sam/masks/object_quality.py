"""Quality of objects from instance maps: how likely each is an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.masks.watershed import Maps

FEATURES = (
    *("foreground", "contrast", "separation", "free"),
    *("peak", "consistency", "solid"),
    *("touching foreground", "touching peak"),
    *("touching consistency", "touching solid"),
)
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
        (N, 11): mean foreground; its mean at the outline minus that just outside, and
        mean predicted border at the outline, each times the fraction of the outline
        that it concerns: free, or next to other objects; the free fraction; highest
        depth; mean absolute difference of the predicted depth and that of the object
        itself; fraction of certain foreground; the last three and the mean foreground
        again, times the fraction of the outline next to other objects.
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
) -> NDArray[np.float64]:
    """Return one row of `quality_features`."""
    from scipy import ndimage

    around = tuple(slice(max(w.start - 2, 0), w.stop + 2) for w in window)
    mask = labels[around] == number
    foreground, depth = maps.foreground[around], maps.depth[around]
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    outline = mask & (distance <= 1.5)
    ring = ndimage.binary_dilation(mask, iterations=2) & ~mask
    outside = ring & (labels[around] == 0)
    free = outside.sum() / max(ring.sum(), 1)
    beyond = float(foreground[outside].mean()) if outside.any() else 0.5
    own = distance / distance.max()
    level, peak = foreground[mask].mean(), depth[mask].max()
    consistency = np.abs(depth - own)[mask].mean()
    solid = (foreground[mask] > 0.9).mean()
    return np.array(
        [
            level,
            free * (foreground[outline].mean() - beyond),
            (1 - free) * maps.border[around][outline].mean(),
            free,
            *(peak, consistency, solid),
            *((1 - free) * x for x in (level, peak, consistency, solid)),
        ]
    )


# Logistic regression of whether an object has an IoU of at least 0.5 with a true one,
# fitted to new scenes of the training's generator (training/instance_quality.py).
_WEIGHTS = np.array(
    [8.95, -0.15, 4.51, -0.3, 4.45, -2.51, 2.82, -0.4, 2.81, -8.48, -5.69]
)
_BIAS = -11.67


def quality_of(labels: NDArray[np.int32], maps: Maps) -> NDArray[np.float64]:
    """Estimate for each object the probability that it is one, (N,)."""
    if not labels.any():
        return np.zeros(0)
    return _probability(quality_features(labels, maps))


def quality_of_object(labels: NDArray[np.int32], maps: Maps, number: int) -> float:
    """Estimate the quality of one object; see `quality_of`."""
    rows, cols = (np.flatnonzero((labels == number).any(axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    features = _features_of(labels, maps, number, window)
    return float(_probability(features[None])[0])


def _probability(features: NDArray[np.float64]) -> NDArray[np.float64]:
    probability: NDArray[np.float64] = 1 / (1 + np.exp(-(features @ _WEIGHTS + _BIAS)))
    return probability
