"""Painting of objects into label arrays: overlaps, overlap policies, changed pixels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sam.images.axes import plane_sides
from napari_sam.masks.label_tiles import largest_label, tiles
from napari_sam.masks.morphology import DIRECTIONS, shifted
from napari_sam.masks.overlaps import PatchOverlaps
from napari_sam.masks.patch import window_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.label_tiles import Region
    from napari_sam.masks.overlaps import Part
    from napari_sam.masks.patch import MaskPatch

Policy = Literal["keep", "overwrite", "background"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

# Reach of neighbours: in pixels of the plane, or samples of a large one.
_REACHES = 1, 3
_MAX_SAMPLES = 1024
# Painting a piece alone takes as long as looking through so many pixels.
_PIXELS_PER_PIECE = 30_000


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
    data: Any,
    pieces: Iterable[ObjectPlaneMask],
    ids: Mapping[int, int],
    policy: Policy = "keep",
    replaced: Collection[int] = (),
    erase_within: Sequence[Region] | None = None,
) -> PixelChanges:
    """Find the pixels that change when objects are painted into labels.

    Parameters
    ----------
    data : ndarray or zarr array
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
    erase_within : sequence of tuple, optional
        Regions of the array that contain all pixels of `replaced`; None when unknown.
    """
    groups = by_plane(pieces)
    if not replaced:
        groups = [part for group in groups for part in _painted_together(group)]
    indices: list[tuple[NDArray[np.intp], ...]] = []
    values: list[NDArray[Any]] = []
    kept = 0
    for group in groups:
        plane_index = group[0].plane_index
        for window in _windows(data, group, bool(replaced), erase_within):
            old = np.asarray(data[_on_plane(plane_index, window)])
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


def covered_objects(
    data: Any, pieces: Iterable[ObjectPlaneMask], min_visible: float = 0.5
) -> set[int]:
    """Find objects of which other labels leave too little.

    Parameters
    ----------
    data : ndarray or zarr array
        Labels; not changed.
    pieces : iterable of ObjectPlaneMask
        Masks of new objects on planes of the labels.
    min_visible : float
        Smallest fraction of the pixels of an object that must be background.

    Returns
    -------
    set of int
        Their object ids.
    """
    total: dict[int, int] = defaultdict(int)
    taken: dict[int, int] = defaultdict(int)
    for piece in pieces:
        old = np.asarray(data[_on_plane(piece.plane_index, piece.region)])
        total[piece.object_id] += int(np.count_nonzero(piece.mask))
        taken[piece.object_id] += int(np.count_nonzero(piece.mask & (old != 0)))
    return {i for i in total if total[i] - taken[i] < min_visible * total[i]}


def pieces_from_patches(
    object_ids: Sequence[int], plane_index: PlaneIndex, patches: Iterable[MaskPatch]
) -> list[ObjectPlaneMask]:
    """Resolve overlaps on one plane, and crop what each object gets to its box.

    Many large patches are taken one by one: the memory follows the plane then, not the
    sum of their areas.

    Parameters
    ----------
    object_ids : sequence of int
        The object of each patch.
    plane_index : tuple
        Index of the plane.
    patches : iterable of MaskPatch
        Masks on the plane; where they overlap, the larger logit decides. Give an
        iterator that makes them where there may be many.

    Returns
    -------
    list of ObjectPlaneMask
        In the order of the patches, without objects that get no pixel.
    """
    together = PatchOverlaps()
    for patch in patches:
        together.add(patch)
    return pieces_from_parts(object_ids, plane_index, together.resolve())


def pieces_from_parts(
    object_ids: Sequence[int], plane_index: PlaneIndex, parts: Iterable[Part | None]
) -> list[ObjectPlaneMask]:
    """Make pieces of what each object got on a plane, see `PatchOverlaps.resolve`."""
    return [
        ObjectPlaneMask(object_id, plane_index, *part)
        for object_id, part in zip(object_ids, parts, strict=True)
        if part is not None
    ]


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


def next_free_label(data: Any) -> int:
    """Return one more than the largest label."""
    return largest_label(data) + 1


def by_plane(pieces: Iterable[ObjectPlaneMask]) -> list[list[ObjectPlaneMask]]:
    """Group pieces by their plane, in their order."""
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
    """Paint a piece into the labels of a window; return the number of pixels kept.

    What lies beyond the window is left out.
    """
    (rows, cols), (first_row, first_col) = window, piece.origin
    height, width = piece.mask.shape
    top, bottom = max(first_row, rows.start), min(first_row + height, rows.stop)
    left, right = max(first_col, cols.start), min(first_col + width, cols.stop)
    if top >= bottom or left >= right:
        return 0
    mask = piece.mask[
        top - first_row : bottom - first_row, left - first_col : right - first_col
    ]
    part = labels[
        top - rows.start : bottom - rows.start, left - cols.start : right - cols.start
    ]
    if policy == "overwrite" or not part.any():
        part[mask] = label
        return 0
    others = mask & (part != 0) & (part != label)
    part[mask & ~others] = label
    return int(np.count_nonzero(others))


def _windows(
    data: Any,
    group: Sequence[ObjectPlaneMask],
    erases: bool,
    erase_within: Sequence[Region] | None,
) -> Iterator[tuple[slice, slice]]:
    """Yield the windows of a plane in which pixels may change; they do not overlap."""
    plane_index = group[0].plane_index
    boxes = [piece.region for piece in group]
    if not erases:
        yield _around(boxes)
        return
    if erase_within is None:
        boxes.append(window_at((0, 0), plane_sides(data.shape, plane_index)))
    for region in erase_within or ():
        boxes.extend(_on_this_plane(data.shape, plane_index, region))
    for tile in tiles(data, _on_plane(plane_index, _around(boxes))):
        rows, cols = (entry for entry in tile if isinstance(entry, slice))
        if any(_meet(rows, box[0]) and _meet(cols, box[1]) for box in boxes):
            yield rows, cols


def _painted_together(
    group: list[ObjectPlaneMask],
) -> list[list[ObjectPlaneMask]]:
    """Paint the pieces of a plane in one window, unless they are few and far apart."""
    rows, cols = _around([piece.region for piece in group])
    pixels = (rows.stop - rows.start) * (cols.stop - cols.start)
    if pixels <= _PIXELS_PER_PIECE * len(group):
        return [group]
    return [[piece] for piece in group]


def _around(boxes: Sequence[tuple[slice, slice]]) -> tuple[slice, slice]:
    """Return the bounding box of boxes on a plane."""
    rows, cols = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return rows, cols


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _on_this_plane(
    shape: Sequence[int], plane_index: PlaneIndex, region: Region
) -> list[tuple[slice, slice]]:
    """Return the window of a region on a plane; nothing when it does not meet it."""
    window = []
    for size, at, part in zip(shape, plane_index, region, strict=True):
        part = part if isinstance(part, slice) else slice(part, part + 1)
        start, stop, _ = part.indices(size)
        if isinstance(at, slice):
            window.append(slice(start, stop))
        elif not start <= at < stop:
            return []
    rows, cols = window
    return [(rows, cols)] if rows.start < rows.stop and cols.start < cols.stop else []


def _on_plane(plane_index: PlaneIndex, window: tuple[slice, slice]) -> Region:
    """Return the index of a window of a plane."""
    sides = iter(window)
    return tuple(next(sides) if isinstance(e, slice) else e for e in plane_index)


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


def neighbours(pieces: Sequence[ObjectPlaneMask]) -> list[set[int]]:
    """Find the neighbours of each object among others on the same plane.

    Returns
    -------
    list of set of int
        Positions of the neighbours in `pieces`.
    """
    found: list[set[int]] = [set() for _ in pieces]
    if len(pieces) < 2:
        return found
    numbers = _paint_numbers(pieces)
    count = len(pieces) + 1
    for reach, (down, right) in product(_REACHES, DIRECTIONS):
        first, second = shifted(numbers, (reach * down, reach * right))
        differs = (first != second) & (first > 0) & (second > 0)
        codes = first[differs].astype(np.int64) * count + second[differs]
        for code in np.unique(codes).tolist():
            one, other = divmod(code, count)
            found[one - 1].add(other - 1)
            found[other - 1].add(one - 1)
    return found


def _paint_numbers(pieces: Sequence[ObjectPlaneMask]) -> NDArray[np.int32]:
    """Paint each object with its position from 1; large planes are sampled."""
    regions = [piece.region for piece in pieces]
    starts = [min(region[axis].start for region in regions) for axis in (0, 1)]
    stops = [max(region[axis].stop for region in regions) for axis in (0, 1)]
    sides = np.subtract(stops, starts)
    step = max(1, -(-int(sides.max()) // _MAX_SAMPLES))
    numbers = np.zeros(-(-sides // step), np.int32)
    for number, piece in enumerate(pieces, start=1):
        offset = np.subtract(piece.origin, starts)
        row, col = (-offset % step).tolist()  # the first sample in the mask
        mask = piece.mask[row::step, col::step]
        top, left = (-(-offset // step)).tolist()
        part = numbers[top : top + mask.shape[0], left : left + mask.shape[1]]
        part[mask] = number
    return numbers
