"""Images and options for training within a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.training.data import training_images
from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    from napari_sam.training.data import TrainingImage

QUICK = TrainingOptions(
    steps=6,
    objects=2,
    learning_rate=3e-3,
    augmentations=2,
    validate_every=3,
    validation_objects=4,
)


def discs(count: int = 4, shape: tuple[int, int] = (48, 64)) -> list[TrainingImage]:
    """Make images of two bright discs; wider than high, so that they are padded."""
    images, rng = [], np.random.default_rng(3)
    rows, cols = np.indices(shape)
    for number in range(count):
        labels = np.zeros(shape, int)
        for label, middle in enumerate((15, 46), start=1):
            centre = rng.integers(-3, 4, 2) + np.array([shape[0] // 2, middle])
            labels[np.hypot(rows - centre[0], cols - centre[1]) < 10] = label
        plane = np.where(labels > 0, 200, 40) + rng.normal(0, 5, shape)
        images += training_images(plane, labels, f"discs {number}")
    return images
