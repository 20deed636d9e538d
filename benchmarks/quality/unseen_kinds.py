"""Planes of objects that the packaged instance head was not trained on.

Each object consists of parts that look like objects of their own. The generators share
no code and no seeds with the training of the instance head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from benchmarks.quality.everything_kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    Labels = NDArray[np.int32]
    Rng = np.random.Generator

_SHAPE, _COUNT = (512, 512), 60


def _places(
    rng: Rng, shape: tuple[int, int], radius: tuple[float, float], gap: float
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yield centres and radii of discs that do not overlap; `gap` over the radius."""
    placed: list[tuple[NDArray[np.float64], float]] = []
    for _ in range(40 * _COUNT):
        size = rng.uniform(*radius)
        centre = rng.uniform(size + 2, np.array(shape) - size - 2)
        if all(
            np.hypot(*(centre - other)) > (1 + gap) * (size + other_size)
            for other, other_size in placed
        ):
            placed.append((centre, size))
            yield centre, size
        if len(placed) == _COUNT:
            return


def _polar(
    shape: tuple[int, int], centre: NDArray[np.float64], turn: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance to a centre and the angle around it, for all pixels."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    y, x = rows - centre[0], cols - centre[1]
    return np.hypot(y, x), np.arctan2(y, x) - turn


def _grain(rng: Rng, shape: tuple[int, int], width: float) -> Image:
    noise = ndimage.gaussian_filter(rng.normal(size=shape), width)
    return (noise / noise.std()).astype(np.float32)


def rosettes(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Rosettes of five to eight bright petals around a dark centre."""
    labels = np.zeros(shape, np.int32)
    image = 40 + 6 * _grain(rng, shape, 10) + 3 * _grain(rng, shape, 1)
    for number, (centre, size) in enumerate(_places(rng, shape, (11, 16), 0.03), 1):
        petals = int(rng.integers(5, 9))
        distance, angle = _polar(shape, centre, rng.uniform(0, 2 * np.pi))
        wave = np.cos(petals * angle)
        labels[distance < size * (0.88 + 0.12 * wave)] = number
        # The petals are blobs on a circle: far from its line and between them is dark.
        across = np.exp(-(((distance / size - 0.62) / 0.22) ** 2))
        petal = across * np.clip(wave, 0, 1) ** 0.7
        image += rng.uniform(90, 160) * petal
    return _exposed(rng, image, 0.9), labels


def doublets(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Pairs of bright balls in a common envelope, which count as one object."""
    labels = np.zeros(shape, np.int32)
    image = 50 + 5 * _grain(rng, shape, 8)
    for number, (centre, size) in enumerate(_places(rng, shape, (11, 16), 0.0), 1):
        turn = rng.uniform(0, np.pi)
        step = 0.5 * size * np.array([np.sin(turn), np.cos(turn)])
        level = rng.uniform(70, 150)
        rows, cols = np.indices(shape)
        along = (rows - centre[0]) * step[0] + (cols - centre[1]) * step[1]
        along = np.clip(along / (step @ step), -1, 1)
        beside = np.hypot(
            rows - centre[0] - along * step[0], cols - centre[1] - along * step[1]
        )
        labels[beside < 0.48 * size] = number
        for side in (-1, 1):
            distance, _ = _polar(shape, centre + side * step, 0)
            ball = distance < 0.46 * size
            image += level * ball * (0.6 + 0.4 * np.clip(1 - distance / size, 0, 1))
    return _exposed(rng, image, 0.8), labels


def granular(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Faint cells with a fuzzy border and strong granules inside."""
    labels = np.zeros(shape, np.int32)
    body, grains = np.zeros(shape), np.zeros(shape)
    for number, (centre, size) in enumerate(_places(rng, shape, (12, 18), 0.05), 1):
        distance, angle = _polar(shape, centre, rng.uniform(0, 2 * np.pi))
        radius = size * (0.92 + 0.08 * np.cos(rng.integers(2, 4) * angle))
        labels[distance < radius] = number
        body += 1 / (1 + np.exp((distance - radius) / (0.12 * size)))
        for _ in range(int(rng.integers(5, 10))):
            turn, away = rng.uniform(0, 2 * np.pi), size * np.sqrt(rng.uniform(0, 0.6))
            spot = centre + away * np.array([np.sin(turn), np.cos(turn)])
            distance, _ = _polar(shape, spot, 0)
            width = rng.uniform(1.5, 2.6)
            grains = np.maximum(grains, rng.uniform(0.6, 1) * (distance < width))
    image = 60 + 6 * _grain(rng, shape, 6) + 28 * body + 120 * grains
    return _exposed(rng, image, 0.8), labels


def _exposed(rng: Rng, image: NDArray[np.float64], blur: float) -> Image:
    blurred = ndimage.gaussian_filter(image, blur)
    return (blurred + rng.normal(0, 4, image.shape)).astype(np.float32)


UNSEEN = tuple(
    Kind(draw.__name__, _SHAPE, draw) for draw in (rosettes, doublets, granular)
)
