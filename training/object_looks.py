"""Looks of objects for the instance head: how a microscope shows a layout.

A scene mixes what images of cells have: bright or dark objects, domes, rings, texture,
nuclei inside cells, membranes, halos, relief, staining, haze, debris, blur, noise and
compression. A seed determines a scene.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from object_layouts import LAYOUTS, Sizes, noise
from PIL import Image
from scipy import ndimage
from skimage.transform import resize

from napari_sam.training.instances.targets import depth_of, inner_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rng = np.random.Generator
    Labels = NDArray[np.int32]
    Floats = NDArray[np.float64]

# Diameters of objects for the network, whose input has this side.
SIDE = 256
DIAMETERS = (6.0, 110.0)
# (layout, shape, looks, weight)
MIXTURE: tuple[tuple[str, str, tuple[str, ...], float], ...] = (
    ("scattered", "ellipse", ("fill", "dome", "ring", "texture"), 5),
    ("colonies", "ellipse", ("fill", "dome", "ring", "texture", "halo"), 5),
    ("scattered", "ellipse", ("stain",), 2),
    ("colonies", "ellipse", ("stain",), 1.5),
    ("scattered", "ellipse", ("halo", "relief", "nucleus"), 2),
    ("colonies", "rod", ("fill", "halo", "ring", "dome"), 2.5),
    ("chains", "rod", ("fill", "halo", "dome"), 2),
    ("scattered", "rod", ("fill", "halo", "ring"), 1.5),
    ("tiling", "ellipse", ("membrane", "fill", "nucleus"), 3),
    ("scattered", "branched", ("fill", "halo", "texture"), 1.5),
    ("scattered", "polygon", ("fill", "ring", "relief", "texture"), 1),
    ("chains", "ellipse", ("fill", "ring", "dome"), 1),
    ("empty", "ellipse", ("fill",), 1.5),
)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A window as the network sees it, and its objects.

    Parameters
    ----------
    pixels : ndarray
        (256, 256) or (256, 256, 3) uint8.
    labels : ndarray
        (256, 256) int32.
    name : str
        Layout, shape and look.
    """

    pixels: NDArray[np.uint8]
    labels: Labels
    name: str


def make(seed: int) -> Scene:
    """Make a scene."""
    rng = np.random.default_rng([20, seed])
    layout, shape, look = _draw_kind(rng, MIXTURE)
    # Some windows have fewer pixels than the network's input, some more.
    side = int(rng.choice([128, 192, 256, 256, 256, 384]))
    typical = np.exp(rng.uniform(*np.log(DIAMETERS))) * side / SIDE
    sizes = Sizes(max(typical, 4.5), float(rng.choice([0.05, 0.15, 0.3, 0.5])))
    labels = LAYOUTS[layout](rng, side, sizes, shape)
    image = LOOKS[look](rng, labels)
    pixels = expose(rng, image)
    return Scene(*fit(pixels, labels), f"{layout} {shape} {look}")


def make_plane(
    seed: int, side: int, diameters: tuple[float, float]
) -> tuple[NDArray[np.uint8], Labels]:
    """Make a plane of any size with objects, and its labels."""
    rng = np.random.default_rng([21, seed])
    kinds = tuple(row for row in MIXTURE if row[0] != "empty")
    layout, shape, look = _draw_kind(rng, kinds)
    typical = float(np.exp(rng.uniform(*np.log(diameters))))
    sizes = Sizes(typical, float(rng.choice([0.05, 0.15, 0.3])))
    labels = LAYOUTS[layout](rng, side, sizes, shape)
    return expose(rng, LOOKS[look](rng, labels)), labels


def _draw_kind(
    rng: Rng, mixture: tuple[tuple[str, str, tuple[str, ...], float], ...]
) -> tuple[str, str, str]:
    """Draw layout, shape and look."""
    weights = np.array([row[3] for row in mixture])
    layout, shape, looks, _ = mixture[
        rng.choice(len(mixture), p=weights / weights.sum())
    ]
    return layout, shape, str(rng.choice(looks))


def fit(pixels: NDArray[np.uint8], labels: Labels) -> tuple[NDArray[np.uint8], Labels]:
    """Resize a window to the input of the network."""
    side = len(labels)
    if side == SIDE:
        return pixels, labels
    target = (SIDE, SIDE, *pixels.shape[2:])
    order = 3 if side < SIDE else 1
    resized = resize(
        pixels, target, order=order, anti_aliasing=side > SIDE, preserve_range=True
    )
    nearest = ((np.arange(SIDE) + 0.5) * side / SIDE).astype(int)
    return (
        np.clip(np.rint(resized), 0, 255).astype(np.uint8),
        labels[np.ix_(nearest, nearest)],
    )


