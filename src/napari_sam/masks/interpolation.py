"""Cross-sections between two known ones, by their signed distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import signed_distance
from napari_sam.masks.patch import MaskPatch, mask_to_window, window_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def interpolate(first: MaskPatch, second: MaskPatch, share: float) -> MaskPatch:
    """The cross-section between two, by shape-based interpolation.

    The signed distances to both outlines are blended after their centres have
    been laid upon each other, and the blend is put where the object has moved to
    (Raya & Udupa 1990, "Shape-based interpolation of multidimensional objects",
    IEEE Trans. Med. Imaging 9(1); the shift is that of Schenk et al. 2000).

    Parameters
    ----------
    first, second : MaskPatch
        Masks of two slices, not empty.
    share : float
        Where between them, 0 at the first and 1 at the second.

    Returns
    -------
    MaskPatch
        Its logits are signed distances in pixels, positive inside.
    """
    centres = [first.centroid, second.centroid]
    middle = np.round(centres[0] + share * (centres[1] - centres[0])).astype(int)
    shifts = [middle - np.round(centre).astype(int) for centre in centres]
    moved = [
        MaskPatch(tuple(np.add(p.origin, s).tolist()), p.logits)
        for p, s in zip((first, second), shifts, strict=True)
    ]
    low, masks = _on_one_canvas(moved)
    distances = [signed_distance(mask) for mask in masks]
    blended = (1 - share) * distances[0] + share * distances[1]
    return _tight(low, blended.astype(np.float32))


def blend(first: MaskPatch, second: MaskPatch, share: float) -> MaskPatch:
    """One mask of two opinions on the same slice, the second counting `share`.

    The mean of the two probabilities, as far as half of them: where one opinion is
    sure and the other doubts, the sure one is followed. Distances to the outlines
    would not do: thin parts that lie beside each other vanish in their mean.
    """
    low, (sure, other) = _certainties([first, second])
    return _tight(low, (1 - share) * sure + share * other)


def majority(patches: Sequence[MaskPatch]) -> MaskPatch:
    """One mask of three opinions on the same slice: what two of them hold.

    Each pixel has the median of the three probabilities.
    """
    low, certainties = _certainties(patches)
    return _tight(low, np.median(certainties, axis=0))


def _certainties(
    patches: Sequence[MaskPatch],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of masks on a canvas that holds all: its origin, and (N, h, w) in -1 to 1."""
    origins = np.array([p.origin for p in patches])
    low = origins.min(axis=0)
    high = (origins + [p.logits.shape for p in patches]).max(axis=0)
    # Beyond its crop a mask says no as surely as it can.
    sure = np.full((len(patches), *(high - low)), -1, np.float32)
    for canvas, patch in zip(sure, patches, strict=True):
        window = window_at(tuple(patch.origin - low), patch.logits.shape)
        canvas[window] = np.tanh(patch.logits / 2)
    return low, sure


def _on_one_canvas(
    patches: Sequence[MaskPatch],
) -> tuple[NDArray[np.int64], list[NDArray[np.bool_]]]:
    """Masks on a canvas that holds all of them, with a pixel around; its origin."""
    low = np.min([p.origin for p in patches], axis=0) - 1
    high = np.max([np.add(p.origin, p.logits.shape) for p in patches], axis=0) + 1
    masks = []
    for patch in patches:
        mask = np.zeros(high - low, bool)
        mask[window_at(tuple(patch.origin - low), patch.logits.shape)] = patch.mask
        masks.append(mask)
    return low, masks


def _tight(low: NDArray[np.int64], logits: NDArray[np.float32]) -> MaskPatch:
    window = mask_to_window(logits > 0)
    if window is None:
        return MaskPatch((0, 0), np.empty((0, 0), np.float32))
    rows, cols = window
    return MaskPatch(
        (int(low[0]) + rows.start, int(low[1]) + cols.start), logits[window]
    )
