"""Synthetic images with exact labels: cells, nuclei, membranes, tubes and more.

A kind and a seed determine an image. Objects touch, lie inside each other, and are
bright or dark; the images have blur, noise and uneven illumination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage import draw, segmentation

from napari_sam.masks.morphology import largest_component
from napari_sam.training.data import TrainingImage, training_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Image = NDArray[np.float64]
    Labels = NDArray[np.int64]
    Rng = np.random.Generator

SIDES = (128, 192, 256, 384)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Objects and their brightness, before the effects of a microscope.

    Parameters
    ----------
    image : ndarray
        (H, W) brightness, about 0 to 1.
    layers : tuple of ndarray
        (H, W) label images; objects that overlap are in different ones.
    """

    image: Image
    layers: tuple[Labels, ...]


# -- shapes --------------------------------------------------------------------


def _noise(rng: Rng, side: int, scale: float) -> Image:
    """Make smooth noise with mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(rng.normal(size=(side, side)), scale, mode="wrap")
    return (field - field.mean()) / field.std()


def _blob(
    rng: Rng, side: int, centre: NDArray, radius: float, wobble: float, flat: float
) -> NDArray[np.bool_]:
    """Draw an ellipse with a smoothly varying radius around a centre."""
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    change = sum(
        rng.normal(0, wobble / order) * np.cos(order * angles + rng.uniform(0, 6.3))
        for order in (2, 3, 4, 5)
    )
    turn = rng.uniform(0, np.pi)
    radii = radius * np.clip(1 + change, 0.4, 1.8)
    along, across = radii * np.cos(angles), flat * radii * np.sin(angles)
    rows = centre[0] + along * np.sin(turn) + across * np.cos(turn)
    cols = centre[1] + along * np.cos(turn) - across * np.sin(turn)
    return draw.polygon2mask((side, side), np.stack([rows, cols], 1))


def _scatter(
    rng: Rng,
    side: int,
    radii: tuple[float, float],
    count: int,
    *,
    wobble: float = 0.08,
    gap: int = 0,
    flat: float = 0.55,
) -> Labels:
    """Place blobs at random without overlap, often touching."""
    labels = np.zeros((side, side), np.int64)
    for number in range(1, count + 1):
        radius = np.exp(rng.uniform(*np.log(radii)))
        centre = rng.uniform(0, side, 2)
        mask = _blob(rng, side, centre, radius, wobble, rng.uniform(flat, 1))
        free = mask & ~_dilated(labels > 0, gap)
        if mask.any() and free.sum() > 0.75 * mask.sum():
            labels[largest_component(free, connectivity=1)] = number
    return labels


def _paint(rng: Rng, labels: Labels, low: float, high: float) -> Image:
    """Give each object a random brightness; the background is 0."""
    levels = rng.uniform(low, high, labels.max() + 1)
    levels[0] = 0
    return levels[labels]


def _rim(labels: Labels, width: int = 1) -> NDArray[np.bool_]:
    """Return the pixels of objects at their outline."""
    inner = segmentation.find_boundaries(labels, mode="inner") & (labels > 0)
    return _dilated(inner, width) & (labels > 0)


def _dilated(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Dilate a mask; scipy would repeat 0 iterations until nothing changes."""
    return ndimage.binary_dilation(mask, iterations=width) if width else mask


# -- kinds ---------------------------------------------------------------------


def cells(rng: Rng, side: int) -> Scene:
    """Draw textured cells with irregular outlines, some of them touching."""
    labels = _scatter(rng, side, (side / 18, side / 7), 22, wobble=0.12)
    texture = 1 + 0.15 * _noise(rng, side, 2)
    return Scene(0.1 + _paint(rng, labels, 0.35, 0.9) * texture, (labels,))


def nuclei(rng: Rng, side: int) -> Scene:
    """Draw bright smooth nuclei in clusters, with a faint line where two touch."""
    labels = _scatter(rng, side, (side / 28, side / 12), 60, wobble=0.04)
    image = 0.05 + _paint(rng, labels, 0.4, 1) * (1 + 0.1 * _noise(rng, side, 3))
    return Scene(image - 0.15 * _rim(labels, 0), (labels,))


def membranes(rng: Rng, side: int) -> Scene:
    """Draw adjacent cells of which only the borders are visible."""
    grid = int(rng.integers(4, 9))
    step = side / grid
    seeds = (np.stack(np.mgrid[:grid, :grid], -1).reshape(-1, 2) + 0.5) * step
    seeds = seeds + rng.uniform(-0.35, 0.35, seeds.shape) * step
    bend = np.stack([_noise(rng, side, step / 4) for _ in "rc"], -1) * step * 0.06
    points = np.stack(np.mgrid[:side, :side], -1) + bend
    distance = np.linalg.norm(points[..., None, :] - seeds, axis=-1)
    labels = distance.argmin(-1) + 1
    border = segmentation.find_boundaries(labels, mode="thick")
    border = _dilated(border, int(rng.integers(0, 2)))
    image = 0.3 + 0.04 * _noise(rng, side, 4) + 0.55 * border
    return Scene(image, (_connected(np.where(border, 0, labels)),))


