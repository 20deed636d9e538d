"""Provenance records in the metadata of Labels layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.plugin.state.followed_changes import FollowedChanges
from napari_sam.records.describe import describe_all
from napari_sam.records.record import (
    KEY,
    add_entries,
    new_record,
    prune_undone,
    region_of,
    renumber_entries,
    upgrade,
    valid_entries,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from napari.layers import Labels

    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.masks.label_tiles import Region
    from napari_sam.masks.painting import PixelChanges, Policy
    from napari_sam.plugin.layers.labels_writer import LabelChange
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import SegmentationResult


@dataclass(frozen=True, slots=True, eq=False)
class WritePlan:
    """Where and how a result is written into a Labels layer.

    Parameters
    ----------
    labels : Labels
        The layer.
    grid : LabelGrid
        Its pixels in the image.
    label_ids : dict
        {object id: label}.
    replaced : set of int
        Labels whose pixels give way.
    policy : {"keep", "overwrite", "background"}
        What happens to the pixels of other labels.
    """

    labels: Labels
    grid: LabelGrid
    label_ids: dict[int, int]
    replaced: set[int]
    policy: Policy


def record_of(labels: Labels) -> Record:
    """Return how the objects of a layer were made, without what was undone."""
    return prune_undone(_stored(labels), labels.data)


def valid_entries_of(
    labels: Labels, label_ids: Collection[int]
) -> dict[int, list[RecordEntry]]:
    """Return {label: entries of what made it}, without what was undone."""
    return valid_entries(_stored(labels), labels.data, label_ids)


def entries_of_commit(
    request: LayerRequest,
    result: SegmentationResult,
    plan: WritePlan,
    changes: PixelChanges,
    painted: Mapping[int, Region],
) -> list[RecordEntry]:
    """Describe what made each object of a commit, in plain JSON types.

    Parameters
    ----------
    request, result : LayerRequest, SegmentationResult
        The objects.
    plan : WritePlan
        Where and how they are written.
    changes : PixelChanges
        The pixels that change.
    painted : mapping
        {label: bounding box of its pixels among the changes}.
    """
    image, labels = request.image, plan.labels
    path = image.source.path
    shared: RecordEntry = {
        "image": {"name": image.name, "path": None if path is None else str(path)},
        "grid": plan.grid.to_json(),
        "dtype": str(labels.data.dtype),
        "policy": plan.policy,
        "replaced": sorted(plan.replaced),
    }
    model = request.snapshot.model
    entries = describe_all(request.request, result, plan.label_ids, model, shared)
    shape = labels.data.shape
    changed = region_of(changes, shape)
    # Objects of one commit may lie far apart: the region of all is the whole plane.
    own = {
        label: [[side.start, side.stop] for side in box if isinstance(side, slice)]
        for label, box in painted.items()
    }
    nothing = [[0, 0] for _ in shape]
    for entry in entries:
        label = entry["label"]
        is_replaced = label in plan.replaced  # its pixels may only be erased
        entry["region"] = changed if is_replaced else own.get(label, nothing)
    return entries


def store_entries(
    labels: Labels, entries: list[RecordEntry], earlier: Mapping[int, list[RecordEntry]]
) -> None:
    """Add entries to the layer's metadata; other keys stay as they are."""
    record = add_entries(_stored(labels), entries, earlier, labels.data)
    labels.metadata[KEY] = record


class RenumberedRecords:
    """Records of layers whose labels get other numbers, through undo and redo."""

    def __init__(self) -> None:
        self._changes: FollowedChanges[_Records] = FollowedChanges(
            _Records.restore_before, _Records.restore_after
        )

    def add(self, change: LabelChange, before: Record) -> None:
        """Give the labels in a record their new numbers.

        Parameters
        ----------
        change : LabelChange
            Pixels that were written, of whole labels.
        before : dict
            Result of `record_of` before the change.
        """
        labels, new_ids = change.labels, change.new_ids()
        if KEY not in labels.metadata or not new_ids:
            return
        after = renumber_entries(before, new_ids)
        labels.metadata[KEY] = after
        self._changes.add(change, _Records(before, after))


@dataclass(slots=True, eq=False)
class _Records:
    """The record of a layer before its labels got other numbers, and after it."""

    before: Record
    after: Record

    @staticmethod
    def restore_before(labels: Labels, records: _Records) -> None:
        # With what was added since, which may be done again as well.
        records.after = labels.metadata.get(KEY, records.after)
        labels.metadata[KEY] = records.before

    @staticmethod
    def restore_after(labels: Labels, records: _Records) -> None:
        labels.metadata[KEY] = records.after


def _stored(labels: Labels) -> Record:
    stored = labels.metadata.get(KEY) or new_record()
    if not isinstance(stored, dict) or not isinstance(stored.get("objects"), dict):
        raise ValueError(
            f"The metadata {KEY!r} of the labels layer {labels.name!r} is no record "
            "of this plugin: rename that entry, or choose another layer."
        )
    return upgrade(stored)