# -- looks ---------------------------------------------------------------------


def _levels(rng: Rng, labels: Labels) -> Floats:
    """Draw a brightness for each object; 0 for the background."""
    spread = float(rng.choice([0.05, 0.2, 0.5]))
    levels = np.exp(rng.normal(0, spread, int(labels.max()) + 1))
    levels[0] = 0
    if rng.random() < 0.15:  # objects brighter and darker than the background
        levels *= rng.choice([-1, 1], len(levels))
    image: Floats = levels[labels]
    return image


def ground(rng: Rng, side: int) -> Floats:
    """Return a background with mean 0: texture of several scales, haze and debris."""
    field = np.zeros((side, side))
    if rng.random() < 0.8:
        for scale in (0.7, 2, 6, 20):
            field += rng.uniform(0, 0.12) * noise(rng, side, scale)
    if rng.random() < 0.3:  # objects out of focus
        blobs = ndimage.gaussian_filter(
            (rng.random((side, side)) < 6 / side**2).astype(float), side / 14
        )
        field += rng.uniform(0.2, 0.8) * blobs / max(blobs.max(), 1e-9)
    if rng.random() < 0.2:  # specks that are no objects
        specks = ndimage.gaussian_filter(
            (rng.random((side, side)) < 30 / side**2).astype(float), 0.8
        )
        field += rng.normal(0, 0.6) * specks / max(specks.max(), 1e-9)
    if rng.random() < 0.15:  # fibres
        field += rng.uniform(0.1, 0.4) * (np.abs(noise(rng, side, side / 25)) < 0.06)
    return field


def fill(rng: Rng, labels: Labels) -> Floats:
    """Fill objects evenly, with a weak texture."""
    image = _levels(rng, labels) * (1 + 0.05 * noise(rng, len(labels), 2))
    return image + ground(rng, len(labels))


def dome(rng: Rng, labels: Labels) -> Floats:
    """Make objects brightest in their centre, like round nuclei."""
    power = rng.uniform(0.3, 1.2)
    return _levels(rng, labels) * depth_of(labels) ** power + ground(rng, len(labels))


def ring(rng: Rng, labels: Labels) -> Floats:
    """Make objects brightest at their border."""
    depth = depth_of(labels)
    rim = np.exp(-((depth / rng.uniform(0.15, 0.5)) ** 2)) * (labels > 0)
    body = rng.uniform(-0.2, 0.6)
    return _levels(rng, labels) * (rim + body) + ground(rng, len(labels))


def texture(rng: Rng, labels: Labels) -> Floats:
    """Give objects a texture of their own, sometimes with the background's mean."""
    side = len(labels)
    inside = rng.uniform(0.15, 0.5) * noise(rng, side, rng.uniform(0.7, 4))
    inside += rng.choice([0.0, 0.5, 1.0])
    image = np.where(labels > 0, inside, 0.3 * ground(rng, side))
    return image + rng.uniform(0.1, 0.7) * inner_edges(labels)


def halo(rng: Rng, labels: Labels) -> Floats:
    """Surround objects by a halo, as phase contrast does."""
    inside = (labels > 0).astype(float)
    width = rng.uniform(1.5, 5)
    glow = ndimage.gaussian_filter(inside, width) * (labels == 0)
    body = rng.uniform(-1, 0.3) * inside * (0.7 + 0.6 * rng.random() * depth_of(labels))
    image = body + rng.uniform(0.4, 1.6) * glow
    image -= rng.uniform(0, 0.6) * inner_edges(labels)
    image += rng.uniform(0, 0.15) * inside * noise(rng, len(labels), 1.5)
    return image + 0.6 * ground(rng, len(labels))


def relief(rng: Rng, labels: Labels) -> Floats:
    """Light objects from one side, as differential interference contrast does."""
    side = len(labels)
    height = depth_of(labels) ** 0.5 + 0.1 * noise(rng, side, 3) * (labels > 0)
    rows, cols = np.gradient(ndimage.gaussian_filter(height, 1))
    turn = rng.uniform(0, 2 * np.pi)
    lit = rows * np.sin(turn) + cols * np.cos(turn)
    image = lit / max(float(np.abs(lit).max()), 1e-9)
    return image + rng.uniform(-0.3, 0.3) * (labels > 0) + 0.2 * ground(rng, side)