def tubes(rng: Rng, side: int) -> Scene:
    """Draw winding tubes, like vessels or neurites."""
    labels = np.zeros((side, side), np.int64)
    for number in range(1, 7):
        place, heading = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
        width, path = rng.uniform(side / 60, side / 22), np.zeros((side, side), bool)
        for _ in range(int(side / 2)):
            heading += rng.normal(0, 0.12)
            place = place + 1.5 * np.array([np.sin(heading), np.cos(heading)])
            rows, cols = draw.disk(place, max(1.5, width), shape=(side, side))
            path[rows, cols] = True
        free = path & ~ndimage.binary_dilation(labels > 0, iterations=2)
        labels[free] = number
    image = 0.15 + _paint(rng, labels, 0.5, 0.9) + 0.03 * _noise(rng, side, 2)
    return Scene(image, (_connected(labels),))


def organelles(rng: Rng, side: int) -> Scene:
    """Draw organelles with dark rims and folds, as in electron microscopy."""
    labels = _scatter(rng, side, (side / 16, side / 7), 12, wobble=0.1, gap=2)
    ground = 0.6 + 0.12 * _noise(rng, side, 1) + 0.06 * _noise(rng, side, 6)
    folds = np.sin(_noise(rng, side, 4) * rng.uniform(4, 8)) > 0.3
    image = np.where(labels > 0, ground - rng.uniform(0.1, 0.25) - 0.15 * folds, ground)
    specks = ndimage.gaussian_filter(rng.random((side, side)) > 0.998, 1.5) * 6
    return Scene(image - 0.35 * _rim(labels, 1) - np.clip(specks, 0, 0.4), (labels,))


def tissue(rng: Rng, side: int) -> Scene:
    """Draw regions of nearly constant brightness, like organs in MR or CT."""
    body = _blob(rng, side, np.full(2, side / 2), side * 0.42, 0.05, 0.85)
    inner = _scatter(rng, side, (side / 14, side / 5), 9, wobble=0.15, gap=1)
    inner = np.where(ndimage.binary_erosion(body, iterations=4), inner, 0)
    levels = rng.permutation(np.linspace(0.15, 1, inner.max() + 1))
    levels[0] = 0.5
    image = np.where(body, levels[inner], 0) + 0.02 * _noise(rng, side, 3)
    return Scene(image, (_connected(inner), body.astype(np.int64)))


def brightfield(rng: Rng, side: int) -> Scene:
    """Draw cells as grey as the background, with a bright halo and a dark rim."""
    labels = _scatter(rng, side, (side / 18, side / 8), 16, gap=3)
    inside = labels > 0
    halo = ndimage.gaussian_filter(inside.astype(float), side / 90)
    outer = np.where(inside, 0, halo)
    image = 0.5 + 0.7 * outer - 0.25 * _rim(labels, 1)
    return Scene(image + 0.04 * inside * _noise(rng, side, 2), (labels,))


def nested(rng: Rng, side: int) -> Scene:
    """Draw cells with a nucleus; both are objects."""
    outer = _scatter(rng, side, (side / 10, side / 6), 14, wobble=0.1)
    inner = np.zeros_like(outer)
    for number in np.unique(outer[outer > 0]):
        depth = ndimage.distance_transform_edt(outer == number)
        centre = np.array(np.unravel_index(depth.argmax(), depth.shape), float)
        radius = depth.max() * rng.uniform(0.4, 0.75)
        inner[_blob(rng, side, centre, radius, 0.05, 0.85) & (depth > 1)] = number
    image = 0.1 + _paint(rng, outer, 0.25, 0.5)
    image = np.where(inner > 0, image + _paint(rng, inner, 0.25, 0.5), image)
    return Scene(image * (1 + 0.08 * _noise(rng, side, 2)), (outer, inner))


