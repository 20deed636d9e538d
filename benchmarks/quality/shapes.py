"""Synthetic objects for the benchmark of stacks.

An object is a smooth function of space, positive inside, on planes `ratio` pixels
apart; the unit is a pixel of a plane.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """Random numbers and geometry for placing objects.

    Parameters
    ----------
    rng : Generator
        Random numbers.
    shape : tuple of int
        (Z, H, W).
    ratio : float
        Distance of the planes, in pixels of a plane.
    """

    rng: np.random.Generator
    shape: tuple[int, int, int]
    ratio: float
    axes: tuple[Field, Field, Field] = field(init=False)

    def __post_init__(self) -> None:
        z, y, x = np.ogrid[tuple(slice(0, side) for side in self.shape)]
        axes = (z * np.float32(self.ratio), y, x)
        object.__setattr__(self, "axes", tuple(a.astype(np.float32) for a in axes))

    @property
    def size(self) -> NDArray[np.float64]:
        """Extent along z, y and x, in pixels."""
        return np.array(self.shape) * (self.ratio, 1, 1)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


# ------------------------------------------------------------------- shapes


def ellipsoid(
    scene: Scene, centre: Any, radii: Any, turn: float = 0, lean: Any = (0, 0)
) -> Field:
    """Return an ellipsoid, 1 in the centre; `lean` shifts (y, x) for each step of z."""
    z, y, x = (axis - np.float32(c) for axis, c in zip(scene.axes, centre, strict=True))
    y, x = y - np.float32(lean[0]) * z, x - np.float32(lean[1]) * z
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = cos * y + sin * x, cos * x - sin * y
    rz, ry, rx = (np.float32(r) for r in radii)
    inside: Field = 1 - np.sqrt((z / rz) ** 2 + (along / ry) ** 2 + (across / rx) ** 2)
    return inside


def tube(scene: Scene, path: Any, radius: float) -> Field:
    """Return a tube around a polyline of (z, y, x)."""
    points: Any = np.asarray(path, np.float32)
    nearest: Field = np.full(scene.shape, np.inf, np.float32)
    for start, stop in pairwise(points):
        way = stop - start
        offsets = [axis - s for axis, s in zip(scene.axes, start, strict=True)]
        fraction = sum(o * w for o, w in zip(offsets, way, strict=True)) / (way @ way)
        fraction = np.clip(fraction, 0, 1)
        squared: Any = sum(
            (o - fraction * w) ** 2 for o, w in zip(offsets, way, strict=True)
        )
        np.minimum(nearest, squared, out=nearest)
    inside: Field = (1 - np.sqrt(nearest) / radius).astype(np.float32)
    return inside


def cup(scene: Scene, centre: Any, radii: Any, wall: float, opening: Any) -> Field:
    """Return an ellipsoid with a cavity that opens towards (z, y, x) `opening`."""
    outer = ellipsoid(scene, centre, radii)
    inner_radii = np.asarray(radii) - wall
    moved = np.asarray(centre) + np.asarray(opening) * wall * 1.8
    return np.minimum(outer, -ellipsoid(scene, moved, inner_radii))


# ----------------------------------------------------------------- families


def _places(scene: Scene, count: int, margin: float, apart: float) -> NDArray[Any]:
    """Return random positions on a plane, at the wanted distance where possible."""
    low, high = np.full(2, margin), scene.size[1:] - margin
    found = [scene.rng.uniform(low, high)]
    while len(found) < count:
        tries = scene.rng.uniform(low, high, (40, 2))
        gaps = np.linalg.norm(tries[:, None] - np.array(found), axis=-1).min(1)
        # The first that is far enough, else the farthest: dense, but not a grid.
        found.append(tries[np.argmax(np.minimum(gaps, apart))])
    return np.array(found)


def single(scene: Scene, radius: float) -> Iterator[Field]:
    """Make one object in the middle: two merged ellipsoids."""
    middle, tall = scene.size / 2, scene.size[0] * 0.36
    parts = []
    for fraction, size in ((-0.45, 1.0), (0.5, 0.7)):
        centre = middle + fraction * np.array([tall * 0.4, radius, radius * 0.4])
        shape = np.array([tall, radius, radius * 0.8]) * size
        parts.append(ellipsoid(scene, centre, shape, scene.between(0, np.pi)))
    yield np.maximum(*parts)


def packed(scene: Scene, count: int, radii: tuple[float, float]) -> Iterator[Field]:
    """Make ellipsoids so dense that neighbours touch, at all depths."""
    apart = 1.25 * float(np.mean(radii))
    for place in _places(scene, count, radii[1] * 0.8, apart):
        radius = scene.between(*radii)
        tall = np.clip(radius * scene.between(0.8, 1.3), 2.6 * scene.ratio, None)
        centre = (scene.size[0] * scene.between(0.32, 0.68), *place)
        shape = (tall, radius, radius * scene.between(0.65, 1))
        yield ellipsoid(scene, centre, shape, scene.between(0, np.pi))


def branching(scene: Scene, radius: float) -> Iterator[Field]:
    """Make two Y (one upside down), a U and a slanted tube."""
    deep, tall, wide = scene.size
    places = [(0.27, 0.25), (0.27, 0.73), (0.72, 0.25), (0.73, 0.74)]
    for kind, (row, col) in zip("YAUI", places, strict=True):
        y, x = row * tall, col * wide
        arm = scene.between(0.1, 0.14) * wide
        turn = scene.between(0, np.pi)
        dy, dx = arm * np.sin(turn), arm * np.cos(turn)
        low, mid, high = (deep * fraction for fraction in (0.1, 0.48, 0.88))
        if kind == "A":
            low, mid, high = high, deep - mid, low
        if kind in "YA":
            stem = [(low, y - dx / 2, x + dy / 2), (mid, y, x)]
            paths = [[*stem, (high, y + s * dy, x + s * dx)] for s in (1, -1)]
        elif kind == "U":
            bend = [(low, y, x), (mid * 0.6, y + dy, x + dx)]
            paths = [
                [
                    bend[0],
                    (mid * 0.6, y + s * dy, x + s * dx),
                    (high, y + s * dy, x + s * dx),
                ]
                for s in (1, -1)
            ]
        else:
            paths = [[(low, y - dy, x - dx), (high, y + dy, x + dx)]]
        size = radius * scene.between(0.8, 1.2)
        parts = [tube(scene, path, size) for path in paths]
        yield np.max(parts, axis=0)


def cups(scene: Scene, count: int, radius: float = 45) -> Iterator[Field]:
    """Make cups that open upwards, downwards and sideways."""
    openings = [(1, 0, 0), (-1, 0, 0), (0, 0.8, 0.6), (0.6, -0.8, 0), (0, 0, -1)]
    places = _places(scene, count, radius * 1.1, radius * 2.1)
    for number, place in enumerate(places):
        size = radius * scene.between(0.8, 1.1)
        deep = min(max(size, 3 * scene.ratio), scene.size[0] * 0.42)
        centre = (scene.size[0] * scene.between(0.45, 0.55), *place)
        radii = (deep, size, size * scene.between(0.8, 1))
        wall = size * scene.between(0.28, 0.36)
        yield cup(scene, centre, radii, wall, openings[number % len(openings)])


def leaning(
    scene: Scene, count: int, radius: tuple[float, float], drift: float
) -> Iterator[Field]:
    """Make long objects that shift by `drift` of their width with every slice."""
    for place in _places(scene, count, radius[1] * 1.6, radius[1] * 2.0):
        size, turn = scene.between(*radius), scene.between(0, 2 * np.pi)
        tall = scene.size[0] * scene.between(0.36, 0.44)
        step = drift * 2 * size / scene.ratio
        lean = (step * np.sin(turn), step * np.cos(turn))
        # Move inwards, so that the ends stay on the plane.
        room = np.maximum(np.minimum(place, scene.size[1:] - place) - size, 0)
        most = room / (tall * 0.8)
        lean = np.clip(lean, -most, most)
        centre = (scene.size[0] * scene.between(0.46, 0.54), *place)
        shape = (tall, size, size * scene.between(0.7, 1))
        yield ellipsoid(scene, centre, shape, scene.between(0, np.pi), lean)


def columns(scene: Scene, grid: tuple[int, int], radius: float) -> Iterator[Field]:
    """Make bent columns in a loose lattice, through nearly all slices."""
    steps = scene.size[1:] / grid
    for row, col in np.ndindex(*grid):
        place = (np.array([row, col]) + 0.5) * steps + scene.rng.uniform(-4, 4, 2)
        depths = np.array([0.07, 0.35, 0.65, 0.93]) * scene.size[0]
        wander = np.cumsum(scene.rng.normal(0, radius * 0.35, (4, 2)), axis=0)
        path = np.column_stack([depths, place + wander - wander.mean(0)])
        yield tube(scene, path, radius * scene.between(0.75, 1.15))


def scattered(scene: Scene, grid: tuple[int, int], radius: float) -> Iterator[Field]:
    """Make many small ellipsoids in a loose lattice, at all depths."""
    steps = scene.size[1:] / grid
    for row, col in np.ndindex(*grid):
        place = (np.array([row, col]) + 0.5) * steps + scene.rng.uniform(-3, 3, 2)
        size = radius * scene.between(0.8, 1.15)
        centre = (scene.size[0] * scene.between(0.3, 0.7), *place)
        tall = scene.ratio * scene.between(2.6, 3.6)
        shape = (tall, size, size * scene.between(0.75, 1))
        yield ellipsoid(scene, centre, shape, scene.between(0, np.pi))


def labelled(scene: Scene, shapes: Iterator[Field]) -> NDArray[np.int32]:
    """Assign each voxel to the object with the largest value."""
    deepest = np.zeros(scene.shape, np.float32)
    labels = np.zeros(scene.shape, np.int32)
    for number, inside in enumerate(shapes, start=1):
        wins = inside > deepest
        labels[wins], deepest[wins] = number, inside[wins]
    return labels
