"""Resizing of planes to the input of a model, as each family does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.uint8 import row_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor


def _resize_bilinear(channels: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize with an antialiased triangle filter; 8-bit input is rounded to 8 bits."""
    from torch.nn import functional as F

    return F.interpolate(
        channels[None], shape, mode="bilinear", align_corners=False, antialias=True
    )[0]


def resize_part(
    part: NDArray[Any],
    shape: tuple[int, int],
    plane_shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Tensor:
    """Resize a plane that is 0 outside a (C, h, w) part; returns float32.

    Same as `_resize_bilinear`. The filter is separable: blocks of rows are made
    narrow one by one, so there is never a float copy of the plane.
    """
    import torch

    (height, width), (row, col) = plane_shape, origin
    channels, rows, cols = part.shape
    narrow = torch.zeros(channels, height, shape[1])
    for block in row_blocks((rows, channels * width)):
        count = block.stop - block.start
        full_rows = np.zeros((channels, count, width), np.float32)
        full_rows[..., col : col + cols] = part[:, block]
        narrow[:, row + block.start : row + block.stop] = _resize_bilinear(
            torch.from_numpy(full_rows), (count, shape[1])
        )
    return _resize_bilinear(narrow, shape)


def _resize_floats(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    """Resize without rounding, as LiteMedSAM does."""
    height, width = channels.shape[1:]
    return resize_part(channels, shape, (height, width))


def enlarge(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    """Enlarge by cubic interpolation, which keeps the edges of small objects."""
    import torch
    from torch.nn import functional as F

    pixels = torch.from_numpy(channels.astype(np.float32))[None]
    larger = F.interpolate(pixels, shape, mode="bicubic", align_corners=False)
    return larger[0].clamp(0, 255)


def _resize_bytes(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    """Resize and round to 8 bits, as SAM does."""
    import torch

    # Read-only memory, such as a memory map, is copied.
    pixels = torch.from_numpy(np.require(channels, requirements=["C", "W"]))
    return _resize_bilinear(pixels, shape)


def _resize_bicubic(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    """Resize with scikit-image and truncate to 8 bits, as MedSAM does."""
    import torch
    from skimage.transform import resize

    # All channels at once: overshoot is clipped to the range of all of them.
    resized = resize(
        channels.transpose(1, 2, 0),
        shape,
        order=3,
        preserve_range=True,
        anti_aliasing=True,
    )
    return torch.from_numpy(resized.astype(np.uint8).transpose(2, 0, 1))


RESIZE: dict[str, Callable[[NDArray[np.uint8], tuple[int, int]], Tensor]] = {
    "bilinear_uint8": _resize_bytes,
    "bilinear": _resize_floats,
    "bicubic": _resize_bicubic,
}
