"""Tiles of training images in which small objects are large enough to learn."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.training.labelled_plane import LabelledPlane

if TYPE_CHECKING:
    from napari_sam.training.data import TrainingImage

# Diameter of the median object in the network's input, in pixels: an image is cut
# below the first, into tiles that give the second.
_SMALLEST_DIAMETER, _TILE_DIAMETER = 12.0, 24.0
# Each tile is encoded once for every augmentation.
_MAX_TILES = 12


def fitting_tiles(
    image: TrainingImage, input_size: int, smallest: int
) -> list[TrainingImage]:
    """Cut an image with small objects into tiles, as the zoom does when it is used.

    Parameters
    ----------
    image : TrainingImage
        The image.
    input_size : int
        Longest side of the model's input in pixels.
    smallest : int
        Smallest side of a tile in pixels.

    Returns
    -------
    list of TrainingImage
        The image itself when its objects are large enough, or it is not larger than a
        tile; otherwise up to 12 tiles with the objects that they show whole.
    """
    if not image.objects():
        return [image]
    plane, longest = LabelledPlane.of(image), max(image.shape)
    side = max(round(plane.diameter * input_size / _TILE_DIAMETER), smallest)
    if plane.diameter * input_size / longest >= _SMALLEST_DIAMETER or side >= longest:
        return [image]
    # Labels often follow the rows: tiles from all parts of the image.
    order = 1 + np.random.default_rng(0).permutation(len(plane.boxes))
    tiles = []
    for window, _ in islice(plane.covering_windows(order.tolist(), side), _MAX_TILES):
        labels = image.labels[window.slices].copy()
        numbers = plane.labels[window.slices]
        for number in np.unique(numbers).tolist():
            if number and not plane.shows(window, number):
                labels[numbers == number] = 0
        name = f"{image.name}, tile at {window.row}, {window.col}"
        pixels = np.ascontiguousarray(image.plane[window.slices])
        tiles.append(replace(image, name=name, plane=pixels, labels=labels))
    return [tile for tile in tiles if tile.labels.any()]
