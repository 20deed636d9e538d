"""Linking of the objects of single planes through a stack, all planes at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_sam.automatic.candidates import PlaneObjects
from napari_sam.checks.arrays import as_label_array
from napari_sam.checks.values import (
    check_fields,
    check_list,
    check_type,
    or_default,
    real_number,
    whole_number,
)
from napari_sam.masks.interpolation import interpolate
from napari_sam.masks.patch import MaskPatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


# Factor of a link's value for each plane without the object.
_GAP_FACTOR = 0.5
# Cost of no link. Costs of links are positive: a sparse matrix has no entries of 0.
_NO_LINK_COST = 2.0

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
            labels[:] = np.array([0, *plane.numbers], np.int32)[labels]
        tracks = _join_tracks(stack)
        linked = _link_tracks(*tracks, linking, nearest=2)
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
    return _link_tracks(*_single_tracks(stack), linking, nearest=1)


class _Track(NamedTuple):
    """An object on consecutive planes.

    Parameters
    ----------
    first, last : int
        Planes.
    first_area, last_area : int
        Pixels on them.
    """

    first: int
    last: int
    first_area: int
    last_area: int


def _single_tracks(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int64], list[_Track]]:
    """Renumber labels from 1, uniquely in the stack; list a track for each."""
    unique = np.zeros(labels.shape, np.int64)
    tracks: list[_Track] = []
    for z, plane in enumerate(labels):
        values, inverse, areas = np.unique(
            plane, return_inverse=True, return_counts=True
        )
        renumbered = np.cumsum(values != 0) + len(tracks)
        renumbered[values == 0] = 0
        unique[z] = renumbered[inverse].reshape(plane.shape)
        tracks += [_Track(z, z, a, a) for a in areas[values != 0].tolist()]
    return unique, tracks


def _join_tracks(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int64], list[_Track]]:
    """Renumber labels of a stack from 1; list the track of each."""
    values, inverse = np.unique(labels, return_inverse=True)
    unique = (np.cumsum(values != 0) * (values != 0))[inverse].reshape(labels.shape)
    tracks: dict[int, _Track] = {}
    for z, plane in enumerate(unique):
        numbers, areas = np.unique(plane[plane > 0], return_counts=True)
        for number, area in zip(numbers.tolist(), areas.tolist(), strict=True):
            before = tracks.get(number, _Track(z, z, area, area))
            tracks[number] = before._replace(last=z, last_area=area)
    return unique, [tracks[number] for number in sorted(tracks)]


def _link_tracks(
    unique: NDArray[np.int64],
    tracks: Sequence[_Track],
    linking: Linking,
    nearest: int,
) -> NDArray[np.int32]:
    """Link tracks to objects, at a distance of at least `nearest` planes."""
    numbers = np.zeros(len(tracks) + 1, np.int32)
    object_id = 0
    gaps: list[tuple[int, int, int]] = []
    links = _possible_links(unique, tracks, linking, nearest)
    for path in _select_paths(len(tracks), links):
        if tracks[path[-1]].last - tracks[path[0]].first + 1 < linking.min_slices:
            continue
        object_id += 1
        numbers[np.add(path, 1)] = object_id
        gaps += [
            (object_id, tracks[a].last, tracks[b].first) for a, b in pairwise(path)
        ]
    linked = numbers[unique]
    # Gaps last: they never overwrite an object of the plane.
    for object_id, start, stop in gaps:
        _fill_gap(linked, object_id, start, stop)
    return linked


def _possible_links(
    unique: NDArray[np.int64],
    tracks: Sequence[_Track],
    linking: Linking,
    nearest: int,
) -> list[tuple[int, int, float]]:
    """List (earlier object, later object, value of the link)."""
    links = []
    for distance in range(nearest, linking.gap + 2):
        for z in range(len(unique) - distance):
            earlier, later = unique[z].ravel(), unique[z + distance].ravel()
            both = (earlier > 0) & (later > 0)
            pairs, overlaps = np.unique(
                np.stack([earlier[both], later[both]]), axis=1, return_counts=True
            )
            for a, b, overlap in zip(
                *(pairs - 1).tolist(), overlaps.tolist(), strict=True
            ):
                if tracks[a].last != z or tracks[b].first != z + distance:
                    continue
                areas = tracks[a].last_area, tracks[b].first_area
                if overlap >= linking.overlap * min(areas):
                    iou = overlap / (sum(areas) - overlap)
                    links.append((a, b, iou * _GAP_FACTOR ** (distance - 1)))
    return links


def _select_paths(
    count: int, links: Sequence[tuple[int, int, float]]
) -> list[list[int]]:
    """Select the cover by paths of the largest value; list the objects of each path."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not count:
        return []
    # The matching of older SciPy takes 32-bit indices only.
    nodes = np.arange(count, dtype=np.int32)
    rows = np.concatenate([np.array([a for a, _, _ in links], np.int32), nodes])
    # One column an object, and one for each that has no successor.
    cols = np.concatenate([np.array([b for _, b, _ in links], np.int32), nodes + count])
    cost = np.concatenate(
        [
            _NO_LINK_COST - np.array([v for _, _, v in links]),
            np.full(count, _NO_LINK_COST),
        ]
    )
    matrix = coo_array((cost, (rows, cols)), shape=(count, 2 * count)).tocsr()
    matching = min_weight_full_bipartite_matching(matrix)
    successor = dict(zip(*(side.tolist() for side in matching), strict=True))
    with_predecessor = {b for b in successor.values() if b < count}
    paths = []
    for start in range(count):
        if start not in with_predecessor:
            path = [start]
            while successor[path[-1]] < count:
                path.append(successor[path[-1]])
            paths.append(path)
    return paths


def _fill_gap(linked: NDArray[np.int32], object_id: int, start: int, stop: int) -> None:
    """Interpolate an object between two planes, on background only."""
    if stop - start < 2:
        return
    first, last = (MaskPatch.from_mask(linked[z] == object_id) for z in (start, stop))
    for z in range(start + 1, stop):
        patch = interpolate(first, last, (z - start) / (stop - start))
        part = linked[z][patch.region]
        part[patch.mask & (part == 0)] = object_id
