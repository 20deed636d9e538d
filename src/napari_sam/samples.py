"""Sample images, with prompts and reference labels."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

COIN_MIN_PIXELS = 100
CELL_CENTRE = (374.0, 428.0)


def coins() -> NDArray[np.uint8]:
    """Return coins on a dark background, (303, 384) uint8, from scikit-image."""
    from skimage import data

    image: NDArray[np.uint8] = data.coins()
    return image


def cell() -> NDArray[np.uint8]:
    """Return a quantitative phase image of a cell, (660, 550) uint8, from scikit-image.

    `CELL_CENTRE` is a (row, col) on the cell.
    """
    from skimage import data

    image: NDArray[np.uint8] = data.cell()
    return image


def head() -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Return an MR image of a head and its voxel size.

    It is the first volume of ``example4d`` from nibabel's test data; source and
    licence are in ``data/head.LICENSE``.

    Returns
    -------
    volume : ndarray
        (24, 96, 128) int16, (z, y, x): z from the neck up, the nose at the top of
        each slice.
    spacing : tuple of float
        Voxel size along z, y and x in millimetres.
    """
    with (
        files("napari_sam").joinpath("data", "head.npz").open("rb") as file,
        np.load(file) as stored,
    ):
        z, y, x = stored["spacing"].tolist()
        return stored["volume"], (z, y, x)


def nuclei(side: int = 4096) -> NDArray[np.uint8]:
    """Return a drawn image of many nuclei, (side, side) uint8; each time the same.

    A large image of small objects: they are 16 to 36 pixels wide, and some touch.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 4, (512, 512)).astype(np.float32)
    times = -(-side // 512)
    image = 20 + np.tile(noise, (times, times))[:side, :side]
    for _ in range(side * side // 4000):
        radii = rng.uniform(8, 18, 2)
        patch = _soft_ellipse(radii, rng.uniform(0, np.pi)) * rng.uniform(60, 160)
        _brighten(image, rng.integers(0, side - len(patch), 2), patch)
    return np.clip(image, 0, 255).astype(np.uint8)


def moving_cells(frames: int = 24, side: int = 256) -> NDArray[np.uint8]:
    """Return a drawn movie of cells that move and change, (frames, side, side) uint8.

    It is the same each time. The first axis is time.
    """
    rng = np.random.default_rng(1)
    movie = 20 + rng.normal(0, 4, (frames, side, side)).astype(np.float32)
    for _ in range(12):
        position, angle = rng.uniform(0.15, 0.7, 2) * side, rng.uniform(0, np.pi)
        radii, intensity = rng.uniform(9, 15, 2), rng.uniform(80, 160)
        for frame in movie:
            patch = _soft_ellipse(radii, angle) * intensity
            position = np.clip(position + rng.normal(0, 1.5, 2), 0, side - len(patch))
            _brighten(frame, position.astype(int), patch)
            angle += rng.normal(0, 0.1)
            radii = np.clip(radii + rng.normal(0, 0.3, 2), 8, 16)
    return np.clip(movie, 0, 255).astype(np.uint8)


def _soft_ellipse(radii: NDArray[np.float64], angle: float) -> NDArray[np.float32]:
    """Return an ellipse with a soft edge, from 0 to 1, in a square."""
    half = int(np.ceil(radii.max())) + 3
    rows, cols = np.mgrid[-half : half + 1, -half : half + 1]
    along = (np.cos(angle) * rows + np.sin(angle) * cols) / radii[0]
    across = (np.cos(angle) * cols - np.sin(angle) * rows) / radii[1]
    inside = radii.min() * (1 - np.hypot(along, across)) / 2 + 0.5
    soft: NDArray[np.float32] = np.clip(inside, 0, 1).astype(np.float32)
    return soft


def _brighten(
    image: NDArray[np.float32], corner: NDArray[np.intp], patch: NDArray[np.float32]
) -> None:
    rows, cols = (slice(c, c + len(patch)) for c in corner)
    part = image[rows, cols]
    np.maximum(part, patch + 20, out=part, where=patch > 0)


def coin_labels() -> NDArray[np.int32]:
    """Return reference labels of the coins, (303, 384) int32, made by thresholding.

    Otsu's threshold, closed with a 3 x 3 square; objects of more than 100 pixels that
    do not touch the border.
    """
    from skimage import filters, measure, morphology, segmentation

    from napari_sam.masks.morphology import minimum_size

    image = coins()
    mask = morphology.closing(
        image > filters.threshold_otsu(image), np.ones((3, 3), np.uint8)
    )
    mask = minimum_size(segmentation.clear_border(mask), COIN_MIN_PIXELS + 1)
    labels: NDArray[np.int32] = measure.label(mask).astype(np.int32)
    return labels


def coin_centres() -> NDArray[np.float64]:
    """Return the centres of mass of the coins, (K, 2) rows and columns."""
    from scipy.ndimage import center_of_mass

    labels = coin_labels()
    return np.array(center_of_mass(labels > 0, labels, range(1, labels.max() + 1)))


def coin_boxes() -> NDArray[np.float64]:
    """Return the tight boxes of the coins, (K, 4)."""
    from napari_sam.masks.patch import mask_to_box

    labels = coin_labels()
    boxes = [mask_to_box(labels == i) for i in range(1, labels.max() + 1)]
    return np.array(boxes)


def head_prompts() -> dict[int, dict[int, Prompt]]:
    """Return boxes around the lateral ventricles of `head`, {object id: {slice: box}}.

    The ventricles are one object, with prompts on two slices.
    """
    return {
        1: {
            14: Prompt(box=(32, 52, 70, 75)),
            18: Prompt(box=(37, 53, 67, 74)),
        }
    }
