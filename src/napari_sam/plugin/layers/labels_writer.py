"""Write objects into a Labels layer in one undo step, after checking the layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import plane_sides
from napari_sam.masks.label_tiles import read_pixels
from napari_sam.masks.painting import (
    ObjectPlaneMask,
    PixelChanges,
    plan_changes,
)
from napari_sam.plugin.layers.labels_array import (
    empty_labels,
    label_dtype,
    painting_problem,
)
from napari_sam.plugin.layers.transforms import (
    axes_separable,
    label_grid,
    layer_affine,
    spatial_shape,
    transform_kwargs,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.masks.label_tiles import Region
    from napari_sam.masks.painting import Policy
    from napari_sam.plugin.layers.transforms import Sliders


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """Summary of a commit.

    Parameters
    ----------
    label_ids : tuple of int
        The label of each object, in order.
    pixels : int
        Number of changed pixels.
    kept : int
        Number of pixels that stay with other objects.
    outside : int
        Number of pixels of the objects outside the labels.
    covered : int
        Number of objects that were there already, and were not written.
    """

    label_ids: tuple[int, ...]
    pixels: int
    kept: int
    outside: int = 0
    covered: int = 0


def check_target(
    labels: Labels, image: Image, plane_index: PlaneIndex, sliders: Sliders
) -> LabelGrid:
    """Refuse a labels layer that cannot be written to, before any work starts.

    Returns
    -------
    LabelGrid
        The map from pixels of the labels to the image.

    Raises
    ------
    ValueError
        When the layer cannot be painted, see `check_paintable`, or is not parallel to
        the displayed plane.
    """
    check_paintable(labels)
    grid = label_grid(labels, image, sliders)
    if not grid.is_aligned(plane_index):
        problem = f"is not parallel to the displayed plane of the image {image.name!r}"
        raise ValueError(_refusal(labels, problem))
    if not grid.covers(plane_index, plane_sides(spatial_shape(image), plane_index)):
        problem = f"does not cover the displayed slice of the image {image.name!r}"
        raise ValueError(_refusal(labels, problem))
    return grid


def _refusal(
    labels: Labels, problem: str, advice: str = "choose '(new layer)' or another one"
) -> str:
    return f"The labels layer {labels.name!r} {problem}: {advice}."


def check_paintable(labels: Labels) -> None:
    """Refuse a labels layer that cannot be written to.

    Raises
    ------
    ValueError
        When it is multiscale, neither a numpy nor a zarr array, in a byte order that
        napari cannot paint, read-only, locked or hidden.
    """
    if labels.multiscale:
        raise ValueError(_refusal(labels, "is multiscale"))
    problem = painting_problem(labels.data)
    if problem is not None:
        raise ValueError(_refusal(labels, *problem))
    if not labels.editable:
        raise ValueError(_refusal(labels, "is locked", "make the layer editable"))
    if not labels.visible:
        raise ValueError(_refusal(labels, "is hidden", "make the layer visible"))


def check_ids(labels: Labels, ids: Mapping[int, int]) -> None:
    """Refuse label ids that the layer's data type cannot hold."""
    largest = max(ids.values(), default=0)
    dtype = label_dtype(labels.data)
    if largest > (1 if dtype.kind == "b" else np.iinfo(dtype).max):
        raise ValueError(
            f"The labels layer {labels.name!r} has type {dtype}, which "
            f"cannot hold label {largest}: choose '(new layer)' or a layer of a larger "
            "type."
        )


def plan(
    labels: Labels,
    grid: LabelGrid,
    pieces: Sequence[ObjectPlaneMask],
    ids: Mapping[int, int],
    policy: Policy,
    replaced: Collection[int],
    erase_within: Sequence[Region] | None = None,
) -> tuple[PixelChanges, int]:
    """Plan the changes of the labels, and count the object pixels outside them.

    See `plan_changes`.
    """
    placed, outside = grid.place_all(pieces)
    changes = plan_changes(labels.data, placed, ids, policy, replaced, erase_within)
    return changes, outside


