"""Linking plane by plane: what two planes share, numbers of objects, gaps.

The stack is never needed as a whole: objects are counted on each plane and between two
planes, numbered from these counts alone, and painted on each plane.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.link_paths import select_successors
from napari_sam.masks.interpolation import interpolate
from napari_sam.masks.patch import MaskPatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Factor of a link's value for each plane without the object.
_GAP_FACTOR = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PlaneCount:
    """The objects of one plane.

    Parameters
    ----------
    labels : ndarray
        (n,) int64, those that have pixels, increasing.
    areas : ndarray
        (n,) int64, their pixels.
    """

    labels: NDArray[np.int64]
    areas: NDArray[np.int64]

    @classmethod
    def of(cls, plane: NDArray[np.integer]) -> PlaneCount:
        """Count the pixels of each label of a plane, (H, W)."""
        labels, areas = np.unique(plane[plane > 0], return_counts=True)
        return cls(labels.astype(np.int64), areas.astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class PlaneOverlaps:
    """What the objects of two planes share.

    Parameters
    ----------
    first, second : int
        The planes.
    pairs : ndarray
        (n, 3) int64: label on the first plane, label on the second, and the number of
        pixels that both cover.
    """

    first: int
    second: int
    pairs: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        first: int,
        second: int,
        earlier: NDArray[np.integer],
        later: NDArray[np.integer],
    ) -> PlaneOverlaps:
        """Compare two planes of labels, (H, W)."""
        both = (earlier > 0) & (later > 0)
        one, other = (plane[both].astype(np.int64) for plane in (earlier, later))
        # A pair of 32-bit labels as one number is sorted faster than rows.
        factor = int(other.max(initial=0)) + 1
        pairs, counts = np.unique(one * factor + other, return_counts=True)
        columns = [pairs // factor, pairs % factor, counts]
        return cls(first, second, np.column_stack(columns))


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """Planes without an object, between two that have it.

    Parameters
    ----------
    object_id : int
        The object.
    start, stop : int
        The planes that have it.
    start_label, stop_label : int
        Its labels there.
    """

    object_id: int
    start: int
    stop: int
    start_label: int
    stop_label: int


@dataclass(frozen=True, slots=True, eq=False)
class ObjectNumbers:
    """The numbers of all objects of a stack.

    Parameters
    ----------
    ids : sequence of ndarray
        For each plane the object of each label of its `PlaneCount`, int32; 0 for
        those that are too short.
    gaps : sequence of Gap
        By object, in the order in which they are filled.
    count : int
        Number of objects.
    """

    ids: Sequence[NDArray[np.int32]]
    gaps: Sequence[Gap]
    count: int

    def gaps_by_plane(self) -> dict[int, list[Gap]]:
        """Return the gaps that each plane fills, {plane: gaps}."""
        by_plane: dict[int, list[Gap]] = defaultdict(list)
        for gap in self.gaps:
            for plane in range(gap.start + 1, gap.stop):
                by_plane[plane].append(gap)
        return by_plane


def nearest_planes(continued: bool) -> int:
    """Return the smallest distance of planes to link.

    Where objects are known to continue through the stack, it is that across a gap.
    """
    return 2 if continued else 1


def neighbours(count: int, gap: int, nearest: int) -> list[tuple[int, int]]:
    """List the pairs of planes whose objects may be linked.

    Parameters
    ----------
    count : int
        Number of planes.
    gap : int
        See `Linking`.
    nearest : int
        Smallest distance of linked planes, see `nearest_planes`.
    """
    return [
        (z, z + distance)
        for distance in range(nearest, gap + 2)
        for z in range(count - distance)
    ]


def number_objects(
    planes: Sequence[PlaneCount],
    overlaps: Sequence[PlaneOverlaps],
    *,
    min_overlap: float,
    min_slices: int,
    continued: bool,
) -> ObjectNumbers:
    """Link the objects of planes, and number those that are long enough.

    Objects are numbered from 1 in the order of their first plane, and on it of their
    label; where labels continue, in the order of the smallest label.

    Parameters
    ----------
    planes : sequence of PlaneCount
        All planes.
    overlaps : sequence of PlaneOverlaps
        Of the pairs of `neighbours`.
    min_overlap, min_slices
        See `Linking`.
    continued : bool
        Whether equal labels on different planes are the same object; else they are
        unrelated.
    """
    tracks = _Tracks.of(planes, continued)
    successors = select_successors(
        len(tracks.first), *tracks.links(overlaps, min_overlap)
    )
    paths = _follow(successors)
    long_enough = [
        path
        for path in paths
        if tracks.last[path[-1]] - tracks.first[path[0]] + 1 >= min_slices
    ]
    ids = np.zeros(len(tracks.first), np.int32)
    gaps = []
    for object_id, path in enumerate(long_enough, start=1):
        ids[path] = object_id
        for a, b in pairwise(path):
            start, stop = int(tracks.last[a]), int(tracks.first[b])
            if stop - start > 1:
                ends = int(tracks.last_label[a]), int(tracks.first_label[b])
                gaps.append(Gap(object_id, start, stop, *ends))
    by_plane = np.split(ids[tracks.of_object], tracks.offsets[1:-1])
    return ObjectNumbers(by_plane, gaps, len(long_enough))


def paint_linked(
    plane: NDArray[np.integer], count: PlaneCount, ids: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Replace the labels of a plane by the numbers of their objects."""
    linked, inside = np.zeros(plane.shape, np.int32), plane > 0
    linked[inside] = ids[np.searchsorted(count.labels, plane[inside])]
    return linked