def discs(rng: Rng, side: int) -> Scene:
    """Draw discs with a relief, lit from one side, on an uneven background."""
    labels = _scatter(
        rng, side, (side / 20, side / 9), 24, wobble=0.015, gap=2, flat=0.85
    )
    inside = labels > 0
    depth = ndimage.distance_transform_edt(inside)
    height = _noise(rng, side, rng.uniform(1.2, side / 60)) + np.exp(-depth / 2)
    turn = rng.uniform(0, 2 * np.pi)
    rows, cols = np.gradient(height)
    lit = (rows * np.sin(turn) + cols * np.cos(turn)) / rows.std()
    relief = np.where(inside, rng.uniform(0.02, 0.16) * lit, 0)
    ground = 0.25 + rng.uniform(0.01, 0.06) * _noise(rng, side, 8)
    ground += rng.uniform(0, 0.12) * _noise(rng, side, side / 4)
    # The background is in shadow on the side away from the light.
    shift = 2 * np.array([np.sin(turn), np.cos(turn)])
    shadow = ndimage.shift(inside.astype(float), shift, order=1) * ~inside
    image = ground + _paint(rng, labels, 0.15, 0.5) + relief
    return Scene(image - rng.uniform(0, 0.2) * shadow, (labels,))


def rods(rng: Rng, side: int) -> Scene:
    """Draw rods in heaps, like bacteria; held out for fine-tuning."""
    labels = np.zeros((side, side), np.int64)
    rows, cols = np.mgrid[:side, :side]
    for number in range(1, 40):
        turn, half = rng.uniform(0, np.pi), rng.uniform(side / 30, side / 11)
        centre, width = rng.uniform(0, side, 2), side / 55
        along = (rows - centre[0]) * np.sin(turn) + (cols - centre[1]) * np.cos(turn)
        across = (rows - centre[0]) * np.cos(turn) - (cols - centre[1]) * np.sin(turn)
        mask = np.hypot(np.maximum(np.abs(along) - half, 0), across) < width
        if not (mask & (labels > 0)).any():
            labels[mask] = number
    image = 0.5 - 0.3 * (labels > 0) + 0.35 * _rim(labels, 0)
    return Scene(image + 0.03 * _noise(rng, side, 5), (labels,))


KINDS: dict[str, Callable[[Rng, int], Scene]] = {
    kind.__name__: kind
    for kind in (
        *(cells, nuclei, membranes, tubes, organelles),
        *(tissue, brightfield, nested, discs),
    )
}
"""Kinds for training."""

MIXTURE = (
    *("discs", "cells", "nuclei", "brightfield", "discs", "nested"),
    *("organelles", "membranes", "discs", "cells", "tissue", "tubes"),
)
"""Kinds in the proportions of the training data: common objects are more frequent."""

UNSEEN: dict[str, Callable[[Rng, int], Scene]] = {"rods": rods}
"""Kinds that are held out, for fine-tuning."""


def _connected(labels: Labels) -> Labels:
    """Keep the largest component of each object."""
    kept = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        kept[largest_component(labels == number, connectivity=1)] = number
    return kept


# -- the microscope ------------------------------------------------------------


def _expose(rng: Rng, image: Image) -> NDArray[np.uint8]:
    """Add polarity, uneven illumination, blur and noise; convert to 8 bits."""
    side = image.shape[0]
    if rng.random() < 0.4:
        image = image.max() - image
    slope = rng.uniform(-0.3, 0.3, 2) * rng.integers(0, 2)
    light = np.add.outer(*(np.linspace(-0.5, 0.5, side) * s for s in slope))
    image = ndimage.gaussian_filter(image * (1 + light), rng.uniform(0.3, 1.6))
    low, high = np.percentile(image, [0.2, 99.8])
    image = (image - low) / max(high - low, 1e-6)
    noise = rng.uniform(0.01, 0.14)
    grain = rng.normal(size=image.shape) * noise
    if rng.random() < 0.5:  # shot noise: stronger where it is bright
        grain *= np.sqrt(np.clip(image, 0.05, None)) * 1.5
    image = np.clip(image + grain, 0, 1) ** rng.uniform(0.7, 1.4)
    return np.rint(image * rng.uniform(150, 255)).astype(np.uint8)


def make(kind: str, seed: int) -> list[TrainingImage]:
    """Make one image.

    Parameters
    ----------
    kind : str
        A kind of `KINDS` or `UNSEEN`.
    seed : int
        Random seed.

    Returns
    -------
    list of TrainingImage
        One for each layer of objects, all with the same plane.
    """
    draw_scene = {**KINDS, **UNSEEN}[kind]
    # The kind is part of the seed, so that kinds with one seed are independent.
    rng = np.random.default_rng([seed, *kind.encode()])
    scene = draw_scene(rng, int(rng.choice(SIDES)))
    plane = _expose(rng, scene.image)
    images = []
    for layer in scene.layers:
        if layer.any():
            images += training_images(plane, layer, f"{kind} {seed}")
    return images


def make_many(kinds: tuple[str, ...], count: int, seed: int) -> list[TrainingImage]:
    """Make `count` images, alternating the kinds, with seeds from `seed` on."""
    images: list[TrainingImage] = []
    for number in range(count):
        images += make(kinds[number % len(kinds)], seed + number)
    return images
