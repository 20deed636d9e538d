"""Images with exact truth, made by rule: cells, nuclei, membranes, tubes and more.

Every image follows from a kind and a seed. Objects touch, lie inside each other, are
bright or dark, and are seen through blur, noise and uneven light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage import draw, segmentation

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
    """What a rule draws, before the microscope.

    Parameters
    ----------
    image : ndarray
        (H, W) brightness, about 0 to 1.
    layers : tuple of ndarray
        (H, W) labels; objects that overlap lie in different layers.
    """

    image: Image
    layers: tuple[Labels, ...]


# -- shapes --------------------------------------------------------------------


def _noise(rng: Rng, side: int, scale: float) -> Image:
    """Smooth noise of mean 0 and deviation 1."""
    field = ndimage.gaussian_filter(rng.normal(size=(side, side)), scale, mode="wrap")
    return (field - field.mean()) / field.std()


def _blob(
    rng: Rng, side: int, centre: NDArray, radius: float, wobble: float, flat: float
) -> NDArray[np.bool_]:
    """A closed outline around a centre: an ellipse whose radius varies smoothly."""
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
    """Blobs in chance places, later ones beside earlier ones, often touching."""
    labels = np.zeros((side, side), np.int64)
    for number in range(1, count + 1):
        radius = np.exp(rng.uniform(*np.log(radii)))
        centre = rng.uniform(0, side, 2)
        mask = _blob(rng, side, centre, radius, wobble, rng.uniform(flat, 1))
        taken = (
            ndimage.binary_dilation(labels > 0, iterations=gap) if gap else labels > 0
        )
        free = mask & ~taken
        if mask.any() and free.sum() > 0.75 * mask.sum():
            parts, found = ndimage.label(free)
            if found > 1:
                free = parts == np.bincount(parts[free]).argmax()
            labels[free] = number
    return labels


def _paint(rng: Rng, labels: Labels, low: float, high: float) -> Image:
    """Give each object a brightness of its own; 0 for background."""
    levels = rng.uniform(low, high, labels.max() + 1)
    levels[0] = 0
    return levels[labels]


def _rim(labels: Labels, width: int = 1) -> NDArray[np.bool_]:
    """Pixels of objects at their outline."""
    inner = segmentation.find_boundaries(labels, mode="inner") & (labels > 0)
    return _grown(inner, width) & (labels > 0)


def _grown(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Dilate; scipy takes 0 for as often as anything changes."""
    return ndimage.binary_dilation(mask, iterations=width) if width else mask


# -- kinds ---------------------------------------------------------------------


def cells(rng: Rng, side: int) -> Scene:
    """Textured cells of irregular outline, apart or touching."""
    labels = _scatter(rng, side, (side / 18, side / 7), 22, wobble=0.12)
    texture = 1 + 0.15 * _noise(rng, side, 2)
    return Scene(0.1 + _paint(rng, labels, 0.35, 0.9) * texture, (labels,))


def nuclei(rng: Rng, side: int) -> Scene:
    """Bright smooth nuclei in clusters, with a slight seam where two touch."""
    labels = _scatter(rng, side, (side / 28, side / 12), 60, wobble=0.04)
    image = 0.05 + _paint(rng, labels, 0.4, 1) * (1 + 0.1 * _noise(rng, side, 3))
    return Scene(image - 0.15 * _rim(labels, 0), (labels,))


def membranes(rng: Rng, side: int) -> Scene:
    """Cells side by side, seen by their borders alone."""
    grid = int(rng.integers(4, 9))
    step = side / grid
    seeds = (np.stack(np.mgrid[:grid, :grid], -1).reshape(-1, 2) + 0.5) * step
    seeds = seeds + rng.uniform(-0.35, 0.35, seeds.shape) * step
    bend = np.stack([_noise(rng, side, step / 4) for _ in "rc"], -1) * step * 0.06
    points = np.stack(np.mgrid[:side, :side], -1) + bend
    distance = np.linalg.norm(points[..., None, :] - seeds, axis=-1)
    labels = distance.argmin(-1) + 1
    border = segmentation.find_boundaries(labels, mode="thick")
    border = _grown(border, int(rng.integers(0, 2)))
    image = 0.3 + 0.04 * _noise(rng, side, 4) + 0.55 * border
    return Scene(image, (_connected(np.where(border, 0, labels)),))


