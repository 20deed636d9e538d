"""Outlines of labels along the edges of their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Directions along the edges, the object to the right: east, south, west, north. Per
# direction: the step (row, col), the pixel to the right of an edge as an offset from
# its first corner, and the pixels ahead to the right and left of its last corner.
_STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
_INSIDE = np.array([(0, 0), (0, -1), (-1, -1), (-1, 0)])
_AHEAD_RIGHT = _INSIDE[[0, 1, 2, 3]]
_AHEAD_LEFT = _INSIDE[[3, 0, 1, 2]]


@dataclass(frozen=True, slots=True, eq=False)
class LabelPolygons:
    """One label and the polygons that cover exactly its pixels.

    Parameters
    ----------
    label : int
        The label.
    polygons : list of list of ndarray
        One list for each part whose pixels share edges: its exterior, then its holes.
        Each ring has (N, 2) corners of pixels as (row, col): pixel (r, c) has the
        corners (r, c) to (r + 1, c + 1). Exteriors run clockwise on the screen, holes
        counterclockwise. No ring touches itself.
    """

    label: int
    polygons: list[list[NDArray[np.int64]]]


def trace_labels(labels: NDArray[Any]) -> Iterator[LabelPolygons]:
    """Yield the outlines of each label, in increasing order of the labels.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers; 0 is background.
    """
    edges = _Edges.of(labels)
    rings, ring_labels = _follow(edges)
    start = 0
    for index in range(1, len(rings) + 1):
        if index == len(rings) or ring_labels[index] != ring_labels[start]:
            yield LabelPolygons(
                int(ring_labels[start]), _group_rings(rings[start:index])
            )
            start = index


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Directed edges between different labels, and their successors.

    An edge has the number 4 * corner + direction, with corners numbered row by row.
    """

    numbers: NDArray[np.int64]
    following: NDArray[np.int64]  # index of the next edge of the same outline
    bends: NDArray[np.bool_]  # whether the outline changes direction at its start
    touches: NDArray[np.bool_]  # whether the label touches itself there, diagonally
    labels: NDArray[Any]
    corners_per_row: int

    @classmethod
    def of(cls, labels: NDArray[Any]) -> _Edges:
        """Find all edges of a label plane."""
        width = labels.shape[1]
        padded = np.pad(labels, 1)
        inside = padded[1:-1, 1:-1]
        found = []
        for side, (row, col) in enumerate(_STEP):
            # The pixel to the left of the edge, seen from the one to the right.
            above, left = 1 - col, 1 + row
            other = padded[
                above : above + labels.shape[0], left : left + labels.shape[1]
            ]
            rows, cols = np.nonzero((inside != 0) & (inside != other))
            corners = (rows - _INSIDE[side, 0]) * (width + 1)
            corners += cols - _INSIDE[side, 1]
            found.append(4 * corners + side)
        numbers = np.sort(np.concatenate(found))
        corner, direction = np.divmod(numbers, 4)
        rows, cols = np.divmod(corner, width + 1)

        def pixels(
            rows: NDArray[np.int64], cols: NDArray[np.int64], offset: NDArray[Any]
        ) -> NDArray[Any]:
            found: NDArray[Any] = padded[
                rows + offset[:, 0] + 1, cols + offset[:, 1] + 1
            ]
            return found

        own = pixels(rows, cols, _INSIDE[direction])
        rows, cols = rows + _STEP[direction, 0], cols + _STEP[direction, 1]
        right = pixels(rows, cols, _AHEAD_RIGHT[direction]) == own
        left_too = pixels(rows, cols, _AHEAD_LEFT[direction]) == own
        # Where only the pixel ahead to the left is of the label, pixels touch
        # diagonally: the outline stays with its own pixel.
        turn = np.where(right, np.where(left_too, 3, 0), 1)
        after = 4 * (rows * (width + 1) + cols) + (direction + turn) % 4
        following = np.searchsorted(numbers, after)
        bends, touches = np.zeros((2, len(numbers)), bool)
        bends[following] = turn != 0
        touches[following] = ~right & left_too
        return cls(numbers, following, bends, touches, own, width + 1)


def _follow(edges: _Edges) -> tuple[list[NDArray[np.int64]], NDArray[Any]]:
    """Return all rings, sorted by label, and the label of each."""
    if not len(edges.numbers):
        return [], edges.labels
    following = edges.following.tolist()
    seen = bytearray(len(following))
    order: list[int] = []
    starts: list[int] = []
    for first in range(len(following)):
        if seen[first]:
            continue
        starts.append(len(order))
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            order.append(edge)
            edge = following[edge]
    visited = np.array(order, np.int64)
    del order, following
    labels = edges.labels[visited[starts]]
    kept = edges.bends[visited]
    counts = np.add.reduceat(kept, starts, dtype=np.int64)
    touching = np.add.reduceat(edges.touches[visited], starts, dtype=np.int64)
    corners = edges.numbers[visited[kept]] // 4
    vertices = np.stack(np.divmod(corners, edges.corners_per_row), axis=1)
    ends = np.cumsum(counts)
    rings: list[NDArray[np.int64]] = []
    ring_labels = []
    for index in np.argsort(labels, kind="stable").tolist():
        ring = vertices[ends[index] - counts[index] : ends[index]]
        parts = [ring] if touching[index] < 2 else _split_where_touching(ring)
        rings += parts
        ring_labels += [labels[index]] * len(parts)
    return rings, np.array(ring_labels, edges.labels.dtype)


def _split_where_touching(ring: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cut a ring that visits a corner twice into rings that do not."""
    rings = []
    path: list[tuple[int, int]] = []
    position: dict[tuple[int, int], int] = {}
    for corner in map(tuple, ring.tolist()):
        if corner in position:
            loop = path[position[corner] :]
            del path[position[corner] :]
            for visited in loop:
                del position[visited]
            rings.append(np.array(loop, np.int64))
        position[corner] = len(path)
        path.append(corner)
    return [*rings, np.array(path, np.int64)]


def signed_area(ring: NDArray[Any]) -> float:
    """Return the area of a ring; positive when it runs clockwise on the screen."""
    rows, cols = ring[:, 0], ring[:, 1]
    area = np.dot(cols, np.roll(rows, -1)) - np.dot(rows, np.roll(cols, -1))
    return float(area) / 2


def _group_rings(rings: list[NDArray[np.int64]]) -> list[list[NDArray[np.int64]]]:
    """Give each hole to the exterior around it."""
    if len(rings) == 1:
        return [rings]
    areas = [signed_area(ring) for ring in rings]
    polygons = {i: [rings[i]] for i, area in enumerate(areas) if area > 0}
    for ring, area in zip(rings, areas, strict=True):
        if area > 0:
            continue
        pixel = _pixel_beside(ring)
        around = [i for i in polygons if len(polygons) == 1 or _holds(rings[i], pixel)]
        polygons[min(around, key=lambda i: areas[i])].append(ring)
    return list(polygons.values())


def _pixel_beside(ring: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the centre of the pixel to the right of the first edge."""
    step = np.sign(ring[1] - ring[0])
    direction = int(np.flatnonzero((step == _STEP).all(axis=1))[0])
    centre: NDArray[np.float64] = ring[0] + _INSIDE[direction] + 0.5
    return centre


def _holds(ring: NDArray[np.int64], point: NDArray[np.float64]) -> bool:
    """Tell whether a ring along pixel edges surrounds a point."""
    after = np.roll(ring, -1, axis=0)
    crossed = (ring[:, 0] <= point[0]) != (after[:, 0] <= point[0])
    return bool(np.count_nonzero(crossed & (ring[:, 1] > point[1])) % 2)
