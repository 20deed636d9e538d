"""Interpolation between masks of slices, and combination of masks of one slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.morphology import signed_distance
from napari_sam.masks.patch import MaskPatch, on_common_canvas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def interpolate(first: MaskPatch, second: MaskPatch, fraction: float) -> MaskPatch:
    """Interpolate the mask of a slice between two slices.

    This is shape-based interpolation (Raya & Udupa 1990, "Shape-based interpolation
    of multidimensional objects", IEEE Trans. Med. Imaging 9(1)): the weighted mean of
    the signed distances to both outlines. Before, both masks are shifted to their
    interpolated centre (Schenk et al. 2000).

    Parameters
    ----------
    first, second : MaskPatch
        Masks of two slices, not empty.
    fraction : float
        Position between them, 0 at the first and 1 at the second.

    Returns
    -------
    MaskPatch
        Its logits are signed distances in pixels, positive inside. It lies in the
        smallest rectangle around both masks, and so on the plane.
    """
    centres = [first.centroid, second.centroid]
    centre = np.round(centres[0] + fraction * (centres[1] - centres[0])).astype(int)
    shifts = [centre - np.round(c).astype(int) for c in centres]
    moved = [
        MaskPatch(tuple(np.add(p.origin, shift).tolist()), p.logits)
        for p, shift in zip((first, second), shifts, strict=True)
    ]
    origin, canvases = on_common_canvas(moved, outside=-1, margin=1)
    distances = [signed_distance(logits > 0) for logits in canvases]
    mean = (1 - fraction) * distances[0] + fraction * distances[1]
    low = np.min([first.origin, second.origin], axis=0)
    high = np.max([np.add(p.origin, p.logits.shape) for p in (first, second)], axis=0)
    # Objects at the border of the plane have lost what would balance their shift.
    start, stop = np.maximum(low - origin, 0), np.maximum(high - origin, 0)
    inside = mean[start[0] : stop[0], start[1] : stop[1]].astype(np.float32)
    return MaskPatch.from_logits(inside, tuple((start + origin).tolist()))


def blend(first: MaskPatch, second: MaskPatch, fraction: float) -> MaskPatch:
    """Combine two masks of one slice by their probabilities.

    The result is where the weighted mean of the two probabilities is above one half;
    `fraction` is the weight of the second. Where one mask is certain and the other is
    not, the certain one decides. The mean of signed distances is not used: thin parts
    that lie side by side would vanish.
    """
    origin, (one, other) = _certainties([first, second])
    return MaskPatch.from_logits((1 - fraction) * one + fraction * other, origin)


def majority(patches: Sequence[MaskPatch]) -> MaskPatch:
    """Combine three masks of one slice by majority.

    Each pixel gets the median of the three probabilities.
    """
    origin, certainties = _certainties(patches)
    return MaskPatch.from_logits(np.median(certainties, axis=0), origin)


def _certainties(
    patches: Sequence[MaskPatch],
) -> tuple[tuple[int, int], NDArray[np.float32]]:
    """Scale probabilities to -1 to 1, on a common canvas: origin, and (N, h, w).

    Outside its crop a patch has probability 0, certainty -1.
    """
    origin, canvases = on_common_canvas(patches, outside=-np.inf)
    return origin, np.stack([np.tanh(c / 2).astype(np.float32) for c in canvases])
