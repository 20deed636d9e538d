"""Instances of a window: its objects by the instance head, found when a click asks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.object_quality import quality_of_object
from napari_sam.masks.watershed import Maps, split_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.nets.fast.decoder import ImageContext
    from napari_sam.prediction.model_runner import ModelRunner
    from napari_sam.prediction.plane_transform import PlaneTransform

# Smallest and largest probability that becomes a logit, and the logit of the padding.
_LOWEST, _HIGHEST = 1 / 255, 254 / 255
_PADDING_LOGIT = -6.0


def read_maps(
    runner: ModelRunner,
    context: ImageContext,
    transform: PlaneTransform,
    pixel_values: Tensor,
) -> NDArray[np.uint8]:
    """Return the maps of a window, (3, h, w) uint8; see `Predictor.instance_maps`."""
    maps = runner.instance_maps(context.image_embedding, pixel_values)
    height, width = transform.resized_shape
    rounded: NDArray[np.float32] = np.rint(maps[:, :height, :width].numpy() * 255)
    return rounded.astype(np.uint8)


class WindowInstances:
    """Objects that an instance head finds in a window, computed at first use.

    Parameters
    ----------
    runner : ModelRunner
        Runs the head.
    context : ImageContext
        The image embedding.
    transform : PlaneTransform
        Of the window.
    pixel_values : Tensor
        (1, 3, S, S), the input of the image encoder.
    """

    def __init__(
        self,
        runner: ModelRunner,
        context: ImageContext,
        transform: PlaneTransform,
        pixel_values: Tensor,
    ) -> None:
        self._runner, self._context, self._transform = runner, context, transform
        # The channels of grey images are equal: one is kept.
        is_grey = bool((pixel_values == pixel_values[:, :1]).all())
        self._pixel_values = pixel_values[:, :1].clone() if is_grey else pixel_values
        self._quality: dict[int, float] = {}

    @property
    def nbytes(self) -> int:
        """Memory used for them, in bytes."""
        return self._pixel_values.nbytes

    @cached_property
    def _maps(self) -> Maps:
        values = self._pixel_values.expand(-1, 3, -1, -1)
        maps = read_maps(self._runner, self._context, self._transform, values)
        return Maps(*(maps.astype(np.float32) / np.float32(255)))

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """(h, w) int32, 0 between objects."""
        return split_objects(self._maps)

    def at(self, points: NDArray[np.float64]) -> list[int]:
        """Return the labels under (N, 2) points in pixels of the maps."""
        last = np.array(self.labels.shape) - 1
        rows, cols = np.clip(np.rint(points).astype(int), 0, last).T
        found: list[int] = self.labels[rows, cols].tolist()
        return found

    def quality(self, label: int) -> float:
        """Estimate the probability that an instance is an object."""
        if label not in self._quality:
            self._quality[label] = quality_of_object(self.labels, self._maps, label)
        return self._quality[label]

    def logits(self, labels: Sequence[int], size: int) -> NDArray[np.float32]:
        """Return (size, size) logits that are positive on some instances."""
        probability = np.clip(self._maps.foreground, _LOWEST, _HIGHEST)
        certainty = np.abs(np.log(probability / (1 - probability))) + 1e-3
        inside = np.isin(self.labels, labels)
        height, width = inside.shape
        padded = np.full((size, size), _PADDING_LOGIT, np.float32)
        padded[:height, :width] = np.where(inside, certainty, -certainty)
        return padded
