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