def tubes(rng: Rng, side: int) -> Scene:
    """Winding tubes, vessels or neurites, of changing width."""
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
    """Dark-rimmed organelles with folds in granules, as in electron microscopy."""
    labels = _scatter(rng, side, (side / 16, side / 7), 12, wobble=0.1, gap=2)
    ground = 0.6 + 0.12 * _noise(rng, side, 1) + 0.06 * _noise(rng, side, 6)
    folds = np.sin(_noise(rng, side, 4) * rng.uniform(4, 8)) > 0.3
    image = np.where(labels > 0, ground - rng.uniform(0.1, 0.25) - 0.15 * folds, ground)
    specks = ndimage.gaussian_filter(rng.random((side, side)) > 0.998, 1.5) * 6
    return Scene(image - 0.35 * _rim(labels, 1) - np.clip(specks, 0, 0.4), (labels,))


def tissue(rng: Rng, side: int) -> Scene:
    """Soft regions of nearly one brightness each, as organs in MR or CT."""
    body = _blob(rng, side, np.full(2, side / 2), side * 0.42, 0.05, 0.85)
    inner = _scatter(rng, side, (side / 14, side / 5), 9, wobble=0.15, gap=1)
    inner = np.where(ndimage.binary_erosion(body, iterations=4), inner, 0)
    levels = rng.permutation(np.linspace(0.15, 1, inner.max() + 1))
    levels[0] = 0.5
    image = np.where(body, levels[inner], 0) + 0.02 * _noise(rng, side, 3)
    return Scene(image, (_connected(inner), body.astype(np.int64)))


def brightfield(rng: Rng, side: int) -> Scene:
    """Cells as grey as their ground, told by a bright halo and a dark rim."""
    labels = _scatter(rng, side, (side / 18, side / 8), 16, gap=3)
    inside = labels > 0
    halo = ndimage.gaussian_filter(inside.astype(float), side / 90)
    outer = np.where(inside, 0, halo)
    image = 0.5 + 0.7 * outer - 0.25 * _rim(labels, 1)
    return Scene(image + 0.04 * inside * _noise(rng, side, 2), (labels,))


def nested(rng: Rng, side: int) -> Scene:
    """Cells with a nucleus each: both are objects."""
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
    """Round things with a relief on them, lit from one side, on uneven ground."""
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
    # The side away from the light lies in shadow, and so does the ground beside it.
    shift = 2 * np.array([np.sin(turn), np.cos(turn)])
    shadow = ndimage.shift(inside.astype(float), shift, order=1) * ~inside
    image = ground + _paint(rng, labels, 0.15, 0.5) + relief
    return Scene(image - rng.uniform(0, 0.2) * shadow, (labels,))


def rods(rng: Rng, side: int) -> Scene:
    """Bacteria-like rods in heaps; kept out of training, for fine-tuning to learn."""
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
"""What is trained on."""

MIXTURE = (
    *("discs", "cells", "nuclei", "brightfield", "discs", "nested"),
    *("organelles", "membranes", "discs", "cells", "tissue", "tubes"),
)
"""The kinds in the shares that are trained on: what people click on most, most."""

UNSEEN: dict[str, Callable[[Rng, int], Scene]] = {"rods": rods}
"""What is never trained on: fine-tuning starts from here."""


def _connected(labels: Labels) -> Labels:
    """Keep the largest piece of each object."""
    kept = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        parts, _ = ndimage.label(labels == number)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        kept[parts == sizes.argmax()] = number
    return kept


# -- the microscope ------------------------------------------------------------


def _expose(rng: Rng, image: Image) -> NDArray[np.uint8]:
    """Polarity, uneven light, blur, noise, and 8 bits."""
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
    if rng.random() < 0.5:  # shot noise: more where it is bright
        grain *= np.sqrt(np.clip(image, 0.05, None)) * 1.5
    image = np.clip(image + grain, 0, 1) ** rng.uniform(0.7, 1.4)
    return np.rint(image * rng.uniform(150, 255)).astype(np.uint8)


def make(kind: str, seed: int) -> list[TrainingImage]:
    """Make one image.

    Parameters
    ----------
    kind : str
        Of `KINDS` or `UNSEEN`.
    seed : int
        The same seed gives the same image.

    Returns
    -------
    list of TrainingImage
        One for each layer of objects, with the same plane.
    """
    rule = {**KINDS, **UNSEEN}[kind]
    # The name takes part, so that kinds of one seed differ in all their chances.
    rng = np.random.default_rng([seed, *kind.encode()])
    scene = rule(rng, int(rng.choice(SIDES)))
    plane = _expose(rng, scene.image)
    images = []
    for layer in scene.layers:
        if layer.any():
            images += training_images(plane, layer, f"{kind} {seed}")
    return images


def make_many(kinds: tuple[str, ...], count: int, seed: int) -> list[TrainingImage]:
    """Make `count` images, the kinds in turn, with seeds from `seed` on."""
    images: list[TrainingImage] = []
    for number in range(count):
        images += make(kinds[number % len(kinds)], seed + number)
    return images
