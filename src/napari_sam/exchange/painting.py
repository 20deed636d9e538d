"""Pixels of annotations: those whose centres they cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.prompts.shapes import ellipse_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.exchange.annotation import Annotation

_MEBI = 2**20
# Crossings of outlines with rows of pixels: collected up to a batch.
_BATCH = _MEBI
_MAX_CROSSINGS = 64 * _MEBI
_TOLERANCE = 1e-6


class PlanePainter:
    """A plane on which annotations are painted, the later over the earlier.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the plane.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.plane = np.zeros(shape, np.int32)
        self.painted = 0
        self.cropped = 0
        self._edges: list[NDArray[np.float64]] = []
        self._values: list[int] = []
        self._crossings = 0

    def add(self, annotation: Annotation, value: int) -> None:
        """Paint an annotation that covers pixels with a value from 1.

        Raises
        ------
        ValueError
            When its outline is too intricate to be real.
        """
        if annotation.kind == "polygon":
            parts = annotation.polygons
        elif annotation.kind == "rectangle":
            parts = [[annotation.vertices]]
        else:
            self._add_mask(annotation, value)
            return
        self._count_cropped([ring for part in parts for ring in part])
        for rings in parts:
            self.add_rings(rings, value, annotation.source)

    def add_rings(
        self, rings: Sequence[NDArray[np.float64]], value: int, source: str
    ) -> None:
        """Paint the even-odd interior of (N, 2) rings; see `add`."""
        edges = np.concatenate(
            [np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in rings]
        )
        tall = np.abs(edges[:, 2] - edges[:, 0]).clip(0, self.plane.shape[0])
        crossings = int(tall.sum()) + len(edges)
        if crossings > _MAX_CROSSINGS:
            raise ValueError(
                f"{source} has an outline of {len(edges)} points that crosses "
                f"{crossings} pixels: simplify it."
            )
        if self._crossings + crossings > _BATCH:
            self.flush()
        self._edges.append(edges)
        self._values.append(value)
        self._crossings += crossings

    def flush(self) -> None:
        """Paint the polygons that wait."""
        if not self._edges:
            return
        owners = np.repeat(np.arange(len(self._edges)), [len(e) for e in self._edges])
        values = np.array(self._values, np.int32)
        edges, self._edges, self._values = np.concatenate(self._edges), [], []
        self._crossings = 0
        owners, starts, lengths = _row_runs(edges, owners, self.plane.shape)
        flat, ends = self.plane.reshape(-1), np.cumsum(lengths)
        self.painted += int(lengths.sum())
        # Overlapping polygons may have many more pixels than the plane.
        for part in np.split(
            np.arange(len(ends)),
            np.searchsorted(ends, np.arange(_BATCH, ends[-1:].sum(), _BATCH)),
        ):
            count = lengths[part]
            pixels = np.repeat(starts[part] - (np.cumsum(count) - count), count)
            pixels += np.arange(len(pixels))
            flat[pixels] = np.repeat(values[owners[part]], count)

    def _add_mask(self, annotation: Annotation, value: int) -> None:
        self.flush()
        crop = area_mask(annotation, (self.plane.shape[0], self.plane.shape[1]))
        if annotation.kind == "ellipse":
            self._count_cropped([annotation.vertices])
        elif annotation.mask is not None:
            inside = 0 if crop is None else np.count_nonzero(crop[1])
            self.cropped += int(inside < np.count_nonzero(annotation.mask))
        if crop is None:
            return
        (row, col), mask = crop
        part = self.plane[row : row + mask.shape[0], col : col + mask.shape[1]]
        part[mask] = value
        self.painted += int(np.count_nonzero(mask))

    def _count_cropped(self, rings: Sequence[NDArray[np.float64]]) -> None:
        low = min(float(ring.min()) for ring in rings)
        high = np.max([ring.max(axis=0) for ring in rings], axis=0)
        end = np.array(self.plane.shape) - 0.5 + _TOLERANCE
        self.cropped += int(low < -0.5 - _TOLERANCE or (high > end).any())


def area_mask(
    annotation: Annotation, shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
    """Return the pixels of an annotation that covers pixels.

    Parameters
    ----------
    annotation : Annotation
        Of any kind but points and lines.
    shape : tuple of int
        (H, W) of the plane, to which the mask is cropped.

    Returns
    -------
    tuple or None
        Origin (row, col) and (h, w) bool mask; None when no pixel of the plane is
        covered.
    """
    if annotation.kind == "ellipse":
        return ellipse_mask(annotation.vertices, shape)
    if annotation.mask is None:
        return _polygon_mask(annotation.polygons or [[annotation.vertices]], shape)
    (row, col), mask = annotation.origin, annotation.mask
    top, left = max(-row, 0), max(-col, 0)
    inside = mask[top : max(shape[0] - row, 0), left : max(shape[1] - col, 0)]
    return _tight((row + top, col + left), inside)


def _polygon_mask(
    polygons: Sequence[Sequence[NDArray[np.float64]]], shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
    """Return the pixels of polygons, computed around them only."""
    vertices = np.concatenate([ring for part in polygons for ring in part])
    low, high = (
        np.ceil(corner).clip(0, shape).astype(int)
        for corner in (vertices.min(axis=0), vertices.max(axis=0))
    )
    painter = PlanePainter((int(high[0] - low[0]), int(high[1] - low[1])))
    for part in polygons:
        painter.add_rings([ring - low for ring in part], 1, "a polygon")
    painter.flush()
    return _tight((int(low[0]), int(low[1])), painter.plane > 0)


def _tight(
    origin: tuple[int, int], mask: NDArray[np.bool_]
) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
    """Crop a mask to its pixels; None when it has none."""
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    crop = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return (origin[0] + int(rows[0]), origin[1] + int(cols[0])), crop


def _row_runs(
    edges: NDArray[np.float64], owners: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the runs of pixels with an odd number of edges to their left.

    Parameters
    ----------
    edges : ndarray
        (E, 4) as (row, col, row, col).
    owners : ndarray
        (E,) polygon of each edge, in increasing order.
    shape : tuple of int
        (H, W) of the plane.

    Returns
    -------
    tuple of ndarray
        Per run its polygon, its first pixel (row by row in the plane) and its length;
        the runs of a polygon come before those of the next.
    """
    height, width = shape
    # From the upper end, so that an edge gives the same crossings in both directions.
    flipped = edges[:, 0] > edges[:, 2]
    edges = np.where(flipped[:, None], edges[:, [2, 3, 0, 1]], edges)
    first, end = (np.ceil(edges[:, i]).clip(0, height).astype(int) for i in (0, 2))
    counts = end - first
    total = int(counts.sum())
    edge = np.repeat(np.arange(len(edges)), counts)
    row = np.arange(total) - np.repeat(np.cumsum(counts) - counts - first, counts)
    row0, col0, row1, col1 = edges[edge].T
    col = col0 + (row - row0) / (row1 - row0) * (col1 - col0)
    crossed = np.ceil(col).clip(0, width).astype(int)
    line = owners[edge] * height + row
    order = np.lexsort((crossed, line))
    # A closed outline crosses a row an even number of times.
    starts, ends = crossed[order].reshape(-1, 2).T
    line = line[order][::2]
    owner, row = np.divmod(line, height)
    some = ends > starts
    return owner[some], (row * width + starts)[some], (ends - starts)[some]
