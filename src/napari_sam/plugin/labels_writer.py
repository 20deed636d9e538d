"""Write objects into a Labels layer: checked first, one undo step, others kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks import window_at
from napari_sam.plugin.layers import layer_affine, spatial_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels
    from numpy.typing import NDArray

_SAME_PLACE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of an object on one plane of an image.

    Parameters
    ----------
    number : int
        Which object of this result, from 1.
    index : tuple
        Index of the plane in the image: integers, and two full slices for the
        rows and columns of the plane.
    origin : tuple of int
        (row, col) of the mask's first pixel on the plane.
    mask : ndarray
        (h, w) bool.
    """

    number: int
    index: tuple[slice | int, ...]
    origin: tuple[int, int]
    mask: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the mask on the plane."""
        return window_at(self.origin, self.mask.shape)

    def coordinates(self) -> tuple[NDArray[np.intp], ...]:
        """One integer array an axis of the image, as `Labels.data_setitem` takes."""
        inside = np.nonzero(self.mask)
        offsets = iter(zip(inside, self.origin, strict=True))
        count = len(inside[0])
        arrays = []
        for entry in self.index:
            if isinstance(entry, slice):
                pixels, first = next(offsets)
                arrays.append(pixels + first)
            else:
                arrays.append(np.full(count, entry))
        return tuple(arrays)


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit did.

    Parameters
    ----------
    label_ids : tuple of int
        The id of each object, in order.
    pixels : int
        Pixels that changed.
    kept : int
        Pixels left to other objects, which were there before.
    """

    label_ids: tuple[int, ...]
    pixels: int
    kept: int


def check_target(labels: Labels, image: Image) -> None:
    """Refuse a labels layer that cannot take the result, before any work starts.

    Raises
    ------
    ValueError
        When it is multiscale, read-only, not held in memory, or does not lie
        over the image pixel by pixel.
    """
    name = repr(labels.name)
    if labels.multiscale:
        raise ValueError(f"The labels {name} are multiscale: choose a plain layer.")
    if not isinstance(labels.data, np.ndarray) or not labels.data.flags.writeable:
        raise ValueError(
            f"The labels {name} are read-only or not in memory "
            f"({type(labels.data).__name__}): choose a layer that can be painted."
        )
    same_shape = labels.data.shape == spatial_shape(image)
    if not same_shape or not np.allclose(
        layer_affine(labels), layer_affine(image), atol=_SAME_PLACE
    ):
        raise ValueError(
            f"The labels {name} do not lie over the image {image.name!r} pixel by "
            "pixel: choose '(new layer)' or labels of the same shape and scale."
        )


def write_objects(labels: Labels, pieces: Sequence[Piece]) -> Written:
    """Paint objects as the next free ids, in one step of the layer's own undo.

    Pixels of other objects are kept.

    Raises
    ------
    ValueError
        When the layer's data type cannot hold the next ids; nothing is written.
    """
    data = labels.data
    numbers = sorted({piece.number for piece in pieces})
    first = int(data.max(initial=0)) + 1
    last = first + len(numbers) - 1
    if last > np.iinfo(data.dtype).max:
        raise ValueError(
            f"The labels {labels.name!r} are of type {data.dtype}, which cannot hold "
            f"label {last}: choose or make a layer of a larger type."
        )
    ids = dict(zip(numbers, range(first, last + 1), strict=True))
    indices, values, kept = _changes(data, pieces, ids)
    if len(values):
        # A hidden layer raises after it was changed (napari 0.9.2, 3D view).
        labels.visible = True
        labels.data_setitem(indices, values)
    return Written(tuple(ids.values()), len(values), kept)


def _changes(
    data: NDArray[Any], pieces: Sequence[Piece], ids: dict[int, int]
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[Any], int]:
    """Free pixels of all pieces and what they become; pixels of others counted."""
    columns: list[tuple[NDArray[np.intp], ...]] = []
    values: list[NDArray[Any]] = []
    kept = 0
    for piece in pieces:
        where = piece.coordinates()
        free = data[where] == 0
        kept += int(np.count_nonzero(~free))
        columns.append(tuple(axis[free] for axis in where))
        values.append(np.full(np.count_nonzero(free), ids[piece.number], data.dtype))
    if not columns:
        return (), np.empty(0, data.dtype), 0
    joined = tuple(np.concatenate(axis) for axis in zip(*columns, strict=True))
    return joined, np.concatenate(values), kept
