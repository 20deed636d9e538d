"""Planes with all objects known, to measure automatic segmentation.

Thirteen kinds of images with objects of 5 to 100 pixels in planes of 512 to 2,048. The
training of the instance head shares no code and no seeds with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage import draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    Labels = NDArray[np.int32]
    Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of image.

    Parameters
    ----------
    name : str
        For the table.
    shape : tuple of int
        (H, W).
    draw : callable
        Takes a generator and a shape; returns image and labels.
    """

    name: str
    shape: tuple[int, int]
    draw: Callable[[Rng, tuple[int, int]], tuple[Image, Labels]]

    def make(self, seed: int) -> tuple[NDArray[np.uint8], Labels]:
        """Return one 8-bit image and its labels."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        image, labels = self.draw(rng, self.shape)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


def _outline(
    rng: Rng, size: float, *, stretch: float = 1.0, rough: float = 0.05
) -> NDArray[np.float64]:
    """Return (N, 2) vertices around 0 of an outline with random curvature."""
    steps = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    kicks = ndimage.gaussian_filter1d(rng.normal(size=48), 4, mode="wrap")
    radius = size / 2 * (1 + rough * kicks / max(kicks.std(), 1e-9))
    turn = rng.uniform(0, np.pi)
    along, across = radius * np.cos(steps) * stretch, radius * np.sin(steps) / stretch
    return np.stack(
        [
            along * np.sin(turn) + across * np.cos(turn),
            along * np.cos(turn) - across * np.sin(turn),
        ],
        axis=1,
    )


def _fill(
    labels: Labels, number: int, vertices: NDArray[np.float64], share: float
) -> bool:
    """Fill a polygon where it is free, if it overlaps others by less than a share."""
    inside = draw.polygon(vertices[:, 0], vertices[:, 1], labels.shape)
    if len(inside[0]) < 8:
        return False
    free = labels[inside] == 0
    if free.mean() < 1 - share:
        return False
    labels[inside[0][free], inside[1][free]] = number
    return True


def _throw(
    rng: Rng,
    shape: tuple[int, int],
    count: int,
    size: tuple[float, float],
    *,
    stretch: tuple[float, float] = (1.0, 1.3),
    rough: float = 0.05,
    share: float = 0.0,
    grouped: float = 0.0,
) -> Labels:
    """Throw objects into a plane; some next to an earlier one."""
    labels = np.zeros(shape, np.int32)
    number, centres = 1, []
    for _ in range(30 * count):
        diameter = rng.uniform(*size)
        margin = 0.6 * diameter
        if centres and rng.random() < grouped:
            angle = rng.uniform(0, 2 * np.pi)
            away = np.array([np.sin(angle), np.cos(angle)]) * diameter * 1.02
            centre = centres[rng.integers(len(centres))] + away
        else:
            centre = rng.uniform(margin, np.array(shape) - margin)
        outline = _outline(rng, diameter, stretch=rng.uniform(*stretch), rough=rough)
        if _fill(labels, number, outline + centre, share):
            number += 1
            centres.append(centre)
        if number > count:
            break
    return labels


def _grain(rng: Rng, shape: tuple[int, int], width: float) -> Image:
    noise = ndimage.gaussian_filter(
        rng.standard_normal(shape).astype(np.float32), width
    )
    return noise / noise.std()


def _brightness(rng: Rng, labels: Labels, low: float, high: float) -> Image:
    table = rng.uniform(low, high, labels.max() + 1).astype(np.float32)
    table[0] = 0
    return table[labels]


def _camera(rng: Rng, image: Image, blur: float, noise: float) -> Image:
    sigmas = (blur, blur, 0)[: image.ndim]
    blurred = ndimage.gaussian_filter(image, sigmas)
    return blurred + noise * rng.standard_normal(image.shape).astype(np.float32)


def fluorescence(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Bright nuclei of unequal brightness, some touching."""
    labels = _throw(rng, shape, 120, (18, 26), grouped=0.5, share=0.1)
    chromatin = 1 + 0.12 * _grain(rng, shape, 1.5)
    image = 15 + _brightness(rng, labels, 40, 190) * chromatin
    return _camera(rng, image, 1.0, 5), labels


