"""Label grid: the affine map from pixels of labels to pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.masks.painting import ObjectPlaneMask, by_plane
from napari_sam.masks.patch import mask_to_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.axes import PlaneIndex

# Rounding errors of transforms, in pixels.
_TOLERANCE = 1e-6


class _PlaneMap(NamedTuple):
    """Map from (row, col) of the labels to (row, col) of an image plane.

    `shape` is (H, W) of the labels.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class LabelGrid:
    """The pixels of labels in the coordinates of an image.

    The labels may have another shape, scale, orientation or number of axes; axes are
    aligned on the right, as in napari. A pixel of the labels shows the image pixel
    that contains its centre.

    Parameters
    ----------
    shape : tuple of int
        Of the labels.
    image_ndim : int
        Number of axes of the image, without colour.
    matrix : ndarray
        (s + 1, s + 1) affine, from the last s axes of the labels to the last s axes
        of the image, in pixels; s is the smaller number of axes.
    extra : tuple of int
        Index of the labels along the leading axes that the image lacks.
    """

    shape: tuple[int, ...]
    image_ndim: int
    matrix: NDArray[np.float64]
    extra: tuple[int, ...] = ()

    @classmethod
    def same(cls, shape: Sequence[int]) -> Self:
        """Create the grid of labels with the pixels of the image."""
        return cls(tuple(shape), len(shape), np.eye(len(shape) + 1))

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Create from the output of `to_json`.

        Raises
        ------
        ValueError
            When the parts do not fit each other.
        """
        rows, shape = entry["matrix"], tuple(entry["shape"])
        extra, ndim = tuple(entry["extra"]), entry["image_ndim"]
        shared = min(len(shape), ndim)
        is_square = len(rows) == shared + 1 == max(map(len, rows), default=0)
        is_square = is_square and min(map(len, rows)) == shared + 1
        if not is_square or len(extra) != len(shape) - shared:
            raise ValueError(
                "The grid of the labels is damaged: its matrix, shape and extra axes "
                "do not fit each other; restore the file."
            )
        matrix = np.array(rows, float)
        if not np.isfinite(np.linalg.cond(matrix)):
            raise ValueError(
                "The grid of the labels is damaged: its matrix has no inverse; restore "
                "the file."
            )
        return cls(shape, ndim, matrix, extra)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON types, for the record."""
        return {
            "shape": list(self.shape),
            "image_ndim": self.image_ndim,
            "matrix": self.matrix.tolist(),
            "extra": list(self.extra),
        }

    @property
    def shared_ndim(self) -> int:
        """Number of trailing axes that labels and image share."""
        return len(self.matrix) - 1

    def is_aligned(self, plane_index: PlaneIndex) -> bool:
        """Return whether planes of the image are planes of the labels.

        They are not where the labels lack rows or columns, or are rotated or sheared
        out of the image plane or along its other axes.
        """
        axes = _plane_axes(self._shared_part(plane_index))
        if len(axes) < 2:
            return False
        off_plane = self.matrix[:-1, :-1].copy()
        off_plane[np.ix_(axes, axes)] = 0
        np.fill_diagonal(off_plane, 0)
        return is_within_half_pixel(off_plane, self._shared_shape)

    @property
    def is_same_place(self) -> bool:
        """Whether each pixel of the labels lies on the image pixel of its index."""
        count = self.shared_ndim
        shift = self.matrix[:-1].copy()
        shift[:, :count] -= np.eye(count)
        # The offset is that of the first pixel, as if along an axis of two.
        return is_within_half_pixel(shift, (*self._shared_shape, 2))

    def covers(self, plane_index: PlaneIndex, plane_shape: tuple[int, int]) -> bool:
        """Return whether any pixel of the labels shows the plane of the image.

        For rotated labels: whether they meet the bounding box of the plane.
        """
        full = ObjectPlaneMask(
            1, plane_index, (0, 0), np.broadcast_to(True, plane_shape)
        )
        plane_map = self._plane_map(plane_index)
        low, high = _reach(full, plane_map)
        if not self._indices(plane_index) or (low >= high).any():
            return False
        matrix, offset, _ = plane_map
        if np.count_nonzero(matrix - np.diag(np.diag(matrix))):
            return True
        return all(
            _any_within(np.arange(start, stop) * step + first, size)
            for start, stop, step, first, size in zip(
                low, high, np.diag(matrix), offset, plane_shape, strict=True
            )
        )

    def place(self, piece: ObjectPlaneMask) -> list[ObjectPlaneMask]:
        """Resample a piece of an image plane to the planes of the labels that show it.

        Pixels beyond the labels are cut off.
        """
        resampled = self._resample(piece)
        if resampled is None:
            return []
        origin, mask = resampled
        return [
            replace(piece, plane_index=plane_index, origin=origin, mask=mask)
            for plane_index in self._indices(piece.plane_index)
        ]

    def place_all(
        self, pieces: Iterable[ObjectPlaneMask]
    ) -> tuple[list[ObjectPlaneMask], int]:
        """Place many pieces, and count their pixels that lie outside the labels.

        See `place` and `count_outside`; what pieces of a plane share is found once.
        """
        is_same_place = self.is_same_place
        placed: list[ObjectPlaneMask] = []
        outside = 0
        for group in by_plane(pieces):
            plane_index = group[0].plane_index
            shape = self._plane_map(plane_index).shape
            indices = self._indices(plane_index)
            for piece in group:
                if is_same_place and indices and _is_inside(piece, shape):
                    placed += [
                        ObjectPlaneMask(
                            piece.object_id, index, piece.origin, piece.mask
                        )
                        for index in indices
                    ]
                else:
                    placed += self.place(piece)
                    outside += self.count_outside(piece)
        return placed, outside

    def count_outside(self, piece: ObjectPlaneMask) -> int:
        """Count the pixels of a piece whose centres lie outside the labels."""
        count = int(np.count_nonzero(piece.mask))
        if not self._indices(piece.plane_index):
            return count
        matrix, offset, shape = self._plane_map(piece.plane_index)
        if self.is_same_place:
            clipped = _clip(piece, shape)
            return count - (0 if clipped is None else int(clipped[1].sum()))
        centres = np.argwhere(piece.mask) + piece.origin
        positions = ((centres - offset) @ np.linalg.inv(matrix).T).round(6)
        inside = (positions >= -0.5) & (positions < np.array(shape) - 0.5)
        return count - int(np.count_nonzero(inside.all(axis=1)))

    @property
    def _shared_shape(self) -> tuple[int, ...]:
        return self.shape[len(self.shape) - self.shared_ndim :]

    def _shared_part(self, plane_index: PlaneIndex) -> PlaneIndex:
        return plane_index[self.image_ndim - self.shared_ndim :]

    def _plane_map(self, plane_index: PlaneIndex) -> _PlaneMap:
        axes = _plane_axes(self._shared_part(plane_index))
        shape = self._shared_shape
        return _PlaneMap(
            self.matrix[np.ix_(axes, axes)],
            self.matrix[axes, -1],
            (shape[axes[0]], shape[axes[1]]),
        )

    def _indices(self, plane_index: PlaneIndex) -> list[PlaneIndex]:
        """Return the planes of the labels that show a plane of the image."""
        shape = self._shared_shape
        choices: list[list[slice | int]] = [[index] for index in self.extra]
        for axis, entry in enumerate(self._shared_part(plane_index)):
            if isinstance(entry, slice):
                choices.append([slice(None)])
                continue
            positions = np.arange(shape[axis]) * self.matrix[axis, axis]
            shown = nearest(positions + self.matrix[axis, -1])
            choices.append([int(i) for i in np.flatnonzero(shown == entry)])
        return list(product(*choices))

    def _resample(
        self, piece: ObjectPlaneMask
    ) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
        """Resample a mask to pixels of the labels: origin and crop; None when empty."""
        plane_map = self._plane_map(piece.plane_index)
        if self.is_same_place:
            return _clip(piece, plane_map.shape)
        low, high = _reach(piece, plane_map)
        if (low >= high).any():
            return None
        rows, cols = (np.arange(a, b) for a, b in zip(low, high, strict=True))
        # (row, col) in the piece's mask of each pixel of the labels.
        source = [
            nearest(m[0] * rows[:, None] + m[1] * cols + o) - first
            for m, o, first in zip(
                plane_map.matrix, plane_map.offset, piece.origin, strict=True
            )
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


def _is_inside(piece: ObjectPlaneMask, shape: tuple[int, int]) -> bool:
    sides = zip(piece.origin, piece.mask.shape, shape, strict=True)
    return all(first >= 0 and first + length <= size for first, length, size in sides)


def _clip(
    piece: ObjectPlaneMask, shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
    """Clip a mask to a plane: origin and crop of what is left; None when empty."""
    inside = tuple(
        slice(max(-first, 0), max(min(length, size - first), 0))
        for first, length, size in zip(
            piece.origin, piece.mask.shape, shape, strict=True
        )
    )
    mask = piece.mask[inside]
    window = mask_to_window(mask)
    if window is None:
        return None
    row, col = (
        first + part.start + crop.start
        for first, part, crop in zip(piece.origin, inside, window, strict=True)
    )
    return (row, col), mask[window]


def is_within_half_pixel(matrix: ArrayLike, shape: ArrayLike) -> bool:
    """Tell whether a map moves no pixel of an array by half a pixel.

    The limit for the tilt of a layer: below it, the pixel that is read is the right
    one all over the extent. It depends on neither units nor sizes of pixels.

    Parameters
    ----------
    matrix : array-like
        (m, n) pixels moved along m axes for each pixel along n axes of the array.
    shape : array-like
        (n,) of the array.
    """
    extent = np.maximum(np.asarray(shape, float) - 1, 0)
    moved = np.abs(matrix) @ extent
    return bool((moved < 0.5).all())


def _plane_axes(entries: PlaneIndex) -> list[int]:
    return [axis for axis, entry in enumerate(entries) if isinstance(entry, slice)]


def _reach(
    piece: ObjectPlaneMask, plane_map: _PlaneMap
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the range of (row, col) of the labels with centres in a piece's box."""
    matrix, offset, shape = plane_map
    low = np.array(piece.origin) - 0.5 - _TOLERANCE
    high = low + piece.mask.shape + 2 * _TOLERANCE
    corners = np.array([(r, c) for r in (low[0], high[0]) for c in (low[1], high[1])])
    positions = (corners - offset) @ np.linalg.inv(matrix).T
    first = np.ceil(positions.min(axis=0) - _TOLERANCE).astype(np.int64)
    last = np.floor(positions.max(axis=0) + _TOLERANCE).astype(np.int64) + 1
    return np.clip(first, 0, shape), np.clip(last, 0, shape)


def _any_within(positions: NDArray[np.float64], size: int) -> bool:
    """Return whether any position along an axis lies in one of its pixels."""
    index = nearest(positions)
    return bool(((index >= 0) & (index < size)).any())
