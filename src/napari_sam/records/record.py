"""Provenance record of labels: how each object was made, as plain JSON types."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.values import as_path
from napari_sam.files import atomic_write, read_json, refusing_damage
from napari_sam.masks.label_tiles import c_order_blocks, contains_label
from napari_sam.records.schema import misfit_of_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_sam.masks.painting import PixelChanges

FORMAT = 5
# Key of the record in the metadata of a Labels layer.
KEY = "napari_sam"

Record = dict[str, Any]
RecordEntry = dict[str, Any]

# Keys of format 1 and what they are called since, by part of an "everything" entry.
_RENAMED = {
    "options": {
        "crop_levels": "crop_n_layers",
        "least_score": "min_pred_iou",
        "least_stability": "min_stability_score",
    },
    "thresholds": {
        "score": "pred_iou_thresh",
        "stability": "stability_score_thresh",
        "trust": "quality_thresh",
        "overlap": "box_nms_thresh",
    },
}


# -- the objects of a record -----------------------------------------------------------


def new_record() -> Record:
    """Return a record without objects."""
    return {"format": FORMAT, "objects": {}}


def valid_entries(
    record: Record, labels: Any, ids: Iterable[int]
) -> dict[int, list[RecordEntry]]:
    """Return the entries of some labels, without those that were undone since.

    Parameters
    ----------
    record : dict
        The record; not changed.
    labels : ndarray or zarr array
        The labels as they are now.
    ids : iterable of int
        Which labels.

    Returns
    -------
    dict
        {label: its entries}.
    """
    return {
        label: _drop_undone(record["objects"].get(str(label), []), labels)
        for label in ids
    }


def add_entries(
    record: Record,
    entries: Sequence[RecordEntry],
    earlier: Mapping[int, list[RecordEntry]],
    labels: Any,
) -> Record:
    """Return a record with one more commit.

    Parameters
    ----------
    record : dict
        Record of the labels before the commit; not changed.
    entries : sequence of dict
        How each object of the commit was made, with "label" and "region". An object
        that left no pixel and replaced none gets no entry.
    earlier : mapping
        Result of `valid_entries` before the commit.
    labels : ndarray or zarr array
        The labels after the commit.
    """
    commit = 1 + max((e["commit"] for e in _all_entries(record)), default=0)
    objects = {**record["objects"], **{str(e["label"]): [] for e in entries}}
    for label, before in earlier.items():
        objects[str(label)] = list(before)
    for entry in entries:
        # Labels and ids taken from an array are NumPy scalars.
        label, region = int(entry["label"]), entry["region"]
        replaced = [int(other) for other in entry.get("replaced", ())]
        if not (label in replaced or _holds(labels, region, label)):
            continue  # there is no telling whether it was undone
        made = {**entry, "label": label, "replaced": replaced}
        digest = checksum(labels, label, region)
        objects[str(label)].append({"commit": commit, **made, "checksum": digest})
    return {**record, "objects": {la: steps for la, steps in objects.items() if steps}}


def prune_undone(record: Record, labels: Any) -> Record:
    """Return a record without the entries that were undone since."""
    ids = [int(label) for label in record["objects"]]
    valid = valid_entries(record, labels, ids)
    objects = {str(label): entries for label, entries in valid.items() if entries}
    return {**record, "objects": objects}


def renumber_entries(record: Record, new_ids: Mapping[int, int]) -> Record:
    """Return a record whose labels got other numbers.

    Parameters
    ----------
    record : dict
        Record of the labels before, without entries that were undone; not changed.
    new_ids : mapping
        {label: its new number}. Labels that join another one, or become background,
        end; the other one keeps its entries.
    """
    there = {int(label) for label in record["objects"]}
    targets = Counter(new_ids.values())
    numbers = {label: label for label in there - new_ids.keys()} | {
        old: new
        for old, new in new_ids.items()
        if new and targets[new] == 1 and (new in new_ids or new not in there)
    }
    objects = {
        str(numbers[label]): [
            _renumbered(entry, numbers) for entry in record["objects"][str(label)]
        ]
        for label in there & numbers.keys()
    }
    return {**record, "objects": objects}


def _renumbered(entry: RecordEntry, numbers: Mapping[int, int]) -> RecordEntry:
    new = numbers[entry["label"]]
    # A label that is gone may share its number with another one now.
    replaced = [numbers[old] for old in entry.get("replaced", ()) if old in numbers]
    changed = {
        **entry,
        "label": new,
        "replaced": replaced,
        "first_label": entry.get("first_label", entry["label"]),
    }
    if "cleaned" in entry:
        changed["cleaned"] = {**entry["cleaned"], "label": new}
    return changed


def group_by_commit(record: Record) -> list[list[RecordEntry]]:
    """Return the entries of each commit, in order."""
    grouped: dict[int, list[RecordEntry]] = defaultdict(list)
    for entry in sorted(_all_entries(record), key=lambda e: (e["commit"], e["object"])):
        grouped[entry["commit"]].append(entry)
    return list(grouped.values())


def region_of(changes: PixelChanges, shape: Iterable[int]) -> list[list[int]]:
    """Return the region that a commit changed: [start, stop] along each axis."""
    if not len(changes.values):
        return [[0, 0] for _ in shape]
    return [[int(axis.min()), int(axis.max()) + 1] for axis in changes.indices]


def is_intact(entry: RecordEntry, labels: Any) -> bool:
    """Tell whether an object looks as it did when the entry was made."""
    label, region = entry["label"], entry["region"]
    first_label = entry.get("first_label", label)
    # The user may have put other data into the layer.
    return len(region) == len(labels.shape) and bool(
        checksum(labels, label, region, first_label) == entry["checksum"]
    )


def checksum(
    labels: Any, label: int, region: list[list[int]], first_label: int | None = None
) -> str:
    """Return a hash of the pixels of a label within a region.

    Parameters
    ----------
    labels : ndarray or zarr array
        The labels.
    label : int
        Which label.
    region : list of list of int
        [start, stop] along each axis.
    first_label : int, optional
        The number of the label when it was hashed first.
    """
    name = label if first_label is None else first_label
    digest = blake2b(repr((name, region)).encode(), digest_size=8)
    left = np.empty(0, bool)
    # Large regions are hashed in parts of whole bytes.
    for block in c_order_blocks(labels, _window(region)):
        bits = np.concatenate([left, block == label])
        whole = len(bits) // 8 * 8
        digest.update(np.packbits(bits[:whole]).tobytes())
        left = bits[whole:]
    digest.update(np.packbits(left).tobytes())
    return digest.hexdigest()


def _drop_undone(entries: list[RecordEntry], labels: Any) -> list[RecordEntry]:
    """Drop the last entries of a label while it looks as before them."""
    for count in range(len(entries), 0, -1):
        entry = entries[count - 1]
        if is_intact(entry, labels):
            return entries[:count]
    is_gone = not any(_holds(labels, e["region"], e["label"]) for e in entries)
    # A label that was edited by hand keeps all its entries.
    return [] if is_gone else entries


def _holds(labels: Any, region: list[list[int]], label: int) -> bool:
    has_axes = len(region) == len(labels.shape)
    return has_axes and contains_label(labels, label, _window(region))


def _window(region: list[list[int]]) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in region)


def _all_entries(record: Record) -> list[RecordEntry]:
    return [entry for entries in record["objects"].values() for entry in entries]


# -- files and formats -----------------------------------------------------------------


def read_record(path: str | Path) -> Record:
    """Read a record from a JSON file.

    Parameters
    ----------
    path : str or Path
        File with a record, or with the metadata of a Labels layer.

    Returns
    -------
    dict
        The record in the current format, for `replay`.

    Raises
    ------
    ValueError
        When the file holds no record, or one of a later version.
    OSError
        When the file cannot be read.

    See Also
    --------
    write_record, replay
    """
    content = read_json(as_path(path, "path"))
    if isinstance(content, dict) and KEY in content:
        content = content[KEY]
    return check_record(content, str(path))


def write_record(path: str | Path, record: Record) -> Path:
    """Write a record to a JSON file, atomically.

    Parameters
    ----------
    path : str or Path
        The file; an existing one is replaced.
    record : dict
        The record.

    Returns
    -------
    Path
        The file.

    See Also
    --------
    read_record
    """
    path = as_path(path, "path")
    with atomic_write(path, ".json") as part, part.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
    return path


def check_record(record: Any, name: str = "The record") -> Record:
    """Check a record and return it in the current format.

    Raises
    ------
    ValueError
        When it is not a record of a known format.
    """
    if not isinstance(record, dict) or not isinstance(record.get("objects"), dict):
        raise ValueError(f"{name} is not a record of segmented objects: give another.")
    version = record.get("format")
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        raise ValueError(
            f"{name} has format {version!r}, this version reads formats 1 to {FORMAT}: "
            "install a newer napari-sam."
        )
    for label, entries in record["objects"].items():
        if not str(label).isdecimal():
            raise ValueError(
                f"{name} is damaged at object {label!r}: restore the file."
            )
        place = misfit_of_entries(entries)
        if place is not None:
            raise ValueError(
                f"{name} is damaged at object {label!r}, {place}: restore the file."
            )
    with refusing_damage(name, "restore the file"):
        return upgrade(record)


def upgrade(record: Record) -> Record:
    """Return a record of an earlier format in the current one; others unchanged.

    Format 2 lacks the windows of prompts, which were all answered on the whole plane.
    Format 3 lacks the method of automatic segmentation, which was by prompts. Format 4
    lacks whether clicks were corrected step by step; they were not.
    """
    if record.get("format") not in range(1, FORMAT):
        return record
    objects = {
        label: [_upgrade_entry(entry) for entry in entries]
        for label, entries in record["objects"].items()
    }
    return {**record, "format": FORMAT, "objects": objects}


def _upgrade_entry(entry: RecordEntry) -> RecordEntry:
    if "everything" not in entry:
        return entry
    search = dict(entry["everything"])
    for part, names in _RENAMED.items():
        values = search.get(part, {})
        search[part] = {names.get(key, key): values[key] for key in values}
    search["options"].setdefault("method", "prompts")
    return {**entry, "everything": search}
