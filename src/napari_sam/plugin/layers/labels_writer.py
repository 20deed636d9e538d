"""Write objects into a Labels layer: checked first, then in one undo step."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_sam.images.axes import plane_sides
from napari_sam.masks.painting import (
    ObjectPlaneMask,
    PixelChanges,
    next_free_label,
    plan_changes,
)
from napari_sam.plugin.layers.transforms import (
    axes_separable,
    grid_between,
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
    from napari_sam.masks.painting import Policy
    from napari_sam.plugin.layers.transforms import Sliders

# Larger labels are made with 16 bits.
_LARGE = 2**28
# Searching more labels than these for their largest id can be felt.
_QUICKLY_SEARCHED = 2**26


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """What a commit did.

    Parameters
    ----------
    label_ids : tuple of int
        The id of each object, in order.
    pixels : int
        Pixels that changed.
    kept : int
        Pixels left to other objects, which were there before.
    outside : int
        Pixels of the objects that lie outside the labels.
    """

    label_ids: tuple[int, ...]
    pixels: int
    kept: int
    outside: int = 0


class LabelIds:
    """The largest id of each labels layer, without searching huge ones each time.

    Whoever paints into a layer selects the label first, so that the largest label
    written or selected is an upper bound; undo only makes labels fewer.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, tuple[Any, int]] = WeakKeyDictionary()

    def next_free(self, labels: Labels) -> int:
        """An id above all that are in use."""
        if labels.data.size <= _QUICKLY_SEARCHED:
            return next_free_label(labels.data)
        if self._known.get(labels, (None, 0))[0] is not labels.data:
            self.remember(labels, next_free_label(labels.data) - 1)
        return self._known[labels][1] + 1

    def remember(self, labels: Labels, largest: int) -> None:
        """Note the largest id after writing into a layer."""
        if labels not in self._known:
            labels.events.selected_label.connect(self._on_selected)
        array, before = self._known.get(labels, (None, 0))
        if array is labels.data:
            largest = max(before, largest)
        self._known[labels] = labels.data, max(largest, int(labels.selected_label))

    def _on_selected(self, event: Any) -> None:
        array, largest = self._known[event.source]
        self._known[event.source] = array, max(largest, event.source.selected_label)


def check_target(
    labels: Labels, image: Image, plane_index: PlaneIndex, sliders: Sliders
) -> LabelGrid:
    """Refuse a labels layer that cannot take the result, before any work starts.

    Returns
    -------
    LabelGrid
        How its pixels lie in the image.

    Raises
    ------
    ValueError
        When it is multiscale, not in memory, read-only, locked, hidden, or does
        not lie along the displayed plane.
    """
    name = repr(labels.name)
    check_paintable(labels)
    grid = grid_between(labels, image, sliders)
    if not grid.is_aligned(plane_index):
        raise ValueError(
            f"The labels {name} do not lie along the displayed plane of the image "
            f"{image.name!r}: choose '(new layer)' or labels that do."
        )
    if not grid.covers(plane_index, plane_sides(spatial_shape(image), plane_index)):
        raise ValueError(
            f"The labels {name} do not reach the displayed slice of the image "
            f"{image.name!r}: choose '(new layer)' or other labels."
        )
    return grid


def check_paintable(labels: Labels) -> None:
    """Refuse a labels layer that cannot be written to.

    Raises
    ------
    ValueError
        When it is multiscale, not in memory, read-only, locked or hidden.
    """
    name = repr(labels.name)
    if labels.multiscale:
        raise ValueError(f"The labels {name} are multiscale: choose a plain layer.")
    if not isinstance(labels.data, np.ndarray):
        raise ValueError(
            f"The labels {name} are not in memory ({type(labels.data).__name__}): "
            "choose a layer that can be painted, or load them as a numpy array."
        )
    if not labels.data.flags.writeable:
        raise ValueError(f"The labels {name} are read-only: choose another layer.")
    if not labels.editable:
        raise ValueError(f"The labels {name} are locked: make the layer editable.")
    if not labels.visible:
        raise ValueError(
            f"The labels {name} are hidden: show them to see what is written."
        )


def check_ids(labels: Labels, ids: Mapping[int, int]) -> None:
    """Refuse label ids that the layer's data type cannot hold."""
    largest = max(ids.values(), default=0)
    if largest > np.iinfo(labels.data.dtype).max:
        raise ValueError(
            f"The labels {labels.name!r} are of type {labels.data.dtype}, which cannot "
            f"hold label {largest}: choose or make a layer of a larger type."
        )


def plan(
    labels: Labels,
    grid: LabelGrid,
    pieces: Sequence[ObjectPlaneMask],
    ids: Mapping[int, int],
    policy: Policy,
    replaced: Collection[int],
) -> tuple[PixelChanges, int]:
    """What changes in the labels, and how many pixels lie outside of them."""
    placed = [part for piece in pieces for part in grid.place(piece)]
    outside = sum(grid.outside(piece) for piece in pieces)
    return plan_changes(labels.data, placed, ids, policy, replaced), outside


def write(labels: Labels, changes: PixelChanges) -> None:
    """Change pixels of a layer, in one step of its own undo history."""
    if len(changes.values):
        labels.data_setitem(changes.indices, changes.values)


def new_labels(viewer: ViewerModel, image: Image, skip: int = 0) -> Labels:
    """Add an empty labels layer over an image; the selected layer stays selected.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer.
    image : Image
        Whose place and shape it takes.
    skip : int
        Leading axes of the image (channels) that the labels do without.
    """
    shape = spatial_shape(image)[skip:]
    active = viewer.layers.selection.active
    layer = viewer.add_labels(
        _empty(shape), name="SAM labels", **transform_kwargs(image, skip)
    )
    # The user goes on drawing prompts where they were.
    if active is not None:
        viewer.layers.selection.active = active
    return layer


def _empty(shape: tuple[int, ...]) -> NDArray[Any]:
    """Zeros that take memory only where something is written."""
    size = int(np.prod(shape, dtype=np.int64))
    if size <= _LARGE:
        return np.zeros(shape, np.int32)
    try:
        return np.zeros(shape, np.uint16)
    except MemoryError:
        # A file without content takes no room, whatever its size.
        with tempfile.TemporaryFile(prefix="napari-sam-labels-") as file:
            return np.memmap(file, np.uint16, "w+", shape=shape)  # keeps it open


def leading_channels(image: Image, channel_axes: Collection[int]) -> int:
    """How many leading axes of an image are channels and lie apart from the others."""
    count = 0
    while count in channel_axes:
        count += 1
    return count if axes_separable(layer_affine(image), count) else 0
