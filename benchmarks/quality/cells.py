"""Planes of cells of one size on a textured background, and pasted real images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rng = np.random.Generator

KINDS = ("bright", "dark", "dome", "ring", "textured")
# Larger planes repeat a tile of this side, with fresh noise.
_TILE = 2048
_GREY, _TEXTURE, _NOISE, _BLUR = 100.0, 10.0, 4.0, 0.7
# Distance between the centres of neighbouring cells, in diameters.
_SPACING = 1.7


@dataclass(frozen=True)
class Plane:
    """Plane with its objects.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, 3) uint8.
    labels : ndarray
        (H, W) int32; object i is label i.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def box(self, label: int) -> tuple[slice, slice]:
        """Return the rows and columns of an object."""
        return self.boxes[label - 1]

    @cached_property
    def boxes(self) -> list[tuple[slice, slice]]:
        """Rows and columns of all objects; None for numbers without one."""
        found: list[tuple[slice, slice]] = ndimage.find_objects(self.labels)
        return found

    def iou(self, label: int, mask: NDArray[np.bool_], region: Any) -> float:
        """Compute the IoU of an object with a mask of a region of the plane."""
        size = np.count_nonzero(self.labels[self.box(label)] == label)
        inside = np.count_nonzero((self.labels[region] == label) & mask)
        return inside / (size + np.count_nonzero(mask) - inside)


def cells(side: int, diameter: float, kind: str, seed: int) -> Plane:
    """Draw cells of one size: wobbling outlines, different brightness, most apart."""
    rng = np.random.default_rng([seed, side, int(diameter), KINDS.index(kind)])
    tile = min(side, _TILE)
    image = _GREY + _TEXTURE * _background(tile, rng)
    labels = np.zeros((tile, tile), np.int32)
    step = max(_SPACING * diameter, 1)
    count = max(int(tile // step), 1)
    for place in np.ndindex(count, count):
        centre = (np.array(place) + 0.5) * tile / count
        centre += rng.uniform(-0.15, 0.15, 2) * diameter
        _draw(image, labels, centre, diameter * rng.uniform(0.85, 1.15), kind, rng)
    image = ndimage.gaussian_filter(image, _BLUR)
    repeats = side // tile
    if repeats > 1:
        image = np.tile(image, (repeats,) * 2)
        # The objects of one tile in the middle are enough.
        first, tiled = repeats // 2 * tile, np.zeros(image.shape, np.int32)
        tiled[first : first + tile, first : first + tile] = labels
        labels = tiled
    image = image + rng.normal(0, _NOISE, image.shape).astype(np.float32)
    return Plane(np.clip(image, 0, 255).astype(np.uint8), labels)


def _background(side: int, rng: Rng) -> NDArray[np.float32]:
    """Return noise of three scales with unit variance."""
    total = np.zeros((side, side), np.float32)
    for scale in (2, 8, 32):
        small = rng.normal(size=(side // scale + 2,) * 2).astype(np.float32)
        layer = ndimage.zoom(small, scale, order=1)[:side, :side]
        total += layer / (layer.std() * np.sqrt(3))
    return total


def _draw(
    image: NDArray[np.float32],
    labels: NDArray[np.int32],
    centre: NDArray[np.float64],
    diameter: float,
    kind: str,
    rng: Rng,
) -> None:
    """Draw one cell where it fits completely on free background."""
    half = int(diameter * 0.8) + 2
    rows, cols = np.mgrid[-half : half + 1, -half : half + 1]
    first = np.rint(centre).astype(int) - half
    size = 2 * half + 1
    if (first < 0).any() or (first + size > len(image)).any():
        return
    window = tuple(slice(start, start + size) for start in first)
    angle, distance = np.arctan2(rows, cols), np.hypot(rows, cols)
    radius = diameter / 2 * (1 + 0.1 * rng.normal() * np.cos(2 * angle))
    for waves in (3, 4, 5):
        phase = rng.uniform(0, 2 * np.pi)
        radius = radius * (1 + 0.05 * rng.normal() * np.cos(waves * angle + phase))
    cover = np.clip(radius - distance + 0.5, 0, 1)
    inside = cover > 0.5
    if labels[window][inside].any():
        return
    depth = distance / radius
    profile = {
        "bright": np.full(depth.shape, 60.0),
        "dark": np.full(depth.shape, -60.0),
        "dome": 20 + 80 * np.sqrt(np.clip(1 - depth**2, 0, 1)),
        "ring": np.where(depth > 0.7, 80.0, 30.0),
        "textured": 50 + 12 * rng.normal(size=depth.shape),
    }[kind]
    image[window] += cover * profile * rng.uniform(0.75, 1.25)
    labels[window][inside] = labels.max() + 1


def coins() -> Plane:
    """Return the coins of scikit-image, by Otsu's threshold."""
    image = data.coins()
    mask = morphology.closing(image > filters.threshold_otsu(image), np.ones((3, 3)))
    labels = measure.label(segmentation.clear_border(mask))
    kept = morphology.remove_small_objects(labels, max_size=100)
    filled = np.zeros(kept.shape, np.int32)
    for label in np.unique(kept[kept > 0]):
        filled[ndimage.binary_fill_holes(kept == label)] = label
    return Plane(image, filled)


def pasted(plane: Plane, side: int, seed: int) -> tuple[Plane, NDArray[np.int64]]:
    """Paste a plane into a large textured one; also return where, as (row, col)."""
    rng = np.random.default_rng([seed, side])
    small = plane.image.astype(np.float32)
    tile = min(side, _TILE)
    ground = small.mean() + 0.3 * small.std() * _background(tile, rng)
    image = np.tile(ground, (side // tile,) * 2)
    labels = np.zeros(image.shape, np.int32)
    height, width = small.shape
    first = rng.integers(side // 8, side - side // 8 - max(height, width), 2)
    window = tuple(
        slice(start, start + size)
        for start, size in zip(first, (height, width), strict=True)
    )
    image[window], labels[window] = small, plane.labels
    return Plane(np.clip(image, 0, 255).astype(np.uint8), labels), first


def packaged() -> dict[str, Plane]:
    """Return images of scikit-image with objects whose edges leave no doubt.

    The compact galaxies of the Hubble deep field, and one cell; by Otsu's threshold.
    """
    found = {}
    for name, smallest in (("hubble_deep_field", 100), ("cell", 5000)):
        image = getattr(data, name)()
        grey = image if image.ndim == 2 else image.max(axis=-1)
        grey = ndimage.gaussian_filter(grey.astype(np.float32), 0.7)
        bright = ndimage.binary_fill_holes(grey > filters.threshold_otsu(grey))
        labels = np.zeros(bright.shape, np.int32)
        for region in measure.regionprops(
            segmentation.clear_border(measure.label(bright))
        ):
            if region.area >= smallest and region.solidity > 0.93:
                labels[tuple(region.coords.T)] = region.label
        found[name] = Plane(image, labels)
    return found
