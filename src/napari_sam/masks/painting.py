"""Objects into label arrays: which pixels change, by policy, and nothing else."""

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
    """A part of an object on one plane of an image, or of labels.

    Parameters
    ----------
    number : int
        Which object of this result, from 1.
    index : tuple
        Index of the plane: integers, and two full slices for its rows and columns.
    origin : tuple of int
        (row, col) of the mask's first pixel on the plane.
    mask : ndarray
        (h, w) bool.
    """

    number: int
    index: PlaneIndex
    origin: tuple[int, int]
    mask: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the mask on the plane."""
        return window_at(self.origin, self.mask.shape)


@dataclass(frozen=True, slots=True, eq=False)
class PixelChanges:
    """Pixels of a label array that are to change, each once.

    Parameters
    ----------
    indices : tuple of ndarray
        One integer array an axis, as `napari.layers.Labels.data_setitem` takes.
    values : ndarray
        What they become, of the labels' type.
    kept : int
        Pixels of the objects that were left to other labels.
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
        Labels, of any integer type and shape; not changed.
    pieces : iterable of ObjectPlaneMask
        Parts of objects on planes of the labels, which do not overlap.
    ids : mapping
        {object number: label id}.
    policy : {"keep", "overwrite", "background"}
        "keep" leaves pixels of other labels as they are, "overwrite" takes them,
        "background" writes on background only: pixels that have the label
        already are never erased either.
    replaced : collection of int
        Labels whose pixels on the planes of the pieces give way to the pieces.
    """
    groups = _by_plane(pieces) if replaced else [[piece] for piece in pieces]
    columns: list[tuple[NDArray[np.intp], ...]] = []
    values: list[NDArray[Any]] = []
    kept = 0
    for members in groups:
        index = members[0].index
        plane = data[index]
        window = _window(plane, members, replaced)
        old = plane[window]
        new = old.copy()
        if replaced and policy != "background":
            new[np.isin(old, list(replaced))] = 0
        for piece in members:
            kept += _paint(new, window, piece, ids[piece.number], policy)
        changed = np.nonzero(new != old)
        columns.append(_coordinates(index, changed, window))
        values.append(new[changed])
    if not columns:
        nowhere = np.empty(0, np.intp)
        return PixelChanges((nowhere,) * data.ndim, np.empty(0, data.dtype), 0)
    joined = tuple(np.concatenate(axis) for axis in zip(*columns, strict=True))
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
        labels[piece.index][piece.region][piece.mask] = piece.number
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
    """One more than the largest label."""
    return int(data.max(initial=0)) + 1


def _by_plane(pieces: Iterable[ObjectPlaneMask]) -> list[list[ObjectPlaneMask]]:
    planes: dict[tuple[int | None, ...], list[ObjectPlaneMask]] = defaultdict(list)
    for piece in pieces:
        key = tuple(None if isinstance(e, slice) else e for e in piece.index)
        planes[key].append(piece)
    return list(planes.values())


def _window(
    plane: NDArray[Any], members: Sequence[ObjectPlaneMask], replaced: Collection[int]
) -> tuple[slice, slice]:
    """Rows and columns that hold the pieces, or all when pixels may be erased."""
    if replaced:
        return slice(0, plane.shape[0]), slice(0, plane.shape[1])
    return members[0].region


def _paint(
    new: NDArray[Any],
    window: tuple[slice, slice],
    piece: ObjectPlaneMask,
    label: int,
    policy: Policy,
) -> int:
    """Paint one piece into a copy of the window; returns the pixels kept."""
    rows, cols = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(piece.region, window, strict=True)
    )
    part = new[rows, cols]
    others = piece.mask & (part != 0) & (part != label)
    if policy == "overwrite":
        part[piece.mask] = label
        return 0
    part[piece.mask & ~others] = label
    return int(np.count_nonzero(others))


def _coordinates(
    index: PlaneIndex,
    inside: tuple[NDArray[np.intp], ...],
    window: tuple[slice, slice],
) -> tuple[NDArray[np.intp], ...]:
    """Positions inside a window of a plane as positions in the whole array."""
    offsets = iter(zip(inside, window, strict=True))
    arrays = []
    for entry in index:
        if isinstance(entry, slice):
            pixels, part = next(offsets)
            arrays.append(pixels + part.start)
        else:
            arrays.append(np.full(len(inside[0]), entry))
    return tuple(arrays)