def fill_gaps(
    linked: NDArray[np.int32],
    index: int,
    gaps: Sequence[Gap],
    read_plane: Callable[[int], NDArray[np.integer]],
) -> None:
    """Interpolate the objects that a plane lacks, on its background only.

    Parameters
    ----------
    linked : ndarray
        (H, W) the objects of the plane; changed.
    index : int
        The plane.
    gaps : sequence of Gap
        Those that it fills, see `ObjectNumbers.gaps_by_plane`.
    read_plane : callable
        Returns the labels of a plane before they were linked.
    """
    for gap in gaps:
        first, last = (
            MaskPatch.from_mask(read_plane(at) == label)
            for at, label in ((gap.start, gap.start_label), (gap.stop, gap.stop_label))
        )
        fraction = (index - gap.start) / (gap.stop - gap.start)
        patch = interpolate(first, last, fraction)
        part = linked[patch.region]
        part[patch.mask & (part == 0)] = gap.object_id


def _follow(successors: NDArray[np.int64]) -> list[list[int]]:
    """Return the paths that start with an object without predecessor, in order."""
    following = successors.tolist()
    has_predecessor = np.zeros(len(following), bool)
    has_predecessor[successors[successors >= 0]] = True
    paths = []
    for start in np.flatnonzero(~has_predecessor).tolist():
        path = [start]
        while following[path[-1]] >= 0:
            path.append(following[path[-1]])
        paths.append(path)
    return paths


@dataclass(frozen=True, slots=True, eq=False)
class _Tracks:
    """Objects on consecutive planes; on single planes unless labels continue.

    Parameters
    ----------
    of_object : ndarray
        (m,) the track of each label of each plane, planes one after the other.
    offsets : ndarray
        (planes + 1,) where each plane starts in `of_object`.
    labels : ndarray
        (m,) the labels.
    first, last, first_label, last_label, first_area, last_area : ndarray
        (tracks,) the first and last plane of each, and what it is there.
    """

    of_object: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    first_label: NDArray[np.int64]
    last_label: NDArray[np.int64]
    first_area: NDArray[np.int64]
    last_area: NDArray[np.int64]

    @classmethod
    def of(cls, planes: Sequence[PlaneCount], continued: bool) -> _Tracks:
        """Collect the tracks of all planes."""
        sizes = [len(plane.labels) for plane in planes]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        nothing = [np.empty(0, np.int64)]
        labels = np.concatenate([plane.labels for plane in planes] or nothing)
        areas = np.concatenate([plane.areas for plane in planes] or nothing)
        z = np.repeat(np.arange(len(planes), dtype=np.int64), sizes)
        number = np.arange(len(labels))
        firsts = lasts = number
        if continued:
            _, firsts, number = np.unique(
                labels, return_index=True, return_inverse=True
            )
            _, lasts = np.unique(labels[::-1], return_index=True)
            lasts = len(labels) - 1 - lasts
        return cls(
            number,
            offsets,
            labels,
            z[firsts],
            z[lasts],
            labels[firsts],
            labels[lasts],
            areas[firsts],
            areas[lasts],
        )

    def links(
        self, overlaps: Sequence[PlaneOverlaps], min_overlap: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the possible links: earlier track, later track, value."""
        empty = np.empty(0, np.int64)
        earlier, later, values = [empty], [empty], [np.empty(0)]
        for overlap in overlaps:
            a, b = (
                self._at(plane, overlap.pairs[:, column])
                for column, plane in enumerate((overlap.first, overlap.second))
            )
            # Of objects on several planes only the ends are linked.
            ends = (self.last[a] == overlap.first) & (self.first[b] == overlap.second)
            a, b, shared = a[ends], b[ends], overlap.pairs[ends, 2]
            areas = self.last_area[a], self.first_area[b]
            possible = shared >= min_overlap * np.minimum(*areas)
            iou = shared / (areas[0] + areas[1] - shared)
            factor = _GAP_FACTOR ** (overlap.second - overlap.first - 1)
            earlier.append(a[possible])
            later.append(b[possible])
            values.append((iou * factor)[possible])
        return np.concatenate(earlier), np.concatenate(later), np.concatenate(values)

    def _at(self, plane: int, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tracks of labels of a plane."""
        part = slice(self.offsets[plane], self.offsets[plane + 1])
        position = np.searchsorted(self.labels[part], labels)
        tracks: NDArray[np.int64] = self.of_object[part][position]
        return tracks
