"""Clean-up of objects: options, results, and single labels.

Each object is cleaned in its bounding box.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.checks.values import check_fields, flag, real_number, whole_number
from napari_sam.images.axes import nearest
from napari_sam.masks.label_tiles import label_box
from napari_sam.masks.morphology import (
    fill_holes,
    innermost,
    keep_prompted,
    minimum_size,
    smooth_across,
)
from napari_sam.masks.painting import ObjectPlaneMask, PixelChanges
from napari_sam.masks.patch import mask_to_window, window_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prompts.prompt import Prompt


_OPTIONS = {
    "keep_prompted": flag,
    "fill_holes": flag,
    "smooth": partial(real_number, least=0),
    "min_size": partial(whole_number, least=0),
}


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Options of the clean-up of an object; the steps are done in this order.

    Parameters
    ----------
    keep_prompted : bool
        Remove connected components without a prompt, see `keep_prompted`.
    fill_holes : bool
        Fill holes in each plane across the stack, see `fill_holes`.
    smooth : float
        Standard deviation for `smooth_across`, in slices, or in the unit of the
        spacing where that is given; 0 for no smoothing.
    min_size : int
        Remove connected components of fewer voxels, see `minimum_size`; 0 and 1
        remove nothing.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number, negative or not finite.
    """

    keep_prompted: bool = False
    fill_holes: bool = False
    smooth: float = 0.0
    min_size: int = 0

    def __post_init__(self) -> None:
        check_fields(self, _OPTIONS)

    def __bool__(self) -> bool:
        """Whether any step is switched on."""
        return bool(
            self.keep_prompted or self.fill_holes or self.smooth or self.min_size > 1
        )

    def apply(
        self,
        mask: NDArray[np.bool_],
        axis: int = 0,
        seeds: ArrayLike | None = None,
        spacing: ArrayLike | None = None,
    ) -> NDArray[np.bool_]:
        """Clean up one object.

        Parameters
        ----------
        mask : ndarray
            (Z, H, W) or (H, W) bool; not changed.
        axis : int
            Of the stack; ignored for a plane.
        seeds : array-like, optional
            (N, ndim) int: the voxels of the prompts.
        spacing : array-like, optional
            (ndim,) distance between neighbouring voxels along each axis.
        """
        if self.keep_prompted:
            mask = keep_prompted(mask, [] if seeds is None else seeds)
        if self.fill_holes:
            mask = fill_holes(mask, axis)
        if self.smooth:
            mask = smooth_across(mask, axis, spacing, self.smooth)
        if self.min_size > 1:
            mask = minimum_size(mask, self.min_size)
        return mask


def prompted_pixels(prompt: Prompt, patch: MaskPatch) -> NDArray[np.intp]:
    """Return the pixels of a plane that mark the object of a prompt, (N, 2).

    These are the points on the object. Without points, it is the innermost pixel of
    the predicted mask, because the centre of a box may lie outside the object.
    """
    pixels: NDArray[np.intp] = nearest(prompt.positives)
    if not len(pixels) and patch.mask.any():
        pixels = innermost(patch.mask)[None] + patch.origin
    return pixels


def clean_up_pieces(
    pieces: Sequence[ObjectPlaneMask],
    cleanup: CleanUp,
    seeds: Mapping[int, ArrayLike],
    axis: int | None = None,
    spacing: ArrayLike | None = None,
) -> list[ObjectPlaneMask]:
    """Clean up the objects of a result.

    Objects that the clean-up removes are removed first. Then the others grow into
    background one after the other, in order of their ids; none grows into another.

    Parameters
    ----------
    pieces : sequence of ObjectPlaneMask
        Masks of the objects on planes; they do not overlap.
    cleanup : CleanUp
        Options.
    seeds : mapping
        {object id: (N, 3) int} slice, row and col of the voxels of prompts; on a
        single plane the slice is 0.
    axis : int, optional
        The propagation axis, as an index into `plane_index`; None for a single plane.
    spacing : array-like, optional
        (3,) distance of slices, rows and columns.

    Returns
    -------
    list of ObjectPlaneMask
        By slice and object.
    """
    by_object: dict[int, list[ObjectPlaneMask]] = defaultdict(list)
    for piece in pieces:
        by_object[piece.object_id].append(piece)
    boxed, cleaned = [], []
    for object_id in sorted(by_object):
        obj = _BoxedObject.from_pieces(by_object[object_id], axis)
        voxels = np.reshape(np.asarray(seeds.get(object_id, [])), (-1, 3)) - obj.low
        mask = cleanup.apply(obj.mask, seeds=voxels, spacing=spacing)
        if mask.any():
            boxed.append(obj)
            cleaned.append(mask)
    lows = np.array([obj.low for obj in boxed])
    highs = np.array([obj.high for obj in boxed])
    for i, obj in enumerate(boxed):
        meets = ((lows < obj.high) & (highs > obj.low)).all(axis=1)
        others = [boxed[j] for j in np.flatnonzero(meets) if j != i]
        mask = cleaned[i] & (obj.mask | ~obj.occupied_by(others))
        boxed[i] = replace(obj, mask=mask)
    by_slice = [entry for obj in boxed for entry in obj.to_pieces()]
    by_slice.sort(key=lambda entry: (entry[0], entry[1].object_id))
    return [piece for _, piece in by_slice]


