"""Real images that come with installed packages, and prompts for them."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

COIN_MIN_PIXELS = 100


def coins() -> NDArray[np.uint8]:
    """Ancient coins on a dark ground, (303, 384) uint8, from scikit-image."""
    from skimage import data

    image: NDArray[np.uint8] = data.coins()
    return image


def cell() -> NDArray[np.uint8]:
    """A cell in a quantitative phase image, (660, 550) uint8, from scikit-image."""
    from skimage import data

    image: NDArray[np.uint8] = data.cell()
    return image


CELL_CENTRE = (374.0, 428.0)


def head() -> tuple[NDArray[Any], tuple[float, float, float]]:
    """First volume of nibabel's ``example4d``: an MR image of a head.

    Returns
    -------
    volume : ndarray
        (24, 96, 128) int16, from the neck up, (z, y, x) with the nose upwards.
    spacing : tuple of float
        Size of a voxel along these axes, in millimetres.
    """
    import nibabel

    # nibabel.testing names this folder too, but needs pytest.
    stored = files("nibabel") / "tests" / "data" / "example4d.nii.gz"
    with as_file(stored) as path:
        image: Any = nibabel.load(path)
        first = np.asarray(image.dataobj[..., 0])
    x, y, z = (float(size) for size in image.header.get_zooms()[:3])
    volume = first.transpose(2, 1, 0)[:, ::-1]
    return np.ascontiguousarray(volume), (z, y, x)


def coin_labels() -> NDArray[np.int32]:
    """Reference labels of the coins by thresholding, (303, 384) int32.

    Otsu's threshold, closed by 3 x 3, objects over 100 pixels, those that touch
    the border removed.
    """
    from skimage import filters, measure, morphology, segmentation

    image = coins()
    mask = morphology.closing(
        image > filters.threshold_otsu(image), np.ones((3, 3), np.uint8)
    )
    found = measure.label(segmentation.clear_border(mask))
    sizes = np.bincount(found.ravel())
    kept = np.flatnonzero(sizes > COIN_MIN_PIXELS)
    kept = kept[kept > 0]
    renumbered = np.zeros(len(sizes), np.int32)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    labels: NDArray[np.int32] = renumbered[found]
    return labels


def coin_centres() -> NDArray[np.float64]:
    """Centres of mass of the coins, (K, 2) rows and columns."""
    labels = coin_labels()
    centres = [
        np.argwhere(labels == i).mean(axis=0) for i in range(1, labels.max() + 1)
    ]
    return np.array(centres)


def coin_boxes() -> NDArray[np.float64]:
    """Tight boxes of the coins, (K, 4)."""
    from napari_sam.masks.patch import mask_to_box

    labels = coin_labels()
    boxes = [mask_to_box(labels == i) for i in range(1, labels.max() + 1)]
    return np.array(boxes)


def head_prompts() -> dict[int, dict[int, Prompt]]:
    """Boxes around the lateral ventricles of `head` on two slices, one object."""
    return {
        1: {
            14: Prompt(box=(32, 52, 70, 75)),
            18: Prompt(box=(37, 53, 67, 74)),
        }
    }
