"""Layouts of objects for the instance head: many shapes, sizes and ways to be close.

A layout is a label image; what the objects look like is added by `object_looks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rng = np.random.Generator
    Labels = NDArray[np.int32]
    Floats = NDArray[np.float64]
    # Takes rows and columns relative to the centre in units of the object's radius;
    # negative inside.
    Shape = Callable[[Floats, Floats], Floats]

# Smallest part of an object that must stay visible, and its smallest area in pixels.
_MIN_VISIBLE, _MIN_AREA = 0.6, 9
_MAX_OBJECTS = 900


@dataclass(frozen=True, slots=True)
class Sizes:
    """Diameters of the objects of a layout, in pixels.

    Parameters
    ----------
    typical : float
        Median diameter.
    spread : float
        Standard deviation of the logarithm.
    """

    typical: float
    spread: float

    def draw(self, rng: Rng) -> float:
        """Return the diameter of one object."""
        return float(self.typical * np.exp(rng.normal(0, self.spread)))


# -- shapes --------------------------------------------------------------------


def ellipse(rng: Rng) -> Shape:
    """Return an ellipse with a wobbling outline."""
    wobble = rng.choice([0.02, 0.06, 0.12])
    waves = [
        (k, rng.normal(0, wobble / np.sqrt(k - 1)), rng.uniform(0, 2 * np.pi))
        for k in (2, 3, 4, 5)
    ]
    flat = rng.uniform(0.55, 1.0)

    def inside(rows: Floats, cols: Floats) -> Floats:
        angle = np.arctan2(rows, cols)
        radius = 1 + sum(a * np.cos(k * angle + phase) for k, a, phase in waves)
        return np.hypot(rows * np.sqrt(flat), cols / np.sqrt(flat)) - radius

    return inside


def rod(rng: Rng) -> Shape:
    """Return a bent capsule, like a bacterium."""
    aspect = rng.uniform(2, 6)
    width, bend = 1 / np.sqrt(aspect), rng.normal(0, 0.15)
    length = np.sqrt(aspect) - width

    def inside(rows: Floats, cols: Floats) -> Floats:
        bent = rows + bend * (cols**2 - length**2 / 3)
        return np.hypot(bent, np.maximum(np.abs(cols) - length, 0)) - width

    return inside


def polygon(rng: Rng) -> Shape:
    """Return a polygon with blunt corners."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 8)))
    offsets = rng.uniform(0.7, 1.05, len(angles))

    def inside(rows: Floats, cols: Floats) -> Floats:
        sides = [
            rows * np.sin(a) + cols * np.cos(a) - o
            for a, o in zip(angles, offsets, strict=True)
        ]
        return np.maximum(np.max(sides, axis=0), np.hypot(rows, cols) - 1.3)

    return inside


def branched(rng: Rng) -> Shape:
    """Return a body with a few arms, like a neuron or a spread cell."""
    arms = [
        (rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.7), rng.uniform(0.12, 0.3))
        for _ in range(rng.integers(2, 6))
    ]
    body = rng.uniform(0.5, 0.8)

    def inside(rows: Floats, cols: Floats) -> Floats:
        parts = [np.hypot(rows, cols) - body]
        for turn, length, width in arms:
            along = rows * np.sin(turn) + cols * np.cos(turn)
            across = np.abs(rows * np.cos(turn) - cols * np.sin(turn))
            beyond = np.maximum(np.maximum(-along, along - length), 0)
            taper = width * (1 - 0.5 * np.clip(along / length, 0, 1))
            parts.append(np.hypot(across, beyond) - taper)
        return np.min(parts, axis=0)

    return inside


SHAPES = {
    "ellipse": ellipse,
    "rod": rod,
    "polygon": polygon,
    "branched": branched,
}


def _draw(
    labels: Labels,
    number: int,
    shape: Shape,
    centre: Floats,
    radius: float,
    turn: float,
    *,
    gap: int = 0,
    allowed: NDArray[np.bool_] | None = None,
) -> bool:
    """Draw an object on free pixels; tell whether enough of it is visible."""
    half = int(np.ceil(2.6 * radius)) + 1
    row, col = np.rint(centre).astype(int)
    top, left = max(row - half, 0), max(col - half, 0)
    window = (slice(top, row + half + 1), slice(left, col + half + 1))
    view = labels[window]
    if not view.size:
        return False
    rows, cols = np.mgrid[
        window[0].start : top + view.shape[0], left : left + view.shape[1]
    ]
    y, x = (rows - centre[0]) / radius, (cols - centre[1]) / radius
    turned = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
    mask = shape(*turned) < 0
    taken = view > 0
    if gap:
        taken = ndimage.binary_dilation(taken, iterations=gap)
    free = mask & ~taken
    if allowed is not None:
        free &= allowed[window]
    if free.sum() < max(_MIN_AREA, _MIN_VISIBLE * mask.sum()):
        return False
    pieces, count = ndimage.label(free)
    if count > 1:
        free = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    view[free] = number
    return True


# -- layouts -------------------------------------------------------------------


