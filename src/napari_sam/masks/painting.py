"""Painting of objects into label arrays: overlaps, overlap policies, changed pixels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sam.masks.patch import mask_to_window, resolve_overlaps, window_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.patch import MaskPatch

Policy = Literal["keep", "overwrite", "background"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPlaneMask:
    """The mask of one object on one plane of an image or of labels.

    Parameters
    ----------
    object_id : int
        Id of the object in its result, from 1.
    plane_index : tuple
        Index of the plane: integers, and two full slices for its rows and columns.
    origin : tuple of int
        (row, col) of the mask's first pixel on the plane.
    mask : ndarray
        (h, w) bool.
    """

    object_id: int
    plane_index: PlaneIndex
    origin: tuple[int, int]
    mask: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the mask on the plane."""
        return window_at(self.origin, self.mask.shape)


@dataclass(frozen=True, slots=True, eq=False)
class PixelChanges:
    """Pixels of a label array that change, each once.

    Parameters
    ----------
    indices : tuple of ndarray
        One integer array per axis, as for `napari.layers.Labels.data_setitem`.
    values : ndarray
        Their new labels, of the array's dtype.
    kept : int
        Number of pixels of the objects that other labels keep.
    """

    indices: tuple[NDArray[np.intp], ...]
    values: NDArray[Any]
    kept: int


def plan_changes(
    data: NDArray[Any],
    pieces: Iterable[ObjectPlaneMask],
    ids: Mapping[int, int],
    policy: Policy = "keep",
    replaced: Collection[int] = (),
) -> PixelChanges:
    """Find the pixels that change when objects are painted into labels.

    Parameters
    ----------
    data : ndarray
        Labels, of any integer dtype and shape; not changed.
    pieces : iterable of ObjectPlaneMask
        Masks of the objects on planes of the labels; they do not overlap.
    ids : mapping
        {object id: label}.
    policy : {"keep", "overwrite", "background"}
        "keep" leaves the pixels of other labels, "overwrite" replaces them,
        "background" paints only background and also erases no pixel of `replaced`.
    replaced : collection of int
        Labels to erase on the planes of the pieces before painting.
    """
    groups = _by_plane(pieces) if replaced else [[piece] for piece in pieces]
    indices: list[tuple[NDArray[np.intp], ...]] = []
    values: list[NDArray[Any]] = []
    kept = 0
    for group in groups:
        plane_index = group[0].plane_index
        plane = data[plane_index]
        # Erased pixels may lie anywhere on the plane.
        window = window_at((0, 0), plane.shape) if replaced else group[0].region
        old = plane[window]
        new = old.copy()
        if replaced and policy != "background":
            new[np.isin(old, list(replaced))] = 0
        for piece in group:
            kept += _paint(new, window, piece, ids[piece.object_id], policy)
        changed = np.nonzero(new != old)
        indices.append(_to_array_indices(plane_index, changed, window))
        values.append(new[changed])
    if not indices:
        no_pixels = np.empty(0, np.intp)
        return PixelChanges((no_pixels,) * data.ndim, np.empty(0, data.dtype), 0)
    joined = tuple(np.concatenate(axis) for axis in zip(*indices, strict=True))
    return PixelChanges(joined, np.concatenate(values), kept)


def pieces_from_patches(
    object_ids: Sequence[int], plane_index: PlaneIndex, patches: Sequence[MaskPatch]
) -> list[ObjectPlaneMask]:
    """Resolve overlaps on one plane, and crop what each object gets to its box.

    Parameters
    ----------
    object_ids : sequence of int
        The object of each patch.
    plane_index : tuple
        Index of the plane.
    patches : sequence of MaskPatch
        Masks on the plane; where they overlap, the larger logit decides.

    Returns
    -------
    list of ObjectPlaneMask
        In the order of the patches, without objects that get no pixel.
    """
    pieces = []
    masks = resolve_overlaps(patches)
    for object_id, patch, mask in zip(object_ids, patches, masks, strict=True):
        window = mask_to_window(mask)
        if window is not None:
            rows, cols = window
            origin = patch.origin[0] + rows.start, patch.origin[1] + cols.start
            pieces.append(ObjectPlaneMask(object_id, plane_index, origin, mask[window]))
    return pieces


def paint_pieces(
    pieces: Iterable[ObjectPlaneMask], shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """Paint objects that do not overlap into an empty int32 label array."""
    labels = np.zeros(shape, np.int32)
    for piece in pieces:
        labels[piece.plane_index][piece.region][piece.mask] = piece.object_id
    return labels


def labels_from_patches(
    patches: Sequence[MaskPatch], plane_shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Resolve overlaps and paint a plane, (H, W) int32; patch i becomes label i + 1."""
    object_ids = range(1, len(patches) + 1)
    plane_index = (slice(None), slice(None))
    return paint_pieces(
        pieces_from_patches(object_ids, plane_index, patches), plane_shape
    )


def next_free_label(data: NDArray[Any]) -> int:
    """Return one more than the largest label."""
    return int(data.max(initial=0)) + 1


def _by_plane(pieces: Iterable[ObjectPlaneMask]) -> list[list[ObjectPlaneMask]]:
    planes: dict[tuple[int | None, ...], list[ObjectPlaneMask]] = defaultdict(list)
    for piece in pieces:
        # Python 3.11 cannot hash slices.
        key = tuple(None if isinstance(e, slice) else e for e in piece.plane_index)
        planes[key].append(piece)
    return list(planes.values())


def _paint(
    labels: NDArray[Any],
    window: tuple[slice, slice],
    piece: ObjectPlaneMask,
    label: int,
    policy: Policy,
) -> int:
    """Paint a piece into the labels of a window; return the number of pixels kept."""
    rows, cols = (
        slice(part.start - first.start, part.stop - first.start)
        for part, first in zip(piece.region, window, strict=True)
    )
    part = labels[rows, cols]
    others = piece.mask & (part != 0) & (part != label)
    if policy == "overwrite":
        part[piece.mask] = label
        return 0
    part[piece.mask & ~others] = label
    return int(np.count_nonzero(others))


def _to_array_indices(
    plane_index: PlaneIndex,
    pixels: tuple[NDArray[np.intp], ...],
    window: tuple[slice, slice],
) -> tuple[NDArray[np.intp], ...]:
    """Convert pixels of a window of a plane to indices of the array."""
    pixels_and_window = iter(zip(pixels, window, strict=True))
    indices = []
    for entry in plane_index:
        if isinstance(entry, slice):
            inside, part = next(pixels_and_window)
            indices.append(inside + part.start)
        else:
            indices.append(np.full(len(pixels[0]), entry))
    return tuple(indices)
