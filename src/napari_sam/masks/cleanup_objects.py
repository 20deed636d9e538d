"""Clean-up of objects that wait on planes, and of one label of an array."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.painting import ObjectPlaneMask, PixelChanges
from napari_sam.masks.patch import mask_to_window, window_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.axes import PlaneIndex


def clean_pieces(
    pieces: Sequence[ObjectPlaneMask],
    cleanup: CleanUp,
    seeds: Mapping[int, ArrayLike],
    axis: int | None = None,
    spacing: ArrayLike | None = None,
) -> list[ObjectPlaneMask]:
    """Clean up objects on planes, each in its own box.

    The objects end as `cleanup.apply_to_labels` leaves them in an array of labels,
    but for what gets nothing at all: it is gone before the others are looked at.

    Parameters
    ----------
    pieces : sequence of ObjectPlaneMask
        That do not overlap.
    cleanup : CleanUp
        What is to be done.
    seeds : mapping
        {object number: (N, 3) int} slice, row and col of voxels that prompts lie on;
        on a single plane the slice is 0.
    axis : int, optional
        Of the planes' index that counts slices; None for a single plane.
    spacing : array-like, optional
        (3,) distance of slices, of rows and of columns.

    Returns
    -------
    list of ObjectPlaneMask
        By slice and object.
    """
    objects: dict[int, list[ObjectPlaneMask]] = defaultdict(list)
    for piece in pieces:
        objects[piece.number].append(piece)
    there = {number: _Body.of(objects[number], axis) for number in sorted(objects)}
    wanted = {
        number: cleanup.apply(
            body.mask,
            seeds=np.reshape(np.asarray(seeds.get(number, [])), (-1, 3)) - body.first,
            spacing=spacing,
        )
        for number, body in there.items()
    }
    there = {number: body for number, body in there.items() if wanted[number].any()}
    for number, body in list(there.items()):
        near = [other for other in there.values() if other.meets(body)]
        mask = wanted[number] & (body.mask | ~_taken(body, near))
        there[number] = replace(body, mask=mask)
    found = [f for body in there.values() for f in body.by_slice().items()]
    return [p for _, p in sorted(found, key=lambda f: (f[0], f[1].number))]


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """An object in the box that just holds it: slices, rows, columns."""

    number: int
    first: tuple[int, int, int]
    mask: NDArray[np.bool_]
    index: Mapping[int, PlaneIndex]

    @classmethod
    def of(cls, pieces: Sequence[ObjectPlaneMask], axis: int | None) -> _Body:
        index = {_slice_of(piece, axis): piece.index for piece in pieces}
        low = (min(index), *(min(p.region[a].start for p in pieces) for a in (0, 1)))
        high = (
            max(index) + 1,
            *(max(p.region[a].stop for p in pieces) for a in (0, 1)),
        )
        mask = np.zeros(np.subtract(high, low), bool)
        for piece in pieces:
            slice_index = _slice_of(piece, axis) - low[0]
            origin = piece.origin[0] - low[1], piece.origin[1] - low[2]
            mask[slice_index][window_at(origin, piece.mask.shape)] |= piece.mask
        return cls(pieces[0].number, low, mask, index)

    @property
    def last(self) -> tuple[int, ...]:
        """One past the last slice, row and column."""
        return tuple(a + b for a, b in zip(self.first, self.mask.shape, strict=True))

    def meets(self, other: _Body) -> bool:
        """Whether the box of another object shares voxels with this one's."""
        mine, theirs = (self.first, self.last), (other.first, other.last)
        return self.number != other.number and all(
            a < d and c < b for a, b, c, d in zip(*mine, *theirs, strict=True)
        )

    def by_slice(self) -> dict[int, ObjectPlaneMask]:
        """{slice: what lies on it}."""
        found = {}
        for slice_index, index in self.index.items():
            plane = self.mask[slice_index - self.first[0]]
            window = mask_to_window(plane)
            if window is not None:
                origin = (
                    self.first[1] + window[0].start,
                    self.first[2] + window[1].start,
                )
                found[slice_index] = ObjectPlaneMask(
                    self.number, index, origin, plane[window]
                )
        return found


def _slice_of(piece: ObjectPlaneMask, axis: int | None) -> int:
    entry = 0 if axis is None else piece.index[axis]
    assert not isinstance(entry, slice)
    return entry


def _taken(body: _Body, near: Sequence[_Body]) -> NDArray[np.bool_]:
    """Where other objects lie within the box of one."""
    taken = np.zeros(body.mask.shape, bool)
    for other in near:
        low = np.maximum(body.first, other.first)
        high = np.minimum(body.last, other.last)
        taken[_window(low, high, body.first)] |= other.mask[
            _window(low, high, other.first)
        ]
    return taken


def _window(low: Any, high: Any, first: Any) -> tuple[slice, ...]:
    """A box as a window of an array that begins somewhere."""
    sides = zip(low - first, high - first, strict=True)
    return tuple(slice(int(a), int(b)) for a, b in sides)


@dataclass(frozen=True, slots=True)
class LabelCleaning:
    """Clean-up of one label of an array of any number of axes.

    Where several parts remain to choose from, as no prompts are known, the largest
    is the one that `CleanUp.keep_prompted` keeps.

    Parameters
    ----------
    label : int
        The label.
    cleanup : CleanUp
        What is to be done.
    axis : int, optional
        Of the array, that counts slices; None on a plane.
    fixed : mapping
        {axis: index} of the other axes that are no rows or columns.
    """

    label: int
    cleanup: CleanUp
    axis: int | None = None
    fixed: Mapping[int, int] = field(default_factory=dict)

    def changes(self, labels: NDArray[Any]) -> PixelChanges:
        """Find the pixels that change; pixels of other labels never do.

        Raises
        ------
        ValueError
            When the label is not there, or nothing would remain of it.
        """
        index = tuple(self.fixed.get(a, slice(None)) for a in range(labels.ndim))
        part = labels[index]
        axis = None
        if self.axis is not None:
            axis = self.axis - sum(a < self.axis for a in self.fixed)
        inside = np.nonzero(part == self.label)
        if not inside[0].size:
            raise ValueError(f"There is no label {self.label} here: select another.")
        window = tuple(slice(int(a.min()), int(a.max()) + 1) for a in inside)
        old = part[window]
        own = old == self.label
        new = self.cleanup.apply(own, axis or 0) & (own | (old == 0))
        if not new.any():
            raise ValueError(
                f"Nothing of label {self.label} would remain: choose a smaller size of "
                "parts to keep."
            )
        where = np.nonzero(new != own)
        values = np.where(new[where], self.label, 0).astype(labels.dtype)
        inner = iter(
            pixels + side.start for pixels, side in zip(where, window, strict=True)
        )
        indices = tuple(
            np.full(len(values), self.fixed[a]) if a in self.fixed else next(inner)
            for a in range(labels.ndim)
        )
        return PixelChanges(indices, values, 0)

    def to_json(self) -> dict[str, Any]:
        """In plain types, for the record."""
        fixed = {str(axis): int(index) for axis, index in self.fixed.items()}
        return {
            "label": self.label,
            "cleanup": asdict(self.cleanup),
            "axis": self.axis,
            "fixed": fixed,
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Undo `to_json`."""
        fixed = {int(axis): index for axis, index in entry["fixed"].items()}
        return cls(entry["label"], CleanUp(**entry["cleanup"]), entry["axis"], fixed)