@dataclass(frozen=True, slots=True, eq=False)
class LabelChange:
    """Pixels that were written into a layer.

    Parameters
    ----------
    labels : Labels
        The layer.
    indices : tuple of ndarray
        Index arrays of the pixels.
    before, after : ndarray
        Their labels.

    Attributes
    ----------
    extent : tuple of int
        Smallest shape of an array with all the pixels.
    """

    labels: Labels
    indices: tuple[NDArray[np.intp], ...]
    before: NDArray[np.integer]
    after: NDArray[np.integer]
    extent: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        extent = tuple(int(index.max(initial=-1)) + 1 for index in self.indices)
        object.__setattr__(self, "extent", extent)

    def new_ids(self) -> dict[int, int]:
        """Return {label: its new number}, 0 if removed, when whole labels changed."""
        old, first = np.unique(self.before, return_index=True)
        pairs = zip(old.tolist(), self.after[first].tolist(), strict=True)
        return {before: after for before, after in pairs if before}

    def undo(self) -> None:
        """Undo the change, unless that was done already.

        The layer's own undo does it, as long as that goes back so far.

        Raises
        ------
        ValueError
            When the layer was painted since, or cannot be written to; it stays as it
            is then.
        """
        if self._holds(self.before):
            return
        check_paintable(self.labels)
        problem = _refusal(
            self.labels,
            "was changed since",
            "select it, and undo the later changes first",
        )
        if not self._holds(self.after):
            raise ValueError(problem)
        if not _undo_layer(self.labels):
            self._restore()
        elif not self._holds(self.before):
            self.labels.redo()
            raise ValueError(problem)

    def take_back(self) -> None:
        """Undo a change that went wrong, also where the layer's undo does so."""
        if not self._holds(self.before):
            self.labels.undo()
        if not self._holds(self.before):
            self._restore()

    def _restore(self) -> None:
        self.labels.data[self.indices] = self.before
        self.labels.refresh()

    def is_undone(self) -> bool:
        """Whether the pixels are as before the change."""
        return self._holds(self.before)

    def is_done(self) -> bool:
        """Whether the pixels are as after the change."""
        return self._holds(self.after)

    def _holds(self, values: NDArray[np.integer]) -> bool:
        data = self.labels.data
        if data.ndim != len(self.extent) or any(
            map(int.__lt__, data.shape, self.extent)
        ):
            return False
        if not len(values):
            return True
        # One pixel often tells that the layer does not hold them.
        first = tuple(int(index[0]) for index in self.indices)
        if data[first] != values[0]:
            return False
        return np.array_equal(read_pixels(data, self.indices), values)


def _undo_layer(labels: Labels) -> bool:
    """Undo the last step of a layer; tell whether there was one.

    napari keeps 100 steps. Without any, the layer is not drawn again.
    """
    drawn = []

    def note(event: Any) -> None:
        drawn.append(event)

    # With asynchronous slicing a layer asks to be loaded instead.
    emitters = labels.events.set_data, labels.events.reload
    for emitter in emitters:
        emitter.connect(note)
    try:
        labels.undo()
    finally:
        for emitter in emitters:
            emitter.disconnect(note)
    return bool(drawn)


def write(labels: Labels, changes: PixelChanges) -> LabelChange:
    """Change pixels of a layer, as one step of its undo history.

    Raises
    ------
    ValueError
        When the layer did not take the pixels; they are as before then.
    """
    before = read_pixels(labels.data, changes.indices)
    change = LabelChange(labels, changes.indices, before, changes.values)
    if not len(changes.values):
        return change
    try:
        _set_pixels(labels, changes)
    except BaseException:
        # A callback of the user on the layer's events, which come after the change.
        change.take_back()
        raise
    if not change._holds(changes.values):
        change.take_back()
        raise ValueError(_refusal(labels, "did not take the objects"))
    return change


def _set_pixels(labels: Labels, changes: PixelChanges) -> None:
    """Set pixels of a layer, which asynchronous slicing may be about to load."""
    is_loaded = labels.loaded
    if not is_loaded:
        # napari writes into the displayed slice, too, which is of another shape yet.
        labels.set_view_slice()
    labels.data_setitem(changes.indices, changes.values)
    if not is_loaded:
        labels.refresh()


def new_labels(
    viewer: ViewerModel,
    image: Image,
    skip: int = 0,
    plane_index: PlaneIndex | None = None,
) -> Labels:
    """Add an empty Labels layer with the shape and transform of an image.

    The selected layer stays selected.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that gets the layer.
    image : Image
        The image under the labels.
    skip : int
        Number of leading axes of the image (channels) that the labels lack.
    plane_index : tuple, optional
        Index of the displayed plane of the image; the last two axes when None.
    """
    shape = spatial_shape(image)[skip:]
    displayed = [
        axis
        for axis, entry in enumerate((plane_index or ())[skip:])
        if isinstance(entry, slice)
    ]
    rows, cols = displayed or (len(shape) - 2, len(shape) - 1)
    array = empty_labels(shape, (rows, cols))
    active = viewer.layers.selection.active
    layer = viewer.add_labels(array, name="SAM labels", **transform_kwargs(image, skip))
    # The user continues to draw prompts.
    if active is not None:
        viewer.layers.selection.active = active
    return layer


def leading_channels(image: Image, channel_axes: Collection[int]) -> int:
    """Count the leading axes of an image that are channels and separable."""
    count = 0
    while count in channel_axes:
        count += 1
    shape = spatial_shape(image)
    return count if axes_separable(layer_affine(image), shape, count) else 0
