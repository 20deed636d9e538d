"""The record of how objects were made, in the metadata of their labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.records.describe import describe_all
from napari_sam.records.record import (
    KEY,
    add_entries,
    new_record,
    prune_undone,
    region_of,
    upgrade,
    valid_entries,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from napari.layers import Labels

    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.masks.painting import PixelChanges, Policy
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import SegmentationResult


def record_of(labels: Labels) -> Record:
    """How the objects of a labels layer were made, without what was undone."""
    return prune_undone(_stored(labels), labels.data)


def _stored(labels: Labels) -> Record:
    return upgrade(labels.metadata.get(KEY) or new_record())


def entries_of(
    question: LayerRequest,
    result: SegmentationResult,
    ids: Mapping[int, int],
    changes: PixelChanges,
    grid: LabelGrid,
    labels: Labels,
    policy: Policy,
    replaced: Collection[int],
) -> list[RecordEntry]:
    """What made each object of a commit, in plain JSON types."""
    shared: RecordEntry = {
        "image": {
            "name": question.image.name,
            "path": _text(question.image.source.path),
        },
        "grid": grid.to_json(),
        "dtype": str(labels.data.dtype),
        "policy": policy,
        "replaced": sorted(replaced),
        "region": region_of(changes, labels.data.shape),
    }
    return describe_all(question.request, result, ids, question.model, shared)


def earlier_entries(
    labels: Labels, ids: Collection[int]
) -> dict[int, list[RecordEntry]]:
    """{label id: what made it until now}, without what was undone."""
    return valid_entries(_stored(labels), labels.data, ids)


def note(
    labels: Labels, entries: list[RecordEntry], earlier: Mapping[int, list[RecordEntry]]
) -> None:
    """Write a commit into the layer's metadata; other keys stay as they are."""
    record = add_entries(_stored(labels), entries, earlier, labels.data)
    labels.metadata[KEY] = record


def _text(path: Any) -> str | None:
    return None if path is None else str(path)
