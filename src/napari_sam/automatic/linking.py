"""Linking of the objects of single planes through a stack, all planes at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidates import PlaneObjects
from napari_sam.automatic.object_links import (
    PlaneCount,
    PlaneOverlaps,
    fill_gaps,
    nearest_planes,
    neighbours,
    number_objects,
    paint_linked,
)
from napari_sam.checks.arrays import as_label_array
from napari_sam.checks.values import (
    check_fields,
    check_list,
    check_type,
    or_default,
    real_number,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_OPTIONS = {
    "gap": partial(whole_number, least=0),
    "min_slices": partial(whole_number, least=1),
    "overlap": partial(real_number, above=0, most=1),
}


@dataclass(frozen=True, slots=True)
class Linking:
    """Options of linking through a stack.

    Parameters
    ----------
    gap : int
        Maximum number of consecutive planes without the object; they are filled by
        interpolation.
    min_slices : int
        Minimum number of planes of an object, interpolated ones included.
    overlap : float
        Minimum overlap of two linked masks, as a fraction of the smaller one.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number, or out of range.
    """

    gap: int = 1
    min_slices: int = 2
    overlap: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, _OPTIONS)


def link_planes(
    planes: Sequence[PlaneObjects], linking: Linking | None = None, axis: int = 0
) -> NDArray[np.int32]:
    """Link the objects of all planes of a stack; see `link_labels`.

    Objects that are known to continue through the stack are linked across gaps alone.

    Parameters
    ----------
    planes : sequence of PlaneObjects
        In the order of the stack.
    linking : Linking, optional
        Options.
    axis : int
        Stack axis of the returned labels.

    Returns
    -------
    ndarray
        (Z, H, W) int32 with Z moved to `axis`, objects numbered from 1.
    """
    linking = or_default(linking, "linking", Linking)
    check_list(planes, "planes", "the objects of each plane")
    for i, plane in enumerate(planes):
        what = "the result of Candidates.objects"
        check_type(plane, f"planes[{i}]", PlaneObjects, what)
    stack = np.stack([plane.labels for plane in planes])
    if all(plane.are_numbered for plane in planes):
        for labels, plane in zip(stack, planes, strict=True):
            labels[:] = plane.numbered(labels)
        linked = _link(stack, linking, continued=True)
    else:
        linked = link_labels(stack, linking)
    return np.moveaxis(linked, 0, axis)


def link_labels(
    labels: NDArray[np.int32], linking: Linking | None = None
) -> NDArray[np.int32]:
    """Link labels of single planes to objects of the stack.

    Every object of a plane has at most one successor and one predecessor. Of all such
    links, between neighbouring planes and across gaps, those with the largest total
    IoU in the stack are selected. This covers the objects by paths, computed as a
    matching of each object as successor with each as predecessor (as in Jaqaman et
    al. 2008, "Robust single-particle tracking", Nat. Methods 5:695-702, here for all
    planes in one step). An object that branches becomes several.

    Parameters
    ----------
    labels : ndarray
        (Z, H, W) int; equal labels on different planes are unrelated. Not changed.
    linking : Linking, optional
        Options.

    Returns
    -------
    ndarray
        (Z, H, W) int32, objects numbered from 1. Gaps are filled on background only.
    """
    stack = as_label_array(labels, "labels", 3).astype(np.int32)
    linking = or_default(linking, "linking", Linking)
    return _link(stack, linking, continued=False)


def _link(
    stack: NDArray[np.int32], linking: Linking, *, continued: bool
) -> NDArray[np.int32]:
    """Link the labels of a stack, (Z, H, W); its planes are read where gaps are."""
    counts = [PlaneCount.of(plane) for plane in stack]
    overlaps = [
        PlaneOverlaps.of(z, later, stack[z], stack[later])
        for z, later in neighbours(len(stack), linking.gap, nearest_planes(continued))
    ]
    numbers = number_objects(
        counts,
        overlaps,
        min_overlap=linking.overlap,
        min_slices=linking.min_slices,
        continued=continued,
    )
    gaps = numbers.gaps_by_plane()
    linked = np.empty(stack.shape, np.int32)
    for index, plane in enumerate(stack):
        linked[index] = paint_linked(plane, counts[index], numbers.ids[index])
        # Gaps last: they never overwrite an object of the plane.
        fill_gaps(linked[index], index, gaps.get(index, ()), stack.__getitem__)
    return linked
