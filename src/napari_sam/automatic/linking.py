"""Objects of single planes linked through a stack, all planes at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.interpolation import interpolate
from napari_sam.masks.patch import MaskPatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.candidates import PlaneObjects

# A link over planes without the object is worth this much less for each of them.
_PER_GAP = 0.5
# Costs must not be 0, which a sparse matrix does not hold.
_NO_LINK = 2.0


@dataclass(frozen=True, slots=True)
class Linking:
    """How objects of planes become one through a stack.

    Parameters
    ----------
    gap : int
        Most planes in a row without the object that are bridged, by interpolation.
    min_slices : int
        Objects through fewer planes, bridged ones included, are left out.
    overlap : float
        Least share of the smaller of two masks that both have, for a link.

    Raises
    ------
    ValueError
        When a number is out of range.
    """

    gap: int = 1
    min_slices: int = 2
    overlap: float = 0.5

    def __post_init__(self) -> None:
        if self.gap < 0 or self.min_slices < 1 or not 0 < self.overlap <= 1:
            raise ValueError(
                f"Links over {self.gap} planes, of {self.min_slices} slices and an "
                f"overlap of {self.overlap} are not possible: give a gap of 0 or more, "
                "1 slice or more, and an overlap above 0 and up to 1."
            )


def link_planes(
    planes: Sequence[PlaneObjects], linking: Linking | None = None, axis: int = 0
) -> NDArray[np.int32]:
    """Link the objects of all planes of a stack; see `link_labels`.

    Parameters
    ----------
    planes : sequence of PlaneObjects
        From the first to the last.
    linking : Linking, optional
        How.
    axis : int
        Of the stack in what is returned.

    Returns
    -------
    ndarray
        int32, objects numbered from 1.
    """
    stack = np.stack([plane.labels for plane in planes])
    return np.moveaxis(link_labels(stack, linking), 0, axis)


def link_labels(
    labels: NDArray[np.int32], linking: Linking | None = None
) -> NDArray[np.int32]:
    """Link labels that were given plane by plane into objects of the stack.

    Every object of a plane has at most one successor and one predecessor. Of all
    such links, over neighbouring planes and over gaps, those are chosen whose IoU
    adds up to most in the whole stack: a cover of the objects by paths, found as a
    matching of each object as successor with each as predecessor (as in Jaqaman et
    al. 2008, "Robust single-particle tracking", Nat. Methods 5:695-702, here for
    all planes in one step). An object that branches becomes several.

    Parameters
    ----------
    labels : ndarray
        (Z, H, W) int; numbers of different planes have nothing to do with each
        other. Not changed.
    linking : Linking, optional
        How.

    Returns
    -------
    ndarray
        (Z, H, W) int32, objects numbered from 1; bridged planes are painted where
        there is background.
    """
    linking = linking or Linking()
    nodes, where = _nodes(labels)
    linked = np.zeros(labels.shape, np.int32)
    number = 0
    bridges: list[tuple[int, int, int]] = []
    for path in _paths(len(where), _links(nodes, where, linking)):
        first, last = where[path[0]][0], where[path[-1]][0]
        if last - first + 1 < linking.min_slices:
            continue
        number += 1
        for node in path:
            plane = where[node][0]
            linked[plane][nodes[plane] == node + 1] = number
        bridges += [(number, where[a][0], where[b][0]) for a, b in pairwise(path)]
    # Bridges last: they never take what an object of the plane has.
    for number, start, stop in bridges:
        _bridge(linked, number, start, stop)
    return linked


def _nodes(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """Labels that are unique in the stack, from 1; (plane, area) of each."""
    nodes = np.zeros(labels.shape, np.int64)
    where: list[tuple[int, int]] = []
    for plane, values in enumerate(labels):
        found, which, areas = np.unique(values, return_inverse=True, return_counts=True)
        numbers = np.cumsum(found != 0) + len(where)
        numbers[found == 0] = 0
        nodes[plane] = numbers[which].reshape(values.shape)
        where += [(plane, int(a)) for a in areas[found != 0]]
    return nodes, where


def _links(
    nodes: NDArray[np.int64], where: Sequence[tuple[int, int]], linking: Linking
) -> list[tuple[int, int, float]]:
    """(earlier, later, value) of objects that may be one."""
    links = []
    for apart in range(1, linking.gap + 2):
        for plane in range(len(nodes) - apart):
            one, other = nodes[plane].ravel(), nodes[plane + apart].ravel()
            both = (one > 0) & (other > 0)
            pairs, shared = np.unique(
                np.stack([one[both], other[both]]), axis=1, return_counts=True
            )
            for a, b, common in zip(
                *(pairs - 1).tolist(), shared.tolist(), strict=True
            ):
                areas = where[a][1], where[b][1]
                if common >= linking.overlap * min(areas):
                    iou = common / (sum(areas) - common)
                    links.append((a, b, iou * _PER_GAP ** (apart - 1)))
    return links


def _paths(count: int, links: Sequence[tuple[int, int, float]]) -> list[list[int]]:
    """The cover by paths of most value, each from its first to its last object."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not count:
        return []
    # The matching of older SciPy takes indices of 32 bits only.
    alone = np.arange(count, dtype=np.int32)
    rows = np.concatenate([np.array([a for a, _, _ in links], np.int32), alone])
    # One column an object, and one for each that has no successor.
    cols = np.concatenate([np.array([b for _, b, _ in links], np.int32), alone + count])
    cost = np.concatenate(
        [_NO_LINK - np.array([v for _, _, v in links]), np.full(count, _NO_LINK)]
    )
    matrix = coo_array((cost, (rows, cols)), shape=(count, 2 * count)).tocsr()
    found = min_weight_full_bipartite_matching(matrix)
    follows = dict(zip(*(side.tolist() for side in found), strict=True))
    later = {b for b in follows.values() if b < count}
    paths = []
    for start in range(count):
        if start not in later:
            path = [start]
            while follows[path[-1]] < count:
                path.append(follows[path[-1]])
            paths.append(path)
    return paths


def _bridge(linked: NDArray[np.int32], number: int, start: int, stop: int) -> None:
    """Paint the planes between two by interpolation, on background only."""
    if stop - start < 2:
        return
    first, last = (
        MaskPatch.from_mask(linked[plane] == number) for plane in (start, stop)
    )
    for plane in range(start + 1, stop):
        between = interpolate(first, last, (plane - start) / (stop - start))
        part = linked[plane][between.region]
        part[between.mask & (part == 0)] = number
