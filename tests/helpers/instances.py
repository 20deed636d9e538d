"""Maps that a perfect instance head would give, from known labels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import ndimage

from napari_sam.images.window import Window, mirror
from tests.helpers.discs import DiscPredictor


class OracleHead:
    """Reads the maps of windows from the labels of a plane.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers.
    input_size : int
        Side of the maps of a window, whose longer side has that many pixels.
    smallest, largest : float
        Objects of another diameter in the maps are not seen.
    """

    def __init__(
        self,
        labels: np.ndarray,
        input_size: int = 64,
        smallest: float = 0.0,
        largest: float = np.inf,
    ) -> None:
        self.labels, self.input_size = labels, input_size
        self.smallest, self.largest = smallest, largest
        self.asked: list[Window | None] = []

    def __call__(self, window: Window | None) -> np.ndarray:
        """Return (3, h, w) uint8 maps of a window."""
        self.asked.append(window)
        if window == Window.around(self.labels.shape):
            part = mirror(self.labels)
        else:
            part = self.labels if window is None else self.labels[window.slices]
        factor = self.input_size / max(part.shape)
        places = [
            ((np.arange(max(1, round(n * factor))) + 0.5) / factor).astype(int)
            for n in part.shape
        ]
        seen = part[np.ix_(*places)]
        sizes = np.bincount(seen.ravel(), minlength=int(self.labels.max()) + 1)
        diameters = 2 * np.sqrt(sizes[seen] / np.pi)
        in_range = (diameters >= self.smallest) & (diameters <= self.largest)
        seen = np.where(in_range, seen, 0)
        return (255 * np.stack(perfect_maps(seen))).round().astype(np.uint8)


def perfect_maps(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return foreground, depth and borders between objects, (h, w) float each."""
    depth = np.zeros(labels.shape)
    for number in np.unique(labels[labels > 0]):
        inside = ndimage.distance_transform_edt(np.pad(labels == number, 1, "edge"))
        inside = inside[1:-1, 1:-1]
        depth += inside / max(inside.max(), 1)
    low = ndimage.minimum_filter(np.where(labels > 0, labels, 10**6), 3)
    high = ndimage.maximum_filter(labels, 3)
    border = (labels > 0) & (low != high)
    border &= low < 10**6
    return (labels > 0).astype(float), depth, border.astype(float)


@lru_cache(16)
def maps_of_bright(inside: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Return (3, h, w) uint8 maps of what is bright; planes may be alike."""
    bright = np.frombuffer(inside, bool).reshape(shape)
    objects = ndimage.label(bright)[0]
    return (255 * np.stack(perfect_maps(objects))).round().astype(np.uint8)


def disc_plane(
    shape: tuple[int, int], count: int, radii: tuple[float, float], seed: int
) -> np.ndarray:
    """Draw discs that do not overlap, some of them touching."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    number = 0
    for _ in range(40 * count):
        radius = rng.uniform(*radii)
        centre = rng.uniform(radius, np.array(shape) - radius)
        disc = np.hypot(rows - centre[0], cols - centre[1]) < radius
        if not (disc & (labels > 0)).any():
            number += 1
            labels[disc] = number
        if number == count:
            break
    return labels


class InstancePredictor(DiscPredictor):
    """A model whose instance head finds what is bright; pieces are objects."""

    input_size = 128
    instance_head = "perfect"

    def __init__(self) -> None:
        super().__init__("box")
        self.windows: list[Window | None] = []

    def instance_maps(self, embedding: Any, pixels: np.ndarray) -> np.ndarray:
        self.windows.append(embedding.window)
        gray = pixels if pixels.ndim == 2 else pixels.max(axis=-1)
        return maps_of_bright((gray > 127).tobytes(), gray.shape).copy()
