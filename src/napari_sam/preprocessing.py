"""Between a plane and the square input of a model, by family, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam.models import PREPROCESSING, Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# The published MedSAM script never divides by less than this.
_SMALLEST_RANGE = 1e-8
# Logit of a pixel surely inside (0.999) or outside a mask prompt.
_SURE = 6.9


@dataclass(frozen=True, slots=True)
class Frame:
    """How one plane lies in the square input of a model.

    Parameters
    ----------
    plane_shape : tuple of int
        (H, W) of the plane.
    resized_shape : tuple of int
        (h, w) of the resized plane, at the top left of the input.
    input_size, mask_size : int
        Side of the model's input and of its low-resolution masks.
    family : str
        Decides resampling, intensities and the way back.
    """

    plane_shape: tuple[int, int]
    resized_shape: tuple[int, int]
    input_size: int
    mask_size: int
    family: Family

    @classmethod
    def fit(
        cls,
        plane_shape: tuple[int, int],
        input_size: int,
        mask_size: int,
        family: Family,
    ) -> Self:
        """Choose the size of the resized plane by the family's rule."""
        if PREPROCESSING[family].resize == "square":
            resized = (input_size, input_size)
        else:
            scale = input_size / max(plane_shape)
            height, width = (max(1, int(side * scale + 0.5)) for side in plane_shape)
            resized = (height, width)
        return cls(plane_shape, resized, input_size, mask_size, family)

    @property
    def scale(self) -> NDArray[np.float64]:
        """Input pixels for each pixel of the plane, (rows, cols)."""
        if self.family == "lite_medsam":
            # Its published script scales boxes by one factor for both axes.
            return np.full(2, self.input_size / max(self.plane_shape))
        return np.divide(self.resized_shape, self.plane_shape)

    @property
    def mask_shape(self) -> tuple[int, int]:
        """(h, w) of the low-resolution mask that the plane covers."""
        step = self.input_size / self.mask_size
        height, width = (max(1, round(side / step)) for side in self.resized_shape)
        return height, width

    def pixel_values(self, plane: NDArray[np.uint8]) -> Tensor:
        """Resize, normalise and pad a plane.

        Parameters
        ----------
        plane : ndarray
            (H, W) or (H, W, 3) uint8.

        Returns
        -------
        Tensor
            (1, 3, S, S) float32.
        """
        rule = PREPROCESSING[self.family]
        channels = np.ascontiguousarray(np.atleast_3d(plane).transpose(2, 0, 1))
        resized = _RESIZE[self.family](torch.from_numpy(channels), self.resized_shape)
        pixels = resized.float().expand(3, -1, -1)
        if rule.intensity == "mean_std":
            mean, std = torch.tensor(rule.mean), torch.tensor(rule.std)
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        else:
            low, high = pixels.min(), pixels.max()
            pixels = (pixels - low) / torch.clamp(high - low, min=_SMALLEST_RANGE)
        bottom, right = (self.input_size - side for side in self.resized_shape)
        return F.pad(pixels, (0, right, 0, bottom))[None]

    def plane_logits(self, logits: Tensor) -> NDArray[np.float32]:
        """Bring low-resolution logits back to the plane.

        Parameters
        ----------
        logits : Tensor
            (M, M), as the mask decoder gives them.

        Returns
        -------
        ndarray
            (H, W) float32; positive inside the object. For MedSAM these are
            probabilities less one half, as it interpolates probabilities.
        """
        values = logits[None, None].float()
        height, width = self.resized_shape
        if PREPROCESSING[self.family].upsampled == "probabilities":
            values = values.sigmoid() - 0.5
        if self.family == "sam":
            values = _bilinear(values, (self.input_size, self.input_size))
        values = _bilinear(values[..., :height, :width], self.plane_shape)
        return values[0, 0].cpu().numpy()

    def mask_logits(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Turn a mask of the plane into low-resolution logits for a mask prompt.

        Parameters
        ----------
        mask : ndarray
            (H, W) bool.

        Returns
        -------
        ndarray
            (M, M) float32: the logit of the covered share of each pixel, limited
            to probabilities of 0.001 and 0.999; padding is surely outside.
        """
        pixels = torch.from_numpy(mask.astype(np.float32))[None]
        share = _resize_bilinear(pixels, self.mask_shape)[0].clamp(1e-3, 1 - 1e-3)
        logits = np.full((self.mask_size, self.mask_size), -_SURE, np.float32)
        height, width = self.mask_shape
        logits[:height, :width] = torch.logit(share).numpy()
        return logits


def _bilinear(values: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(values, shape, mode="bilinear", align_corners=False)


def _resize_bilinear(channels: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize with an antialiased triangle filter; 8-bit input is rounded to 8 bits."""
    return F.interpolate(
        channels[None], shape, mode="bilinear", align_corners=False, antialias=True
    )[0]


def _resize_bicubic(channels: Tensor, shape: tuple[int, int]) -> Tensor:
    """MedSAM resizes with scikit-image and cuts off the decimals."""
    from skimage.transform import resize

    planes = [
        resize(plane, shape, order=3, preserve_range=True, anti_aliasing=True)
        for plane in channels.numpy()
    ]
    return torch.from_numpy(np.stack(planes).astype(np.uint8))


_RESIZE: dict[Family, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "sam": _resize_bilinear,
    "medsam": _resize_bicubic,
    "lite_medsam": lambda channels, shape: _resize_bilinear(channels.float(), shape),
}
