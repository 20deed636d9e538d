"""Objects of a label array cleaned up, each in its own box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import (
    check_radius,
    check_size,
    fill_holes,
    innermost,
    keep_prompted,
    minimum_size,
    smooth_across,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What is done with an object, in the order of the parameters.

    Parameters
    ----------
    keep_prompted : bool
        Parts without a prompt go, see `keep_prompted`.
    fill_holes : bool
        Holes are filled in every plane across the stack, see `fill_holes`.
    smooth : float
        Standard deviation of `smooth_across`, in slices, or in the spacing's unit
        where that is given; 0 for none.
    min_size : int
        Parts of fewer voxels go, see `minimum_size`; all remain at 0 and 1.

    Raises
    ------
    ValueError
        When a number is negative or not finite.
    """

    keep_prompted: bool = False
    fill_holes: bool = False
    smooth: float = 0.0
    min_size: int = 0

    def __post_init__(self) -> None:
        check_radius(self.smooth)
        check_size(self.min_size)

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return bool(
            self.keep_prompted or self.fill_holes or self.smooth or self.min_size > 1
        )

    def apply(
        self,
        mask: NDArray[np.bool_],
        axis: int = 0,
        seeds: ArrayLike | None = None,
        spacing: ArrayLike | None = None,
    ) -> NDArray[np.bool_]:
        """Clean one object.

        Parameters
        ----------
        mask : ndarray
            (Z, H, W) or (H, W) bool; not changed.
        axis : int
            Of the stack; a plane has none.
        seeds : array-like, optional
            (N, ndim) int: voxels of the mask that prompts lie on.
        spacing : array-like, optional
            (ndim,) distance of neighbouring voxels along each axis.
        """
        if self.keep_prompted:
            mask = keep_prompted(mask, [] if seeds is None else seeds)
        if self.fill_holes:
            mask = fill_holes(mask, axis)
        if self.smooth:
            mask = smooth_across(mask, axis, spacing, self.smooth)
        if self.min_size > 1:
            mask = minimum_size(mask, self.min_size)
        return mask


def prompted_pixels(prompt: Prompt, patch: MaskPatch) -> NDArray[np.intp]:
    """(N, 2) pixels of a plane that a prompt lies on.

    The points on the object, or without such points the innermost pixel of the mask
    that came of it, as the middle of a box may lie beside the object.
    """
    pixels: NDArray[np.intp] = np.floor(prompt.positives + 0.5).astype(np.intp)
    if not len(pixels) and patch.mask.any():
        pixels = innermost(patch.mask)[None] + patch.origin
    return pixels