def nucleus(rng: Rng, labels: Labels) -> Floats:
    """Draw cells with a nucleus or grains inside; the cell is the object."""
    side, depth = len(labels), depth_of(labels)
    image = _levels(rng, labels) * rng.uniform(0.4, 0.8)
    image += rng.uniform(-0.8, 0.8) * (depth > rng.uniform(0.45, 0.75))
    image += rng.uniform(0, 0.3) * (noise(rng, side, 1.2) > 1) * (labels > 0)
    image += rng.uniform(0.1, 0.8) * inner_edges(labels)
    return image + ground(rng, side)


def membrane(rng: Rng, labels: Labels) -> Floats:
    """Draw only the borders of cells, as in electron microscopy or of stained walls."""
    side = len(labels)
    edges = inner_edges(labels) | ndimage.binary_dilation(inner_edges(labels))
    walls = ndimage.gaussian_filter(edges.astype(float), rng.uniform(0.4, 1.2))
    image = rng.uniform(0.6, 1.2) * walls * (1 + 0.3 * noise(rng, side, 8))
    image += rng.uniform(0, 0.15) * noise(rng, side, 1)
    grains = (noise(rng, side, 1.5) > 1.6) * (labels > 0)
    image += rng.choice([0.0, 0.3]) * grains + 0.1 * _levels(rng, labels)
    outside = rng.uniform(-0.2, 0.3) + 0.1 * noise(rng, side, 2)
    return np.where((labels == 0) & ~edges, outside, image)


def stain(rng: Rng, labels: Labels) -> Floats:
    """Draw stained nuclei on tissue in colours, (H, W, 3)."""
    side = len(labels)
    tissue = 0.5 + 0.2 * noise(rng, side, rng.uniform(3, 15))
    tissue += 0.12 * noise(rng, side, 1) + 0.3 * ground(rng, side)
    tissue *= noise(rng, side, side / 4) > rng.uniform(-2.5, -0.8)
    density = np.abs(_levels(rng, labels)) * (0.8 + 0.3 * noise(rng, side, 1.5))
    density += 0.3 * inner_edges(labels)
    # Absorbances of haematoxylin and eosin (Ruifrok and Johnston 2001), and others.
    pairs = (
        ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)),
        ((0.65, 0.70, 0.29), (0.27, 0.57, 0.78)),
    )
    pair = pairs[rng.integers(len(pairs))]
    dye, counter = (np.abs(np.array(c) + rng.normal(0, 0.08, 3)) for c in pair)
    absorbed = rng.uniform(0.6, 1.4) * density[..., None] * dye
    absorbed = (
        absorbed + rng.uniform(0.1, 0.7) * np.clip(tissue, 0, 2)[..., None] * counter
    )
    return np.exp(-absorbed)


LOOKS = {
    f.__name__: f
    for f in (fill, dome, ring, texture, halo, relief, nucleus, membrane, stain)
}


# -- the microscope ------------------------------------------------------------


def expose(rng: Rng, image: Floats) -> NDArray[np.uint8]:
    """Add polarity, uneven light, blur, noise and compression; convert to 8 bits."""
    side, is_colour = len(image), image.ndim == 3
    if not is_colour and rng.random() < 0.45:
        image = -image
    blur = rng.choice([0.3, 0.7, 1.2, 2.0])
    image = ndimage.gaussian_filter(image, (blur, blur, 0)[: image.ndim])
    low, high = np.percentile(image, [0.5, 99.5])
    image = (image - low) / max(high - low, 1e-6)
    if rng.random() < 0.4:
        light = 1 + rng.uniform(0, 0.35) * noise(rng, side, side / 3)
        image = image * (light[..., None] if is_colour else light)
    # Some images fill their range, in others one bright object sets it.
    image = image * rng.choice([1.0, 1.0, 0.6, 0.3]) + rng.choice([0, 0.05, 0.3])
    sigma = np.exp(rng.uniform(np.log(0.005), np.log(0.12)))
    grain = rng.normal(size=image.shape)
    if rng.random() < 0.5:  # shot noise: stronger where it is bright
        grain *= np.sqrt(np.clip(image, 0.02, None))
    if rng.random() < 0.2:
        grain = ndimage.gaussian_filter(grain, (0.8, 0.8, 0)[: image.ndim]) * 2
    image = np.clip(image + sigma * grain, 0, 1) ** rng.uniform(0.6, 1.6)
    pixels = np.rint(image * 255).astype(np.uint8)
    if is_colour and rng.random() < 0.15:
        pixels = 255 - pixels
    if rng.random() < 0.2:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=int(rng.integers(30, 90)))
        pixels = np.array(Image.open(stream))
    return pixels