@dataclass(frozen=True, slots=True, eq=False)
class _BoxedObject:
    """An object in its bounding box, (slices, rows, columns).

    Parameters
    ----------
    object_id : int
        Id of the object.
    low : ndarray
        (3,) first slice, row and column of the box.
    mask : ndarray
        (Z, H, W) bool.
    plane_indices : mapping
        {slice: index of the plane} of the slices that have a piece.
    """

    object_id: int
    low: NDArray[np.intp]
    mask: NDArray[np.bool_]
    plane_indices: Mapping[int, PlaneIndex]

    @classmethod
    def from_pieces(cls, pieces: Sequence[ObjectPlaneMask], axis: int | None) -> Self:
        slices = [_slice_of(piece, axis) for piece in pieces]
        plane_indices = {
            i: piece.plane_index for i, piece in zip(slices, pieces, strict=True)
        }
        first = [(i, *p.origin) for i, p in zip(slices, pieces, strict=True)]
        low = np.min(first, axis=0)
        shapes = [(1, *piece.mask.shape) for piece in pieces]
        mask = np.zeros(np.add(first, shapes).max(axis=0) - low, bool)
        for piece, (z, row, col) in zip(pieces, first - low, strict=True):
            mask[z][window_at((row, col), piece.mask.shape)] |= piece.mask
        return cls(pieces[0].object_id, low, mask, plane_indices)

    @property
    def high(self) -> NDArray[np.intp]:
        """(3,) one past the last slice, row and column of the box."""
        return self.low + self.mask.shape

    def occupied_by(self, others: Sequence[_BoxedObject]) -> NDArray[np.bool_]:
        """Return the voxels of the box that other objects occupy."""
        occupied = np.zeros(self.mask.shape, bool)
        for other in others:
            low = np.maximum(self.low, other.low)
            high = np.minimum(self.high, other.high)
            own_part, other_part = (
                tuple(map(slice, low - obj.low, high - obj.low))
                for obj in (self, other)
            )
            occupied[own_part] |= other.mask[other_part]
        return occupied

    def to_pieces(self) -> list[tuple[int, ObjectPlaneMask]]:
        """Return the slice and the mask of each plane that is not empty."""
        pieces = []
        first_slice, first_row, first_col = self.low.tolist()
        for slice_index, plane_index in self.plane_indices.items():
            plane = self.mask[slice_index - first_slice]
            window = mask_to_window(plane)
            if window is not None:
                rows, cols = window
                origin = first_row + rows.start, first_col + cols.start
                piece = ObjectPlaneMask(
                    self.object_id, plane_index, origin, plane[window]
                )
                pieces.append((slice_index, piece))
        return pieces


def _slice_of(piece: ObjectPlaneMask, axis: int | None) -> int:
    entry = 0 if axis is None else piece.plane_index[axis]
    assert not isinstance(entry, slice)
    return entry


@dataclass(frozen=True, slots=True)
class LabelCleanUp:
    """Clean-up of one label of a label array.

    The prompts of the label are not known, so `CleanUp.keep_prompted` keeps the
    largest connected component.

    Parameters
    ----------
    label : int
        The label.
    cleanup : CleanUp
        Options.
    axis : int, optional
        Axis of the array along which the label is a stack; None for a plane.
    fixed : mapping
        {axis: index} of further axes (time, channel).
    """

    label: int
    cleanup: CleanUp
    axis: int | None = None
    fixed: Mapping[int, int] = field(default_factory=dict)

    def changes(self, labels: Any) -> PixelChanges:
        """Find the pixels that change; those of other labels never do.

        Parameters
        ----------
        labels : ndarray or zarr array
            The labels; only the bounding box of the label is in memory at once.

        Raises
        ------
        ValueError
            When the array does not contain the label, or nothing of it would remain.
        """
        index = tuple(self.fixed.get(a, slice(None)) for a in range(labels.ndim))
        axis = 0
        if self.axis is not None:
            axis = self.axis - sum(a < self.axis for a in self.fixed)
        box = label_box(labels, self.label, index)
        if box is None:
            raise ValueError(f"There is no label {self.label} here: select another.")
        window = [side for a, side in enumerate(box) if a not in self.fixed]
        old = np.asarray(
            labels[tuple(self.fixed.get(a, side) for a, side in enumerate(box))]
        )
        own = old == self.label
        new = self.cleanup.apply(own, axis) & (own | (old == 0))
        if not new.any():
            raise ValueError(
                f"Nothing of label {self.label} would remain: choose a smaller minimum "
                "size."
            )
        changed = np.nonzero(new != own)
        values = np.where(new[changed], self.label, 0).astype(old.dtype)
        positions = iter(
            inside + side.start for inside, side in zip(changed, window, strict=True)
        )
        indices = tuple(
            np.full(len(values), self.fixed[a]) if a in self.fixed else next(positions)
            for a in range(labels.ndim)
        )
        return PixelChanges(indices, values, 0)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON types, for the record."""
        fixed = {str(axis): int(index) for axis, index in self.fixed.items()}
        return {
            "label": self.label,
            "cleanup": asdict(self.cleanup),
            "axis": self.axis,
            "fixed": fixed,
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Create from the output of `to_json`."""
        fixed = {int(axis): index for axis, index in entry["fixed"].items()}
        return cls(entry["label"], CleanUp(**entry["cleanup"]), entry["axis"], fixed)
