"""Transform between a plane and the square input of a model.

Planes are resized, normalised and padded as each family does it; low-resolution
masks are interpolated back to the plane. Only the first needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_sam.checkpoints.families import PREPROCESSING, Family
from napari_sam.images.uint8 import row_blocks
from napari_sam.masks.patch import MaskPatch, mask_to_window
from napari_sam.prediction.processes import check_not_forked
from napari_sam.prediction.resize import RESIZE, enlarge, resize_part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.checkpoints.families import Preprocessing
    from napari_sam.images.window import Window

    # First and second source pixel of each pixel, and the weight of the second.
    _Taps = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]

# Minimum divisor of min-max normalisation, as in the published script of MedSAM.
_MIN_RANGE = 1e-8
# Probabilities of pixels fully outside and fully inside a mask prompt, and the logit
# of the padding.
_OUTSIDE, _INSIDE = 1e-3, 1 - 1e-3
_OUTSIDE_LOGIT = -6.9

Region = tuple[slice, slice]
Steps = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PlaneTransform:
    """Transform between one plane, or a window of it, and the input of a model.

    For SAM's family this is the `ResizeLongestSide` of the published code. Prompts,
    masks and regions are in pixels of the window; only `patch` returns pixels of the
    plane.

    Parameters
    ----------
    plane_shape : tuple of int
        (H, W) of the plane.
    resized_shape : tuple of int
        (h, w) of the resized window, at the top left of the input.
    input_size, mask_size : int
        Side of the model's input and of its low-resolution masks, in pixels.
    family : {"sam", "medsam", "lite_medsam"}
        Key of the rules in `PREPROCESSING`.
    window : Window, optional
        The part of the plane that the model sees; the whole plane when None.
    """

    plane_shape: tuple[int, int]
    resized_shape: tuple[int, int]
    input_size: int
    mask_size: int
    family: Family
    window: Window | None = None

    @classmethod
    def fit(
        cls,
        plane_shape: tuple[int, int],
        input_size: int,
        mask_size: int,
        family: Family,
        window: Window | None = None,
    ) -> Self:
        """Compute the size of the resized window by the rule of the family."""
        shape = plane_shape if window is None else window.shape
        if PREPROCESSING[family].resize == "square":
            resized = (input_size, input_size)
        else:
            scale = input_size / max(shape)
            height, width = (max(1, int(side * scale + 0.5)) for side in shape)
            resized = (height, width)
        return cls(plane_shape, resized, input_size, mask_size, family, window)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the window."""
        return self.plane_shape if self.window is None else self.window.shape

    @property
    def origin(self) -> tuple[int, int]:
        """(row, col) on the plane of the window's first pixel."""
        return (0, 0) if self.window is None else self.window.origin

    @property
    def preprocessing(self) -> Preprocessing:
        """Rules of the family."""
        return PREPROCESSING[self.family]

    @property
    def is_enlarged(self) -> bool:
        """Whether the model sees a window with more pixels than it has.

        The families know no such input: there the pixels are interpolated smoothly and
        prompts are placed exactly. Whole planes are treated as published.
        """
        return self.window is not None and max(self.shape) < self.input_size

    @property
    def scale(self) -> NDArray[np.float64]:
        """Factors from pixels of the window to pixels of the input, (rows, cols)."""
        if self.preprocessing.isotropic_prompt_scale:
            return np.full(2, self.input_size / max(self.shape))
        return np.divide(self.resized_shape, self.shape)

    def to_input(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert (..., 2) points of the window to pixels of the input."""
        scaled: NDArray[np.float64] = points * self.scale
        # SAM scales integer positions as they are; enlarged pixels need their centres.
        return scaled + (self.scale - 1) / 2 if self.is_enlarged else scaled

    @property
    def mask_scale(self) -> NDArray[np.float64]:
        """Factors from pixels of the window to those of low-resolution masks."""
        return self.scale * (self.mask_size / self.input_size)

    def to_mask(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert (..., 2) points of the window to pixels of low-resolution masks."""
        return (points + 0.5) * self.mask_scale - 0.5

    def corners_to_input(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert (..., 2, 2) first and last corners of boxes to pixels of the input.

        Boxes run through the centres of the outermost pixels. When these are enlarged,
        the first and last of the pixels that each becomes count.
        """
        scaled: NDArray[np.float64] = corners * self.scale
        if self.is_enlarged:
            scaled[..., 1, :] += self.scale - 1
        return scaled

    @property
    def mask_shape(self) -> tuple[int, int]:
        """(h, w) of the part of the low-resolution mask that the window covers."""
        step = self.input_size / self.mask_size
        height, width = (max(1, round(side / step)) for side in self.resized_shape)
        return height, width

    def pixel_values(self, plane: NDArray[np.uint8]) -> Tensor:
        """Resize, normalise and pad the pixels of the window.

        Parameters
        ----------
        plane : ndarray
            (h, w) or (h, w, 3) uint8: the window, or a downsampled version of it.

        Returns
        -------
        Tensor
            (1, 3, S, S) float32.
        """
        import torch
        from torch.nn import functional as F

        check_not_forked()  # resizing waits for the threads of torch, too
        rule = self.preprocessing
        channels = np.atleast_3d(plane).transpose(2, 0, 1)
        is_enlarged = self.is_enlarged and max(plane.shape[:2]) < self.input_size
        resize = enlarge if is_enlarged else RESIZE[rule.interpolation]
        resized = resize(channels, self.resized_shape)
        pixels = resized.float().expand(3, -1, -1)
        if rule.intensity == "mean_std":
            mean, std = torch.tensor(rule.mean), torch.tensor(rule.std)
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        else:
            low, high = pixels.min(), pixels.max()
            pixels = (pixels - low) / torch.clamp(high - low, min=_MIN_RANGE)
        bottom, right = (self.input_size - side for side in self.resized_shape)
        return F.pad(pixels, (0, right, 0, bottom))[None]

    def plane_logits(
        self, logits: NDArray[np.float32] | Tensor, region: Region | None = None
    ) -> NDArray[np.float32]:
        """Interpolate low-resolution logits to the window.

        Parameters
        ----------
        logits : ndarray or Tensor
            (M, M) float32, from the mask decoder.
        region : tuple of slice, optional
            Rows and columns of the window to compute; all of it when None. The values
            are the same to the last bit.

        Returns
        -------
        ndarray
            (h, w) float32, or the region of it; positive inside the object. MedSAM
            interpolates probabilities: its values are probabilities minus 0.5.
        """
        values = _to_numpy(logits)
        if self.preprocessing.upsampled == "probabilities":
            from scipy.special import expit

            values = expit(values) - np.float32(0.5)
        rows, cols = map(_chain, self._steps, region or (slice(None), slice(None)))
        values = values[rows[0], cols[0]]
        for taps in rows[1]:
            values = _mix_rows(values, taps)
        for taps in cols[1]:
            values = _mix_cols(values, taps)
        return values

    def positive_region(self, logits: NDArray[np.float32] | Tensor) -> Region | None:
        """Compute the rows and columns of the window that can hold positive values.

        Parameters
        ----------
        logits : ndarray or Tensor
            (M, M) float32.

        Returns
        -------
        tuple of slice or None
            `plane_logits` is positive nowhere outside it; None when it is positive
            nowhere.
        """
        source_ranges = [_source_range(steps) for steps in self._steps]
        unpadded = tuple(slice(0, int(last[-1]) + 1) for _, last in source_ranges)
        positive = mask_to_window(_to_numpy(logits)[unpadded] > 0)
        if positive is None:
            return None
        # An interpolated value is positive only where one of its sources is.
        rows, cols = (
            slice(
                int(np.searchsorted(last, source.start)),
                int(np.searchsorted(first, source.stop - 1, side="right")),
            )
            for (first, last), source in zip(source_ranges, positive, strict=True)
        )
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return None
        return rows, cols

    def patch(self, logits: NDArray[np.float32] | Tensor) -> MaskPatch:
        """Interpolate (M, M) logits to the plane, cut tight around the mask."""
        region = self.positive_region(logits)
        if region is None:
            return MaskPatch.empty()
        rows, cols = region
        values = self.plane_logits(logits, region)
        row, col = self.origin
        return MaskPatch.from_logits(values, (row + rows.start, col + cols.start))

    @property
    def _steps(self) -> tuple[Steps, Steps]:
        """Interpolation steps from the low-resolution mask to the window.

        For rows and for columns, (source size, target size) of each step. A step may
        use only the top left part of the result of the step before it.
        """
        if not self.preprocessing.pad:
            height, width = self.shape
            return ((self.mask_size, height),), ((self.mask_size, width),)
        # Masks as large as the input need no first step.
        same = self.mask_size == self.input_size
        first = () if same else ((self.mask_size, self.input_size),)
        rows, cols = (
            (*first, (resized, side))
            for resized, side in zip(self.resized_shape, self.shape, strict=True)
        )
        return rows, cols

    def mask_logits(
        self, mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Convert a mask of the window to low-resolution logits for a mask prompt.

        Parameters
        ----------
        mask : ndarray
            (h, w) bool, the window or a part of it; pixels elsewhere are background.
        origin : tuple of int
            (row, col) in the window of the mask's first pixel.

        Returns
        -------
        ndarray
            (M, M) float32: the logit of the covered fraction of each pixel, limited
            to probabilities of 0.001 and 0.999; padding is background.
        """
        import torch

        covered = resize_part(mask[None], self.mask_shape, self.shape, origin)
        logits = np.full((self.mask_size, self.mask_size), _OUTSIDE_LOGIT, np.float32)
        height, width = self.mask_shape
        logits[:height, :width] = torch.logit(
            covered[0].clamp(_OUTSIDE, _INSIDE)
        ).numpy()
        return logits


def _to_numpy(logits: NDArray[np.float32] | Tensor) -> NDArray[np.float32]:
    if not isinstance(logits, np.ndarray):
        logits = logits.float().cpu().numpy()
    return np.asarray(logits, np.float32)


def _taps(source: int, size: int) -> _Taps:
    """Compute the two of `source` pixels that each of `size` pixels is mixed of.

    As `torch.nn.functional.interpolate` (bilinear, corners not aligned), including
    its float32 factor and its positions rounded to float32.
    """
    factor = float(np.float32(source) / np.float32(size))
    positions = ((np.arange(size) + 0.5) * factor - 0.5).astype(np.float32)
    positions = np.clip(positions, 0, source - 1)
    first = positions.astype(np.intp)
    weight = positions - first.astype(np.float32)
    return first, np.minimum(first + 1, source - 1), weight


def _source_range(steps: Steps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Compute the first and last source pixel of each target pixel, both ascending."""
    first, last, _ = _taps(*steps[-1])
    for step in reversed(steps[:-1]):
        before = _taps(*step)
        first, last = before[0][first], before[1][last]
    return first, last


def _chain(steps: Steps, target: slice) -> tuple[slice, list[_Taps]]:
    """Compute the source pixels of a range of target pixels, and the taps of each step.

    The indices of a step count from the first source pixel that it needs.
    """
    chain = []
    for step in reversed(steps):
        first, last, weight = _taps(*step)
        first, last = first[target], last[target]
        start, stop = (int(first[0]), int(last[-1]) + 1) if first.size else (0, 0)
        chain.append((first - start, last - start, weight[target]))
        target = slice(start, stop)
    return target, chain[::-1]


def _mix_rows(values: NDArray[np.float32], taps: _Taps) -> NDArray[np.float32]:
    first, last, weight = taps
    mixed: NDArray[np.float32] = values[first] * (1 - weight[:, None])
    mixed += values[last] * weight[:, None]
    return mixed


def _mix_cols(values: NDArray[np.float32], taps: _Taps) -> NDArray[np.float32]:
    first, last, weight = taps
    mixed = np.empty((len(values), len(weight)), np.float32)
    for rows in row_blocks(mixed.shape):
        part = values[rows]
        mixed[rows] = part[:, first] * (1 - weight) + part[:, last] * weight
    return mixed
