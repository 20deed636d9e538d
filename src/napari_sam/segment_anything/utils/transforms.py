"""Resize of images and prompts to the input of a model, in (x, y)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam.prediction.plane_transform import PlaneTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class ResizeLongestSide:
    """Resize of images, points and boxes to a longest side.

    Parameters
    ----------
    target_length : int
        Side of the model's input in pixels.
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    @staticmethod
    def get_preprocess_shape(
        oldh: int, oldw: int, long_side_length: int
    ) -> tuple[int, int]:
        """Return the (height, width) of the resized image."""
        return PlaneTransform.fit(
            (oldh, oldw), long_side_length, long_side_length, "sam"
        ).resized_shape

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an (H, W, 3) uint8 image to the same bytes as published."""
        from PIL import Image

        height, width = image.shape[:2]
        shape = self.get_preprocess_shape(height, width, self.target_length)
        picture = Image.fromarray(np.ascontiguousarray(image))
        return np.array(picture.resize(shape[::-1], Image.Resampling.BILINEAR))

    def apply_coords(
        self, coords: NDArray[Any], original_size: Sequence[int]
    ) -> NDArray[np.float64]:
        """Scale (..., 2) points (x, y) of an image of (H, W)."""
        scaled: NDArray[np.float64] = coords * self._scale(original_size)
        return scaled

    def apply_boxes(
        self, boxes: NDArray[Any], original_size: Sequence[int]
    ) -> NDArray[np.float64]:
        """Scale (..., 4) boxes (x_min, y_min, x_max, y_max)."""
        return self.apply_coords(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resize (B, C, H, W) float images."""
        height, width = image.shape[-2:]
        shape = self.get_preprocess_shape(height, width, self.target_length)
        return F.interpolate(
            image, shape, mode="bilinear", align_corners=False, antialias=True
        )

    def apply_coords_torch(
        self, coords: Tensor, original_size: Sequence[int]
    ) -> Tensor:
        """Scale (..., 2) points (x, y) of an image of (H, W)."""
        scale = torch.as_tensor(self._scale(original_size), dtype=torch.float32)
        return coords.to(torch.float32) * scale.to(coords.device)

    def apply_boxes_torch(self, boxes: Tensor, original_size: Sequence[int]) -> Tensor:
        """Scale (..., 4) boxes (x_min, y_min, x_max, y_max)."""
        points = boxes.reshape(-1, 2, 2)
        return self.apply_coords_torch(points, original_size).reshape(-1, 4)

    def _scale(self, original_size: Sequence[int]) -> NDArray[np.float64]:
        height, width = original_size
        new_height, new_width = self.get_preprocess_shape(
            height, width, self.target_length
        )
        return np.array([new_width / width, new_height / height])
