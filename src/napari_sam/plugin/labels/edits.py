"""Corrections of labels: merge, split, delete, rename, relabel in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_sam.checks.arrays import as_numbers
from napari_sam.checks.values import whole_number
from napari_sam.images.axes import nearest
from napari_sam.masks.label_edits import ids_in_order, renumber, split_label
from napari_sam.masks.label_tiles import contains_label, read_pixels
from napari_sam.plugin.labels.clicked_labels import ClickedLabels
from napari_sam.plugin.layers.displayed_stack import LayerSlices, voxel_sizes
from napari_sam.plugin.layers.labels_writer import check_ids, check_paintable, write
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.state.provenance import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Labels
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.masks.label_tiles import Region
    from napari_sam.masks.painting import PixelChanges
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.objects.current_object import CurrentObject
    from napari_sam.plugin.state.settings import SessionSettings


class FoundChanges(NamedTuple):
    """Pixels that a correction changes, and their labels before."""

    changes: PixelChanges
    before: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LabelEditJob:
    """A correction of labels: computed on any thread, applied on the main thread.

    Parameters
    ----------
    labels : Labels
        The layer.
    find : callable
        Takes the array of the layer, and finds the pixels that change.
    label_ids : tuple of int
        The labels that the corrected objects get.
    prompts : sequence of LayerPrompt
        The points that tell which objects; they are used up.
    current : CurrentObject
        Notes the correction as a step that can be undone.
    renumbers : bool
        Whether it gives whole labels other numbers.
    """

    labels: Labels
    find: Callable[[Any], PixelChanges]
    label_ids: tuple[int, ...]
    prompts: Sequence[LayerPrompt]
    current: CurrentObject
    renumbers: bool = True

    def compute(self) -> FoundChanges:
        """Find the pixels that change.

        Raises
        ------
        ValueError
            When the layer does not contain the labels, or a new one is in use.
        """
        data = self.labels.data
        changes = self.find(data)
        return FoundChanges(changes, read_pixels(data, changes.indices))

    def apply(self, found: FoundChanges) -> tuple[int, ...]:
        """Write the changes as one undo step; return the labels of the objects.

        Raises
        ------
        ValueError
            When the layer cannot be written to, or was painted meanwhile.
        """
        labels = self.labels
        check_paintable(labels)
        if not np.array_equal(
            read_pixels(labels.data, found.changes.indices), found.before
        ):
            raise ValueError("The labels changed meanwhile: try again.")
        # Before the change, which tells what of the record was undone.
        record = record_of(labels) if self.renumbers else None
        change = write(labels, found.changes)
        if self.label_ids:
            labels.selected_label = self.label_ids[0]
        self.current.add_edit(change, self.prompts, record)
        return self.label_ids

    def run(self) -> tuple[int, ...]:
        """Compute and apply."""
        return self.apply(self.compute())


class LabelEdits:
    """Corrections of the objects of the labels layer.

    Each is one undo step of the layer, and of the session's `undo`. Merge, delete,
    rename and relabel change a label in the whole layer, split on the displayed plane
    or in the displayed stack. Labels are those under the open points on objects where
    several are needed, otherwise the selected label of the layer.

    Methods raise ValueError, with a sentence that says what to do, when the layer is
    missing or cannot be written to, or labels or points do not fit. `build_*` return
    the work of each, to compute it on another thread.

    Parameters
    ----------
    settings : SessionSettings
        With the labels layer and the prompt layers.
    current : CurrentObject
        Notes the corrections as steps that can be undone.
    """

    def __init__(self, settings: SessionSettings, current: CurrentObject) -> None:
        self._settings, self._current = settings, current

    def merge(self, labels: Sequence[int] | None = None) -> int:
        """Merge labels into the first of them; by default those under the points."""
        return self.build_merge(labels).run()[0]

    def split(
        self, label: int | None = None, points: ArrayLike | None = None
    ) -> tuple[int, ...]:
        """Split a label into one part a point; return the labels of the parts.

        The largest part keeps the label and is listed first. A label in a stack is
        split in the stack, unless its slices are points in time.

        Parameters
        ----------
        label : int, optional
            The label; that under the points by default.
        points : array-like, optional
            (N, n) pixels of the labels; the open points on objects by default.
        """
        return self.build_split(label, points).run()

    def delete(self, label: int | None = None) -> None:
        """Remove a label, by default the selected one."""
        self.build_delete(label).run()

    def rename(self, new: int, label: int | None = None) -> int:
        """Give a label, by default the selected one, a number that is not in use."""
        return self.build_rename(new, label).run()[0]

    def relabel(self) -> None:
        """Give all labels of the layer numbers from 1, in their order, without gaps."""
        self.build_relabel().run()

    @property
    def selected_label(self) -> int:
        """The selected label of the layer.

        Raises
        ------
        ValueError
            When it is background, or the layer cannot be written to.
        """
        return self._selected(self._paintable(), None)

    def build_merge(self, labels: Sequence[int] | None = None) -> LabelEditJob:
        """Return the work of `merge`."""
        layer, prompts = self._paintable(), []
        if labels is None:
            clicked = ClickedLabels.read(layer, self._settings, self._current)
            labels, prompts = clicked.labels_to_merge(), clicked.prompts
        into, *others = [whole_number(label, "label") for label in labels] or [0]
        new_ids = dict.fromkeys(others, into)
        if not new_ids.keys() - {into} or 0 in labels:
            raise ValueError("Name two or more labels to merge them; 0 is background.")

        def find(data: Any) -> PixelChanges:
            if not contains_label(data, into):
                raise ValueError(f"There is no label {into}: select another label.")
            return renumber(data, new_ids)

        return self._job(layer, find, (into,), prompts)

    def build_split(
        self, label: int | None = None, points: ArrayLike | None = None
    ) -> LabelEditJob:
        """Return the work of `split`."""
        layer, prompts = self._paintable(), []
        region, slice_axis, spacing = self._splittable_region(layer)
        if points is None:
            clicked = ClickedLabels.read(layer, self._settings, self._current)
            clicked = clicked.within(region)
            prompts, points = clicked.prompts, clicked.points
            label = clicked.label_to_split() if label is None else label
        pixels = np.atleast_2d(as_numbers(points, "points", "pixels of the labels"))
        if label is None or len(np.unique(nearest(pixels), axis=0)) < 2:
            raise ValueError("Give two or more points on one label, on each part one.")
        first_new = self._settings.target.next_free_label(layer)
        label_ids = (label, *range(first_new, first_new + len(pixels) - 1))
        check_ids(layer, dict(enumerate(label_ids)))

        def find(data: Any) -> PixelChanges:
            return split_label(
                data, label, pixels, first_new, region, spacing, slice_axis
            )

        return LabelEditJob(layer, find, label_ids, prompts, self._current, False)

    def build_delete(self, label: int | None = None) -> LabelEditJob:
        """Return the work of `delete`."""
        layer = self._paintable()
        new_ids = {self._selected(layer, label): 0}
        return self._job(layer, lambda data: renumber(data, new_ids), ())

    def build_rename(self, new: int, label: int | None = None) -> LabelEditJob:
        """Return the work of `rename`."""
        layer = self._paintable()
        label = self._selected(layer, label)
        new = whole_number(new, "new")
        if new < 1:
            raise ValueError(f"{new} cannot be a label: choose a number from 1.")
        check_ids(layer, {0: new})

        def find(data: Any) -> PixelChanges:
            if new != label and contains_label(data, new):
                raise ValueError(
                    f"Label {new} is in use: choose another number, or merge the two."
                )
            return renumber(data, {label: new})

        return self._job(layer, find, (new,))

    def build_relabel(self) -> LabelEditJob:
        """Return the work of `relabel`."""
        layer = self._paintable()
        return self._job(layer, lambda data: renumber(data, ids_in_order(data)), ())

    def _job(
        self,
        layer: Labels,
        find: Callable[[Any], PixelChanges],
        label_ids: tuple[int, ...],
        prompts: Sequence[LayerPrompt] = (),
    ) -> LabelEditJob:
        return LabelEditJob(layer, find, label_ids, prompts, self._current)

    def _paintable(self) -> Labels:
        if self._current.waiting:
            raise ValueError("Accepted objects are still being written: wait for them.")
        layer = self._settings.target.require_layer()
        check_paintable(layer)
        return layer

    @staticmethod
    def _selected(layer: Labels, label: int | None) -> int:
        label = int(layer.selected_label) if label is None else label
        label = whole_number(label, "label")
        if label == 0:
            raise ValueError("The selected label is background: select an object.")
        return label

    def _splittable_region(
        self, layer: Labels
    ) -> tuple[Region, int | None, tuple[float, ...] | None]:
        """Return the displayed stack, its axis of slices, and the pixel sizes.

        It is the displayed plane when distances across slices have no meaning.
        """
        settings = self._settings
        dims = settings.viewer.dims
        slices = LayerSlices.displayed(layer, dims, settings.axis_of(layer))
        fixed, axis = slices.fixed, slices.axis
        free = [a for a in range(layer.ndim) if a not in fixed]
        sizes = voxel_sizes(layer, free)
        if sizes is None:
            plane = displayed_plane(layer, dims)
            fixed, axis, sizes = plane.index, None, voxel_sizes(layer, plane.axes)
        region = tuple(fixed.get(a, slice(None)) for a in range(layer.ndim))
        return region, axis, sizes
