"""Planes of an image in labels of another shape, scale or number of axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.masks.patch import mask_to_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex

# Rounding errors of transforms, in pixels.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LabelGrid:
    """How the pixels of labels lie in an image; axes are aligned on the right.

    A pixel of the labels shows the image pixel that its centre lies in.

    Parameters
    ----------
    shape : tuple of int
        Of the labels.
    image_ndim : int
        Axes of the image, without colour.
    matrix : ndarray
        (s + 1, s + 1), from the last s axes of the labels to the last s axes of
        the image in pixels, s being the smaller number of axes.
    extra : tuple of int
        Index of the labels along the leading axes that the image has not.
    """

    shape: tuple[int, ...]
    image_ndim: int
    matrix: NDArray[np.float64]
    extra: tuple[int, ...] = ()

    @classmethod
    def same(cls, shape: Sequence[int]) -> Self:
        """Labels of the image's own shape and place."""
        return cls(tuple(shape), len(shape), np.eye(len(shape) + 1))

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Undo `to_json`."""
        matrix = np.array(entry["matrix"], float)
        extra = tuple(entry["extra"])
        return cls(tuple(entry["shape"]), entry["image_ndim"], matrix, extra)

    def to_json(self) -> dict[str, Any]:
        """Plain types that say the same."""
        return {
            "shape": list(self.shape),
            "image_ndim": self.image_ndim,
            "matrix": self.matrix.tolist(),
            "extra": list(self.extra),
        }

    @property
    def shared(self) -> int:
        """How many trailing axes labels and image have in common."""
        return len(self.matrix) - 1

    def is_aligned(self, plane_index: PlaneIndex) -> bool:
        """Whether planes of the image are planes of the labels.

        Not so where the labels lack rows or columns, or are turned or sheared out
        of the image's plane, or along its other axes.
        """
        entries = self._shared_part(plane_index)
        plane = _plane_axes(entries)
        if len(plane) < 2:
            return False
        mixed = self.matrix[:-1, :-1].copy()
        mixed[np.ix_(plane, plane)] = 0
        np.fill_diagonal(mixed, 0)
        return bool(np.abs(mixed).max(initial=0) <= _TOLERANCE)

    def covers(self, plane_index: PlaneIndex, plane_shape: tuple[int, int]) -> bool:
        """Whether any pixel of the labels shows the plane of the image.

        Of labels that are turned, whether their pixels and the image meet in the
        box around the plane.
        """
        whole = ObjectPlaneMask(
            1, plane_index, (0, 0), np.broadcast_to(True, plane_shape)
        )
        plane = self._plane(self._shared_part(plane_index))
        low, high = self._reach(whole, plane)
        if not self._indices(plane_index) or (low >= high).any():
            return False
        matrix, offset, _ = plane
        if np.count_nonzero(matrix - np.diag(np.diag(matrix))):
            return True
        return all(
            _holds(np.arange(a, b) * step + first, size)
            for a, b, step, first, size in zip(
                low, high, np.diag(matrix), offset, plane_shape, strict=True
            )
        )

    def place(self, piece: ObjectPlaneMask) -> list[ObjectPlaneMask]:
        """Where a piece of an image plane lies in the labels, cut to them."""
        placed = []
        pixels = self._resample(piece)
        if pixels is None:
            return []
        origin, mask = pixels
        for index in self._indices(piece.index):
            placed.append(replace(piece, index=index, origin=origin, mask=mask))
        return placed

    def outside(self, piece: ObjectPlaneMask) -> int:
        """Pixels of a piece whose centres lie outside the labels."""
        count = int(np.count_nonzero(piece.mask))
        if not self._indices(piece.index):
            return count
        matrix, offset, shape = self._plane(self._shared_part(piece.index))
        centres = np.argwhere(piece.mask) + piece.origin
        there = (centres - offset) @ np.linalg.inv(matrix).T
        there = np.round(there, 6)
        inside = ((there >= -0.5) & (there < np.array(shape) - 0.5)).all(axis=1)
        return count - int(np.count_nonzero(inside))

    def _shared_part(self, plane_index: PlaneIndex) -> PlaneIndex:
        return plane_index[self.image_ndim - self.shared :]

    def _plane(
        self, entries: PlaneIndex
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
        """Matrix and offset from labels to image on the plane; its labels shape."""
        axes = _plane_axes(entries)
        shape = self.shape[len(self.shape) - self.shared :]
        return (
            self.matrix[np.ix_(axes, axes)],
            self.matrix[axes, -1],
            (shape[axes[0]], shape[axes[1]]),
        )

    def _indices(self, plane_index: PlaneIndex) -> list[PlaneIndex]:
        """Planes of the labels that show a plane of the image."""
        shape = self.shape[len(self.shape) - self.shared :]
        choices: list[list[slice | int]] = [[index] for index in self.extra]
        for axis, entry in enumerate(self._shared_part(plane_index)):
            if isinstance(entry, slice):
                choices.append([slice(None)])
                continue
            position = np.arange(shape[axis]) * self.matrix[axis, axis]
            shown = nearest(position + self.matrix[axis, -1])
            choices.append([int(i) for i in np.flatnonzero(shown == entry)])
        return list(product(*choices))

    def _reach(
        self,
        piece: ObjectPlaneMask,
        plane: tuple[Any, NDArray[np.float64], tuple[int, int]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First (row, col) of the labels that may show a piece, and one past the last.

        Those whose centres lie in the box around the piece.
        """
        matrix, offset, shape = plane
        low = np.array(piece.origin) - 0.5 - _TOLERANCE
        high = low + piece.mask.shape + 2 * _TOLERANCE
        corners = np.array(
            [(r, c) for r in (low[0], high[0]) for c in (low[1], high[1])]
        )
        there = (corners - offset) @ np.linalg.inv(matrix).T
        first = np.ceil(there.min(axis=0) - _TOLERANCE).astype(np.int64)
        last = np.floor(there.max(axis=0) + _TOLERANCE).astype(np.int64) + 1
        return np.clip(first, 0, shape), np.clip(last, 0, shape)

    def _resample(
        self, piece: ObjectPlaneMask
    ) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
        """The mask as pixels of the labels, cut to its box; None when none."""
        plane = self._plane(self._shared_part(piece.index))
        matrix, offset, _ = plane
        low, high = self._reach(piece, plane)
        if (low >= high).any():
            return None
        rows, cols = (np.arange(a, b) for a, b in zip(low, high, strict=True))
        # (row, col) in the piece's mask of each pixel of the labels.
        source = [
            nearest(m[0] * rows[:, None] + m[1] * cols + o) - first
            for m, o, first in zip(matrix, offset, piece.origin, strict=True)
        ]
        height, width = piece.mask.shape
        inside = (source[0] >= 0) & (source[0] < height)
        inside &= (source[1] >= 0) & (source[1] < width)
        mask = np.zeros(inside.shape, bool)
        mask[inside] = piece.mask[source[0][inside], source[1][inside]]
        window = mask_to_window(mask)
        if window is None:
            return None
        origin = int(low[0]) + window[0].start, int(low[1]) + window[1].start
        return origin, mask[window]


def _plane_axes(entries: PlaneIndex) -> list[int]:
    return [axis for axis, entry in enumerate(entries) if isinstance(entry, slice)]


def _holds(position: NDArray[np.float64], size: int) -> bool:
    """Whether any of the positions along an axis lies in one of its pixels."""
    index = nearest(position)
    return bool(((index >= 0) & (index < size)).any())
