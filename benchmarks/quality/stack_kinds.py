"""Kinds of stacks that microscopes and scanners give: blurred, dim, thin, few planes.

`imaged` in `stacks` blurs planes and depth nearly alike. Here the optics are those of
a fluorescence microscope, whose point spread is three times longer along z than
across, with light from out of focus, bleaching and the noise of counted photons; or
those of a scanner, whose objects end sharply from one slice to the next. Every kind
occurs twice, with other shapes and numbers: once for calibration, once for the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from benchmarks.quality.shapes import Scene, ellipsoid, labelled, packed, tube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from benchmarks.quality.shapes import Field
    from benchmarks.quality.stacks import Half

SEED = 2026
# Synthetic objects with fewer voxels than this fraction of the median are hidden.
SMALLEST = 0.15


@dataclass(frozen=True, slots=True)
class Optics:
    """Simulated imaging of a stack.

    Parameters
    ----------
    background : float
        Brightness between the objects, as a fraction of the brightest.
    objects : tuple of float
        Range of the brightness of the objects.
    spread, elongation : float
        Standard deviation of the point spread across, in pixels, and how much longer
        it is along z.
    haze : float
        Fraction of the light that comes from far out of focus.
    texture : float
        Contrast of structures a few pixels wide inside the objects.
    photons : float
        Counted photons of the brightest object in a voxel; 0 for even noise.
    noise : float
        Standard deviation of even noise.
    fade : float
        Fraction of the light that is left in the last slice.
    """

    background: float = 0.05
    objects: tuple[float, float] = (0.4, 1.0)
    spread: float = 1.2
    elongation: float = 3.0
    haze: float = 0.15
    texture: float = 0.15
    photons: float = 150.0
    noise: float = 0.01
    fade: float = 1.0


def photographed(
    scene: Scene, labels: NDArray[np.int32], optics: Optics
) -> NDArray[np.uint16]:
    """Simulate light, optics and camera."""
    rng, (low, high) = scene.rng, optics.objects
    levels = rng.uniform(low, high, labels.max() + 1)
    levels[0] = optics.background
    light = levels[labels].astype(np.float32)
    for width in (1.5, 4.0):
        sigma = (width / scene.ratio, width, width)
        grain = ndimage.gaussian_filter(rng.normal(0, 1, labels.shape), sigma)
        light *= 1 + optics.texture * grain / grain.std()
    light = np.clip(light, 0, None)
    sharp = _blurred(light, optics.spread, optics.elongation, scene.ratio)
    far = _blurred(light, 8 * optics.spread, optics.elongation, scene.ratio)
    signal = (1 - optics.haze) * sharp + optics.haze * far
    signal *= np.linspace(1, optics.fade, len(labels), dtype=np.float32)[:, None, None]
    if optics.photons:
        signal = rng.poisson(signal * optics.photons) / optics.photons
    signal = signal + rng.normal(0, optics.noise, signal.shape)
    image: NDArray[np.uint16] = np.clip(signal * 2000 + 100, 0, 65535).astype(np.uint16)
    return image


def _blurred(
    light: NDArray[np.float32], spread: float, elongation: float, ratio: float
) -> NDArray[np.float32]:
    sigma = (spread * elongation / ratio, spread, spread)
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        light, sigma, mode="constant", cval=float(np.median(light))
    )
    return blurred


# ----------------------------------------------------------------- families


def crowd(
    scene: Scene, count: int, radius: tuple[float, float], tall: float = 1.0
) -> Iterator[Field]:
    """Make nuclei at all depths that lie as close as they fit."""
    apart = 1.6 * float(np.mean(radius))
    stretch = np.array([tall, 1, 1])
    places: list[NDArray[Any]] = []
    while len(places) < count:
        tries = scene.rng.uniform(0, 1, (60, 3)) * scene.size
        if not places:
            places.append(tries[0])
            continue
        offsets = (tries[:, None] - np.array(places)) / stretch
        gaps = np.linalg.norm(offsets, axis=-1).min(1)
        places.append(tries[np.argmax(np.minimum(gaps, apart))])
    for place in places:
        size = scene.between(*radius)
        shape = size * np.array([tall, 1, scene.between(0.75, 1)])
        yield ellipsoid(scene, place, shape, scene.between(0, np.pi))


def organs(scene: Scene, count: int) -> Iterator[Field]:
    """Make compact organs whose ends are flat: they stop from slice to slice."""
    steps = 2 * np.pi / count
    for number in range(count):
        turn = (number + scene.between(-0.2, 0.2)) * steps
        wide = scene.size[1] * scene.between(0.09, 0.15)
        way = scene.size[1] * scene.between(0.24, 0.3)
        centre = scene.size / 2 + (0, way * np.sin(turn), way * np.cos(turn))
        centre[0] = scene.size[0] * scene.between(0.35, 0.65)
        tall = scene.size[0] * scene.between(0.2, 0.35)
        shape = (1e6, wide, wide * scene.between(0.6, 1.0))
        lean = scene.rng.uniform(-0.3, 0.3, 2) * wide / tall
        column = ellipsoid(scene, centre, shape, scene.between(0, np.pi), lean)
        depth = np.abs(scene.axes[0] - np.float32(centre[0])) / np.float32(tall)
        # The outline narrows a little towards the flat ends.
        inside = column - np.float32(0.25) * depth**2
        yield np.where(depth < 1, inside, np.float32(-1))


def vessels(scene: Scene, count: int, radius: float) -> Iterator[Field]:
    """Make trees of vessels that branch twice on their way up."""
    deep, tall, wide = scene.size
    columns = int(np.ceil(np.sqrt(count)))
    for number in range(count):
        cell = np.array([number // columns, number % columns]) + 0.5
        root = cell * (tall, wide) / columns + scene.rng.uniform(-6, 6, 2)
        reach, turn = wide / columns * 0.2, scene.between(0, 2 * np.pi)
        tips = [(root, turn)]
        parts = []
        levels = np.array([0.05, 0.35, 0.65, 0.95]) * deep
        for level, (low, high) in enumerate(pairwise(levels)):
            grown = []
            for place, way in tips:
                spread = (0.0,) if level == 0 else (-0.9, 0.9)
                for side in spread:
                    angle = way + side + scene.between(-0.3, 0.3)
                    step = reach * scene.between(0.6, 1) / (1 + 0.4 * level)
                    end = place + step * np.array([np.sin(angle), np.cos(angle)])
                    size = radius * scene.between(0.85, 1.15) * (1 - 0.12 * level)
                    parts.append(tube(scene, [(low, *place), (high, *end)], size))
                    grown.append((end, angle))
            tips = grown
        yield np.max(parts, axis=0)


# -------------------------------------------------------------------- kinds

_DIM_BESIDE_BRIGHT = Optics(objects=(0.12, 1.0), haze=0.2)
_BLEACHING = Optics(fade=0.2, photons=100)
_WIDE_FIELD = Optics(spread=1.6, haze=0.35, objects=(0.35, 1.0))
_SCANNER = Optics(
    background=0.45, objects=(0.56, 0.78), spread=0.8, elongation=0.3, haze=0.0,
    texture=0.04, photons=0, noise=0.025,
)  # fmt: skip
_CONTRAST_AGENT = Optics(
    background=0.4, objects=(0.75, 1.0), spread=0.9, elongation=1.0, haze=0.0,
    texture=0.06, photons=0, noise=0.04,
)  # fmt: skip

Kind = tuple[str, "Half", tuple[int, int, int], float, "Callable[[Scene], Any]", Optics]


def kinds() -> Iterator[Kind]:
    """Return name, half, shape, ratio, family and optics of each stack."""
    halves: tuple[Half, Half] = ("calibrate", "report")
    first, second = halves
    small = partial(crowd, count=60, radius=(5, 8))
    yield "blurred: small, a", first, (30, 64, 64), 1.0, small, Optics()
    yield "blurred: small, b", second, (32, 60, 68), 1.2, small, _WIDE_FIELD
    large = partial(crowd, count=24, radius=(11, 17))
    yield "blurred: large, a", first, (22, 144, 144), 3.0, large, _WIDE_FIELD
    yield "blurred: large, b", second, (26, 128, 160), 2.0, large, Optics(spread=2)
    mixed = partial(crowd, count=22, radius=(8, 12))
    yield "dim beside bright, a", first, (24, 112, 112), 2.0, mixed, _DIM_BESIDE_BRIGHT
    yield "dim beside bright, b", second, (28, 96, 120), 1.5, mixed, _DIM_BESIDE_BRIGHT
    deep = partial(crowd, count=24, radius=(9, 13))
    yield "bleaching, a", first, (36, 112, 112), 2.0, deep, _BLEACHING
    yield "bleaching, b", second, (40, 120, 104), 1.5, deep, _BLEACHING
    few = partial(packed, count=10, radii=(16, 26))
    yield "five planes, a", first, (5, 200, 200), 9.0, few, Optics(spread=1.5)
    yield "five planes, b", second, (5, 224, 192), 7.0, few, _WIDE_FIELD
    thin = partial(crowd, count=14, radius=(13, 20))
    yield "thin slices, a", first, (44, 128, 128), 1.0, thin, Optics()
    yield "thin slices, b", second, (52, 120, 136), 0.8, thin, _BLEACHING
    sharp = partial(organs, count=5)
    yield "organs, a", first, (24, 224, 224), 4.0, sharp, _SCANNER
    yield "organs, b", second, (28, 208, 240), 3.0, sharp, _SCANNER
    trees = partial(vessels, count=4, radius=6)
    yield "vessels, a", first, (30, 192, 192), 2.0, trees, _CONTRAST_AGENT
    yield "vessels, b", second, (36, 176, 208), 2.5, trees, _CONTRAST_AGENT


def image_and_truth(
    name: str,
    shape: tuple[int, int, int],
    ratio: float,
    family: Callable[[Scene], Iterator[Field]],
    optics: Optics,
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Make one stack; its name seeds the random numbers."""
    rng = np.random.default_rng([SEED, *name.encode()])
    scene = Scene(rng, shape, ratio)
    labels = labelled(scene, family(scene))
    image = photographed(scene, labels, optics)
    counts = np.bincount(labels.ravel())
    labels[(counts < SMALLEST * np.median(counts[1:][counts[1:] > 0]))[labels]] = 0
    return image, labels
