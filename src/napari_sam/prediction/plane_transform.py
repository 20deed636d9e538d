"""Between a plane and the square input of a model, by family, both ways.

torch is needed on the way there only: masks come back with numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.checkpoints.families import PREPROCESSING, Family
from napari_sam.images.uint8 import row_blocks
from napari_sam.masks.patch import MaskPatch, mask_to_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    # First and second source pixel of each pixel, and the share of the second.
    _Taps = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]

# The published MedSAM script never divides by less than this.
_SMALLEST_RANGE = 1e-8
# Logit of a pixel surely inside (0.999) or outside a mask prompt.
_SURE = 6.9

Window = tuple[slice, slice]
Steps = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PlaneTransform:
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
            (h, w) or (h, w, 3) uint8: the plane, or a smaller rendition of it.

        Returns
        -------
        Tensor
            (1, 3, S, S) float32.
        """
        import torch
        from torch.nn import functional as F

        rule = PREPROCESSING[self.family]
        channels = np.atleast_3d(plane).transpose(2, 0, 1)
        resized = _RESIZE[self.family](channels, self.resized_shape)
        pixels = resized.float().expand(3, -1, -1)
        if rule.intensity == "mean_std":
            mean, std = torch.tensor(rule.mean), torch.tensor(rule.std)
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        else:
            low, high = pixels.min(), pixels.max()
            pixels = (pixels - low) / torch.clamp(high - low, min=_SMALLEST_RANGE)
        bottom, right = (self.input_size - side for side in self.resized_shape)
        return F.pad(pixels, (0, right, 0, bottom))[None]

    def plane_logits(
        self, logits: NDArray[np.float32] | Tensor, window: Window | None = None
    ) -> NDArray[np.float32]:
        """Bring low-resolution logits back to the plane.

        Parameters
        ----------
        logits : ndarray or Tensor
            (M, M) float32, as the mask decoder gives them.
        window : tuple of slice, optional
            Rows and columns of the plane that are wanted; the whole plane when
            None. The values are the same to the last bit.

        Returns
        -------
        ndarray
            (H, W) float32, or the window of it; positive inside the object. For
            MedSAM these are probabilities less one half, as it interpolates
            probabilities.
        """
        values = _to_numpy(logits)
        if PREPROCESSING[self.family].upsampled == "probabilities":
            from scipy.special import expit

            values = expit(values) - np.float32(0.5)
        rows, cols = map(_chain, self._steps, window or (slice(None), slice(None)))
        values = values[rows[0], cols[0]]
        for taps in rows[1]:
            values = _mix_rows(values, taps)
        for taps in cols[1]:
            values = _mix_cols(values, taps)
        return values

    def window(self, logits: NDArray[np.float32] | Tensor) -> Window | None:
        """Rows and columns of the plane that can hold positive values.

        Parameters
        ----------
        logits : ndarray or Tensor
            (M, M) float32.

        Returns
        -------
        tuple of slice or None
            Outside of it `plane_logits` is not positive anywhere; None when it is
            not positive at all.
        """
        reaches = [_reach(steps) for steps in self._steps]
        seen = tuple(slice(0, int(last[-1]) + 1) for _, last in reaches)
        found = mask_to_window(_to_numpy(logits)[seen] > 0)
        if found is None:
            return None
        # An interpolated value is positive only where one of its sources is.
        rows, cols = (
            slice(
                int(np.searchsorted(last, source.start)),
                int(np.searchsorted(first, source.stop - 1, side="right")),
            )
            for (first, last), source in zip(reaches, found, strict=True)
        )
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return None
        return rows, cols

    def patch(self, logits: NDArray[np.float32] | Tensor) -> MaskPatch:
        """Cut the object of (M, M) logits out of the plane, tight around its mask."""
        window = self.window(logits)
        if window is not None:
            values = self.plane_logits(logits, window)
            tight = mask_to_window(values > 0)
            if tight is not None:
                row, col = (
                    w.start + t.start for w, t in zip(window, tight, strict=True)
                )
                # A copy: a view would keep what was cut off.
                return MaskPatch((row, col), values[tight].copy())
        return MaskPatch((0, 0), np.zeros((0, 0), np.float32))

    @property
    def _steps(self) -> tuple[Steps, Steps]:
        """From the low-resolution mask to the plane: sizes before and after.

        Of the rows and of the columns. A step may start from a part of what the
        step before it made, at the top left.
        """
        if not PREPROCESSING[self.family].pad:
            height, width = self.plane_shape
            return ((self.mask_size, height),), ((self.mask_size, width),)
        # A model whose masks are as large as its input needs no step between.
        same = self.mask_size == self.input_size
        first = () if same else ((self.mask_size, self.input_size),)
        rows, cols = (
            (*first, (resized, side))
            for resized, side in zip(self.resized_shape, self.plane_shape, strict=True)
        )
        return rows, cols

    def mask_logits(
        self, mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Turn a mask of the plane into low-resolution logits for a mask prompt.

        Parameters
        ----------
        mask : ndarray
            (h, w) bool: the plane or a part of it, nothing is marked elsewhere.
        origin : tuple of int
            (row, col) on the plane of the mask's first pixel.

        Returns
        -------
        ndarray
            (M, M) float32: the logit of the covered share of each pixel, limited
            to probabilities of 0.001 and 0.999; padding is surely outside.
        """
        import torch

        share = _resize_part(mask[None], self.mask_shape, self.plane_shape, origin)
        logits = np.full((self.mask_size, self.mask_size), -_SURE, np.float32)
        height, width = self.mask_shape
        logits[:height, :width] = torch.logit(share[0].clamp(1e-3, 1 - 1e-3)).numpy()
        return logits


def _to_numpy(logits: NDArray[np.float32] | Tensor) -> NDArray[np.float32]:
    if not isinstance(logits, np.ndarray):
        logits = logits.float().cpu().numpy()
    return np.asarray(logits, np.float32)


def _taps(source: int, size: int) -> _Taps:
    """How each of `size` pixels is made of two of `source` pixels.

    As `torch.nn.functional.interpolate` has it (bilinear, corners not aligned), a
    float32 factor and places rounded to float32 included.
    """
    factor = float(np.float32(source) / np.float32(size))
    places = ((np.arange(size) + 0.5) * factor - 0.5).astype(np.float32)
    places = np.clip(places, 0, source - 1)
    first = places.astype(np.intp)
    return first, np.minimum(first + 1, source - 1), places - first.astype(np.float32)


def _reach(steps: Steps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last source pixel of each pixel that the steps make; both rise."""
    first, last, _ = _taps(*steps[-1])
    for step in reversed(steps[:-1]):
        before = _taps(*step)
        first, last = before[0][first], before[1][last]
    return first, last


def _chain(steps: Steps, wanted: slice) -> tuple[slice, list[_Taps]]:
    """Source pixels that the wanted ones need, and the taps of each step.

    Each step's indices count from the first pixel that is kept of its source.
    """
    chain = []
    for step in reversed(steps):
        first, last, share = _taps(*step)
        first, last = first[wanted], last[wanted]
        start, stop = (int(first[0]), int(last[-1]) + 1) if first.size else (0, 0)
        chain.append((first - start, last - start, share[wanted]))
        wanted = slice(start, stop)
    return wanted, chain[::-1]


def _mix_rows(values: NDArray[np.float32], taps: _Taps) -> NDArray[np.float32]:
    first, last, share = taps
    mixed: NDArray[np.float32] = values[first] * (1 - share[:, None])
    mixed += values[last] * share[:, None]
    return mixed


def _mix_cols(values: NDArray[np.float32], taps: _Taps) -> NDArray[np.float32]:
    first, last, share = taps
    mixed = np.empty((len(values), len(share)), np.float32)
    for rows in row_blocks(mixed.shape):
        part = values[rows]
        mixed[rows] = part[:, first] * (1 - share) + part[:, last] * share
    return mixed


def _resize_bilinear(channels: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize with an antialiased triangle filter; 8-bit input is rounded to 8 bits."""
    from torch.nn import functional as F

    return F.interpolate(
        channels[None], shape, mode="bilinear", align_corners=False, antialias=True
    )[0]


def _resize_part(
    part: NDArray[Any],
    shape: tuple[int, int],
    plane_shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Tensor:
    """`_resize_bilinear` of a plane that is 0 but for a (C, h, w) part, as floats.

    The filter works along one axis after the other, so blocks of rows can be made
    narrow one by one: there is no float copy of the plane.
    """
    import torch

    (height, width), (row, col) = plane_shape, origin
    channels, rows, cols = part.shape
    narrow = torch.zeros(channels, height, shape[1])
    for block in row_blocks((rows, channels * width)):
        count = block.stop - block.start
        whole = np.zeros((channels, count, width), np.float32)
        whole[..., col : col + cols] = part[:, block]
        narrow[:, row + block.start : row + block.stop] = _resize_bilinear(
            torch.from_numpy(whole), (count, shape[1])
        )
    return _resize_bilinear(narrow, shape)


def _resize_floats(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    height, width = channels.shape[1:]
    return _resize_part(channels, shape, (height, width))


def _resize_bytes(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    import torch

    # Memory that may not be written to, as of a memory map, is copied.
    pixels = torch.from_numpy(np.require(channels, requirements=["C", "W"]))
    return _resize_bilinear(pixels, shape)


def _resize_bicubic(channels: NDArray[np.uint8], shape: tuple[int, int]) -> Tensor:
    """MedSAM resizes with scikit-image and cuts off the decimals."""
    import torch
    from skimage.transform import resize

    # All channels at once: what overshoots is cut at the range of the whole image.
    resized = resize(
        channels.transpose(1, 2, 0),
        shape,
        order=3,
        preserve_range=True,
        anti_aliasing=True,
    )
    return torch.from_numpy(resized.astype(np.uint8).transpose(2, 0, 1))


_RESIZE: dict[Family, Callable[[NDArray[np.uint8], tuple[int, int]], Tensor]] = {
    "sam": _resize_bytes,
    "medsam": _resize_bicubic,
    "lite_medsam": _resize_floats,
}