def scattered(rng: Rng, side: int, sizes: Sizes, shape: str) -> Labels:
    """Place objects at random, apart or touching."""
    labels = np.zeros((side, side), np.int32)
    area = np.pi / 4 * sizes.typical**2
    density = rng.uniform(0.05, 0.7)
    count = int(np.clip(density * side**2 / area, 1, _MAX_OBJECTS))
    gap = int(rng.choice([0, 0, 1, 2, 3]))
    number = 1
    for _ in range(count):
        radius = sizes.draw(rng) / 2
        centre = rng.uniform(-0.3 * radius, side + 0.3 * radius, 2)
        turn = rng.uniform(0, 2 * np.pi)
        number += _draw(
            labels, number, SHAPES[shape](rng), centre, radius, turn, gap=gap
        )
    return labels


def colonies(rng: Rng, side: int, sizes: Sizes, shape: str) -> Labels:
    """Pack touching objects into a few clusters."""
    labels = np.zeros((side, side), np.int32)
    number, reach = 1, rng.uniform(1.5, 4) * sizes.typical
    for _ in range(max(1, int(rng.uniform(0.1, 0.5) * side**2 / (3 * reach**2)))):
        middle = rng.uniform(0, side, 2)
        heading = rng.uniform(0, np.pi)
        spacing = sizes.typical * rng.uniform(0.7, 0.95)
        for _ in range(int(min((reach / spacing) ** 2 * 3, 120))):
            centre = middle + rng.normal(0, reach / 2, 2)
            turn = heading + rng.normal(0, 0.4)
            number += _draw(
                labels, number, SHAPES[shape](rng), centre, sizes.draw(rng) / 2, turn
            )
        if number > _MAX_OBJECTS:
            break
    return labels


def chains(rng: Rng, side: int, sizes: Sizes, shape: str) -> Labels:
    """Line up objects end to end along winding paths."""
    labels = np.zeros((side, side), np.int32)
    number = 1
    for _ in range(int(rng.integers(2, 3 + side / sizes.typical / 2))):
        place, heading = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
        for _ in range(rng.integers(2, 10)):
            diameter = sizes.draw(rng)
            heading += rng.normal(0, 0.25)
            step = np.array([np.sin(heading), np.cos(heading)])
            one = SHAPES[shape](rng)
            length = _length(one)
            place = place + step * diameter / 2 * length
            # The columns of a shape lie along the chain.
            number += _draw(labels, number, one, place, diameter / 2, heading)
            place = place + step * diameter / 2 * length
    return labels


def _length(shape: Shape) -> float:
    """Return half the length of a shape along its columns."""
    cols = np.linspace(0, 3, 61)
    return float(cols[shape(np.zeros(61), cols) < 0].max(initial=0.5))


def tiling(rng: Rng, side: int, sizes: Sizes, shape: str) -> Labels:
    """Fill the plane, or a part of it, with adjacent cells."""
    step = sizes.typical
    count = int(np.ceil(side / step)) + 2
    seeds = (np.stack(np.mgrid[:count, :count], -1).reshape(-1, 2) - 0.5) * step
    seeds = seeds + rng.uniform(-0.4, 0.4, seeds.shape) * step
    bend = np.stack([noise(rng, side, max(step / 5, 1)) for _ in "rc"], -1)
    points = np.stack(np.mgrid[:side, :side], -1) + bend * step * 0.05
    _, nearest = cKDTree(seeds).query(points.reshape(-1, 2))
    labels: Labels = (nearest.reshape(side, side) + 1).astype(np.int32)
    if rng.random() < 0.4:
        labels[noise(rng, side, side / 6) > rng.uniform(0, 1)] = 0
    if rng.random() < 0.3:
        kept = rng.random(len(seeds) + 1) < rng.uniform(0.4, 0.9)
        labels[~kept[labels]] = 0
    if rng.random() < 0.5:
        edges = segmentation.find_boundaries(labels, mode="inner")
        labels[edges] = 0
    return separate(labels)


def empty(rng: Rng, side: int, sizes: Sizes, shape: str) -> Labels:
    """Return a plane without objects."""
    return np.zeros((side, side), np.int32)


LAYOUTS = {
    "scattered": scattered,
    "colonies": colonies,
    "chains": chains,
    "tiling": tiling,
    "empty": empty,
}


def separate(labels: Labels) -> Labels:
    """Give each connected piece of at least a few pixels a label of its own."""
    edges = np.zeros(labels.shape, bool)
    edges[1:] |= labels[1:] != labels[:-1]
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    pieces = ndimage.label((labels > 0) & ~edges)[0]
    # Pixels on an edge belong to the piece of the same label next to them.
    for shift in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        moved = np.roll(pieces, shift, (0, 1))
        same = np.roll(labels, shift, (0, 1)) == labels
        fill = (pieces == 0) & (labels > 0) & same
        pieces[fill] = moved[fill]
    sizes = np.bincount(pieces.ravel())
    pieces[sizes[pieces] < _MIN_AREA] = 0
    return segmentation.relabel_sequential(pieces)[0].astype(np.int32)


def noise(rng: Rng, side: int, scale: float) -> Floats:
    """Make smooth noise with mean 0 and standard deviation 1."""
    coarse = max(1, int(scale / 3))
    small = rng.normal(size=(side // coarse + 2,) * 2)
    small = ndimage.gaussian_filter(small, scale / coarse, mode="wrap")
    field: Floats = ndimage.zoom(small, coarse, order=1)[:side, :side]
    if field.shape != (side, side):
        field = np.resize(field, (side, side))
    return (field - field.mean()) / max(float(field.std()), 1e-9)
