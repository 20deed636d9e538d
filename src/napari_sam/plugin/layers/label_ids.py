"""Labels in use in a Labels layer, without scanning a large one at every stroke."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_sam.masks.label_tiles import contains_label, label_box, run_starts
from napari_sam.masks.painting import PixelChanges, next_free_label

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.layers import Labels

    from napari_sam.masks.label_tiles import Region

# Scanning an array of at most this size takes a few milliseconds.
_FAST_SCAN_SIZE = 2**22
# Scanning a larger one takes more than a tenth of a second.
_SLOW_SCAN_SIZE = 2**26


@dataclass(slots=True)
class _KnownLabels:
    """What was learned about the labels of one array.

    Parameters
    ----------
    array : ndarray
        Data of the layer.
    largest : int
        No label is larger.
    pixel : tuple of int or None
        Index of a pixel that was given the largest label.
    absent : set of int
        Labels that a scan did not find.
    boxes : dict
        {label: region that contains all its pixels}, of an array that is not numpy.
    was_empty : bool
        Whether the layer was new: labels without a box were never painted.
    """

    array: Any
    largest: int
    pixel: tuple[int, ...] | None = None
    absent: set[int] = field(default_factory=set)
    boxes: dict[int, Region] = field(default_factory=dict)
    was_empty: bool = False

    def grow_boxes(self, change: Any) -> None:
        """Follow a change of pixels that napari reported."""
        if hasattr(change, "new_value"):
            painted: dict[int, Region] = {int(change.new_value): tuple(change[0])}
        else:
            axes = tuple(np.ravel(axis) for axis in change[0])
            values = np.broadcast_to(np.asarray(change[2]).ravel(), axes[0].shape)
            painted = label_regions(PixelChanges(axes, values, 0))
        for label, region in painted.items():
            before = self.boxes.get(label)
            if before is None and not self.was_empty:
                continue  # it is looked for when it is needed
            if before is None or _is_empty(before):
                self.boxes[label] = region
            else:
                self.boxes[label] = tuple(map(_join, before, region))


class LabelIds:
    """Labels in use in each layer; follows the layer's `paint` events.

    napari reports every brush stroke, fill and `data_setitem` as a `paint` event.
    Undo and redo are not reported, but only bring back labels that were reported
    before. What scripts write into a large `layer.data` directly is found by `rescan`.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Labels, _KnownLabels] = WeakKeyDictionary()

    def next_free(self, labels: Labels) -> int:
        """Return a label above all that are in use."""
        data = labels.data
        if data.size <= _FAST_SCAN_SIZE:
            return next_free_label(data)
        known = self._get(labels)
        if known.largest < 0:
            known.largest = next_free_label(data) - 1
            if data.size > _SLOW_SCAN_SIZE:
                # It is scanned only now; labels are usually selected before they are
                # written, also by a script.
                known.largest = max(known.largest, int(labels.selected_label))
        undone = known.pixel is not None and data[known.pixel] != known.largest
        if undone and data.size <= _SLOW_SCAN_SIZE:
            return next_free_label(data)  # not kept, as the label may be redone
        return known.largest + 1

    def rescan(self, labels: Labels) -> None:
        """Look for labels that were written without a `paint` event.

        Called before each commit, so that no object is added to a label in use. Very
        large layers are not scanned for their largest label.
        """
        known = self._get(labels)
        known.absent.clear()
        if not isinstance(labels.data, np.ndarray):
            return  # scanned once, as that takes longer
        if _FAST_SCAN_SIZE < labels.data.size <= _SLOW_SCAN_SIZE:
            largest = next_free_label(labels.data) - 1
            if largest > known.largest:
                known.largest, known.pixel = largest, None

    def contains(self, labels: Labels, label: int, region: Region) -> bool:
        """Tell whether a label is in use; look in a region first.

        The whole layer is scanned when the label is not in the region, once until
        somebody paints.
        """
        data = labels.data
        regions = self.regions_of(labels, [label])
        if regions is not None:
            return any(contains_label(data, label, part) for part in regions)
        if contains_label(data, label, region):
            return True
        known = self._get(labels)
        if label not in known.absent:
            if contains_label(data, label):
                return True
            known.absent.add(label)
        return False

    def regions_of(self, labels: Labels, ids: Collection[int]) -> list[Region] | None:
        """Return regions that contain all pixels of some labels.

        Returns
        -------
        list of tuple or None
            None, which is everywhere, for a numpy array: scripts write into it.
        """
        if isinstance(labels.data, np.ndarray):
            return None
        known = self._get(labels)
        nowhere = (slice(0, 0),) * labels.ndim
        for label in ids:
            if label not in known.boxes and not known.was_empty:
                known.boxes[label] = label_box(labels.data, label) or nowhere
        return [known.boxes.get(label, nowhere) for label in ids]

    def add_empty(self, labels: Labels) -> None:
        """Note that a new layer has no labels yet, so that it needs no scan."""
        known = self._get(labels)
        known.largest, known.was_empty = 0, True

    def _get(self, labels: Labels) -> _KnownLabels:
        known = self._known.get(labels)
        if known is None:
            labels.events.paint.connect(self._on_paint)
        if known is None or known.array is not labels.data:
            known = self._known[labels] = _KnownLabels(labels.data, -1)
        return known

    def _on_paint(self, event: Any) -> None:
        known = self._known[event.source]
        known.absent.clear()
        if not isinstance(known.array, np.ndarray):
            for change in event.value:
                known.grow_boxes(change)
        if known.largest < 0:
            return  # not scanned yet
        for change in event.value:
            # A napari brush may store a mask and one value instead of three arrays.
            by_mask = hasattr(change, "new_value")
            values = np.asarray(change.new_value if by_mask else change[2])
            if not values.size or (largest := int(values.max())) < known.largest:
                continue
            known.largest, known.pixel = largest, None
            if not by_mask:
                first = int(values.argmax())
                known.pixel = tuple(int(axis.flat[first]) for axis in change[0])


def label_regions(changes: PixelChanges) -> dict[int, Region]:
    """Return the bounding box of the changed pixels of each label."""
    if not len(changes.values):
        return {}
    # Runs of pixels of one label, of which there are far fewer, are sorted.
    heads = run_starts(changes.values)
    order = np.argsort(changes.values[heads], kind="stable")
    labels, starts = np.unique(changes.values[heads[order]], return_index=True)
    low, high = (
        [
            extreme.reduceat(extreme.reduceat(axis, heads)[order], starts).tolist()
            for axis in changes.indices
        ]
        for extreme in (np.minimum, np.maximum)
    )
    return {
        label: tuple(
            slice(first[i], last[i] + 1) for first, last in zip(low, high, strict=True)
        )
        for i, label in enumerate(labels.tolist())
    }


def join_regions(one: Region | None, other: Region | None) -> Region | None:
    """Return the bounding box of two regions of one array; either may be missing."""
    if one is None or other is None:
        return one or other
    return tuple(_join(a, b) for a, b in zip(one, other, strict=True))


def _is_empty(region: Region) -> bool:
    return any(isinstance(p, slice) and p.start == p.stop for p in region)


def _join(one: slice | int, other: slice | int) -> slice:
    parts = [p if isinstance(p, slice) else slice(p, p + 1) for p in (one, other)]
    if any(part == slice(None) for part in parts):
        return slice(None)
    return slice(min(p.start for p in parts), max(p.stop for p in parts))