def wide_fluorescence(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Dimmer nuclei in a wide plane, with a haze."""
    labels = _throw(rng, shape, 170, (20, 30), grouped=0.6, share=0.1)
    haze = 14 * _grain(rng, shape, 40)
    image = 40 + haze + _brightness(rng, labels, 30, 110)
    return _camera(rng, image, 1.4, 4), labels


def dark(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Dark nuclei on a texture."""
    labels = _throw(rng, shape, 90, (20, 28), grouped=0.3, share=0.1)
    ground = 150 + 12 * _grain(rng, shape, 1.2) + 10 * _grain(rng, shape, 9)
    image = ground - _brightness(rng, labels, 45, 80)
    return _camera(rng, image, 0.8, 4), labels


def spots(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Small bright spots."""
    labels = _throw(rng, shape, 180, (6, 9), stretch=(1.0, 1.1), rough=0.02)
    image = 30 + 4 * _grain(rng, shape, 12) + _brightness(rng, labels, 70, 180)
    return _camera(rng, image, 0.8, 4), labels


def histology(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Violet nuclei in pink tissue."""
    labels = _throw(
        rng, shape, 70, (20, 36), stretch=(1.0, 1.5), grouped=0.3, share=0.1
    )
    tissue = 1 + 0.12 * _grain(rng, shape, 6) + 0.08 * _grain(rng, shape, 1)
    pink, violet = np.array([232, 178, 205]), np.array([112, 74, 150])
    inside = (labels > 0)[..., None]
    stain = 1 + 0.15 * _grain(rng, shape, 1.5)
    image = np.where(inside, violet * stain[..., None], pink * tissue[..., None])
    return _camera(rng, image.astype(np.float32), 0.9, 4), labels


def bacteria(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Dark rods in phase contrast, in groups, with a bright fringe."""
    labels = _throw(
        rng,
        shape,
        110,
        (15, 20),
        stretch=(1.5, 1.9),
        rough=0.02,
        grouped=0.7,
        share=0.05,
    )
    inside = (labels > 0).astype(np.float32)
    fringe = ndimage.gaussian_filter(inside, 3) * (1 - inside)
    image = 130 + 3 * _grain(rng, shape, 5) + 90 * fringe - 60 * inside
    return _camera(rng, image, 0.9, 4), labels


def epithelium(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Adjacent cells with bright walls."""
    spacing = 42
    grid = np.stack(
        np.meshgrid(
            *(np.arange(0, s + spacing, spacing) for s in shape), indexing="ij"
        ),
        -1,
    )
    seeds = grid.reshape(-1, 2) + rng.normal(0, 9, (grid.size // 2, 2))
    marks = np.zeros(shape, np.int32)
    seeds = np.clip(np.rint(seeds).astype(int), 0, np.array(shape) - 1)
    marks[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    _, nearest = ndimage.distance_transform_edt(marks == 0, return_indices=True)
    cells = marks[tuple(nearest)]
    walls = ndimage.morphological_gradient(cells, size=3) > 0
    labels = np.where(walls, 0, cells).astype(np.int32)
    image = (
        45
        + 6 * _grain(rng, shape, 3)
        + 140 * ndimage.gaussian_filter(walls.astype(np.float32), 0.8)
    )
    return _camera(rng, image, 0.7, 6), _large_parts(labels, 60)


def _large_parts(labels: Labels, smallest: int) -> Labels:
    """Drop labels that are smaller, and number the others."""
    parts = ndimage.label(labels > 0)[0]
    sizes = np.bincount(parts.ravel())
    keep = sizes >= smallest
    keep[0] = False
    numbers = np.cumsum(keep) * keep
    return numbers[parts].astype(np.int32)


def large_cells(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Large textured cells with a brighter nucleus."""
    labels = _throw(rng, shape, 45, (85, 115), rough=0.08, grouped=0.3, share=0.05)
    texture = 1 + 0.2 * _grain(rng, shape, 2.5)
    image = 40 + 5 * _grain(rng, shape, 10) + _brightness(rng, labels, 45, 90) * texture
    for part in ndimage.find_objects(labels):
        rows, cols = np.mgrid[part]
        middle = [(p.start + p.stop) / 2 + rng.normal(0, 4) for p in part]
        image[part] += 60 * (np.hypot(rows - middle[0], cols - middle[1]) < 17)
    return _camera(rng, image, 1.2, 5), labels


def vesicles(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Rings: bright rims, dark inside."""
    labels = _throw(rng, shape, 80, (22, 40), stretch=(1.0, 1.15), rough=0.02)
    depth = ndimage.distance_transform_edt(labels > 0)
    rim = np.exp(-((depth - 2) ** 2) / 4) * (labels > 0)
    image = 35 + 5 * _grain(rng, shape, 6) + 150 * rim
    return _camera(rng, image.astype(np.float32), 0.9, 6), labels


def phase_contrast(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Grey cells with a bright halo and a grainy body."""
    labels = _throw(
        rng, shape, 50, (42, 62), stretch=(1.0, 1.4), rough=0.08, grouped=0.2
    )
    inside = (labels > 0).astype(np.float32)
    halo = (ndimage.gaussian_filter(inside, 5) - inside).clip(0)
    image = 110 + 110 * halo - 14 * inside + 12 * inside * _grain(rng, shape, 1.5)
    return _camera(rng, image + 4 * _grain(rng, shape, 15), 0.9, 4), labels


def mixed_sizes(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Objects from 12 to 90 pixels side by side."""
    labels = _throw(rng, shape, 14, (70, 90), rough=0.04)
    small = _throw(rng, shape, 160, (12, 30), rough=0.04)
    crowded = ndimage.binary_dilation(labels > 0, iterations=3)
    blocked = np.unique(small[crowded])
    small[np.isin(small, blocked)] = 0
    small = _large_parts(small, 8)
    labels = np.where(small > 0, small + labels.max(), labels).astype(np.int32)
    image = 50 + 8 * _grain(rng, shape, 3) + _brightness(rng, labels, 60, 120)
    return _camera(rng, image, 1.0, 5), labels


def colonies(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Packed round cells with thin dark outlines, like yeast."""
    labels = _throw(
        rng,
        shape,
        130,
        (24, 32),
        stretch=(1.0, 1.15),
        rough=0.02,
        grouped=0.93,
        share=0.12,
    )
    rims = ndimage.morphological_gradient(labels, size=3) > 0
    image = 120 + 4 * _grain(rng, shape, 8) + 35 * (labels > 0) - 60 * rims
    return _camera(rng, image.astype(np.float32), 0.9, 5), labels


def many_nuclei(rng: Rng, shape: tuple[int, int]) -> tuple[Image, Labels]:
    """Many nuclei in a large plane."""
    tile = 512
    labels, image = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for row in range(0, shape[0], tile):
        for col in range(0, shape[1], tile):
            part = _throw(rng, (tile, tile), 90, (18, 24), grouped=0.4, share=0.1)
            window = (slice(row, row + tile), slice(col, col + tile))
            image[window] = 20 + _brightness(rng, part, 50, 170)
            labels[window] = np.where(part > 0, part + labels.max(), 0)
    return _camera(rng, image, 1.2, 5), labels


KINDS = (
    Kind("fluorescence nuclei", (512, 512), fluorescence),
    Kind("nuclei, wide", (700, 1100), wide_fluorescence),
    Kind("dark nuclei", (512, 512), dark),
    Kind("spots of 8 px", (512, 512), spots),
    Kind("RGB tissue", (512, 512), histology),
    Kind("rods", (512, 512), bacteria),
    Kind("epithelium", (600, 600), epithelium),
    Kind("large cells", (1024, 1024), large_cells),
    Kind("rings", (512, 512), vesicles),
    Kind("phase contrast", (768, 768), phase_contrast),
    Kind("12 to 90 px", (1024, 1024), mixed_sizes),
    Kind("colonies", (512, 512), colonies),
    Kind("many nuclei", (2048, 2048), many_nuclei),
)
