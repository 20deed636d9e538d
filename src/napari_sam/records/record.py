"""What is written down of every object, in plain JSON types, and read back."""

from __future__ import annotations

import json
from collections import defaultdict
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write, read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.painting import PixelChanges

FORMAT = 1
# Under this key in the metadata of a labels layer.
KEY = "napari_sam"

Record = dict[str, Any]
RecordEntry = dict[str, Any]


def new_record() -> Record:
    """A record without objects."""
    return {"format": FORMAT, "objects": {}}


def valid_entries(
    record: Record, labels: NDArray[Any], ids: Iterable[int]
) -> dict[int, list[RecordEntry]]:
    """{label id: its entries}, without those that were undone since.

    Parameters
    ----------
    record : dict
        Not changed.
    labels : ndarray
        As they are now.
    ids : iterable of int
        The labels asked for.
    """
    return {
        label: drop_undone(record["objects"].get(str(label), []), labels)
        for label in ids
    }


def add_entries(
    record: Record,
    entries: Sequence[RecordEntry],
    earlier: Mapping[int, list[RecordEntry]],
    labels: NDArray[Any],
) -> Record:
    """The record with one commit more.

    Parameters
    ----------
    record : dict
        Of the labels before; not changed.
    entries : sequence of dict
        What made each object of the commit; "label" and "region" among it. An
        object that left no pixel and replaced none is not noted.
    earlier : mapping
        What `valid_entries` gave before the commit.
    labels : ndarray
        After the commit.
    """
    number = 1 + max((e["commit"] for e in _entries(record)), default=0)
    objects = {**record["objects"], **{str(e["label"]): [] for e in entries}}
    for label, before in earlier.items():
        objects[str(label)] = list(before)
    for entry in entries:
        # Ids that come from an array are no plain numbers.
        label, region = int(entry["label"]), entry["region"]
        replaced = [int(other) for other in entry.get("replaced", ())]
        if not (label in replaced or _part(labels, region, label).any()):
            continue  # whether it was undone could not be told
        made = {**entry, "label": label, "replaced": replaced}
        hashed = checksum(labels, label, region)
        objects[str(label)].append({"commit": number, **made, "checksum": hashed})
    return {**record, "objects": {la: steps for la, steps in objects.items() if steps}}


def present(record: Record, labels: NDArray[Any]) -> Record:
    """The record without what was undone since; see `valid_entries`."""
    ids = [int(label) for label in record["objects"]]
    there = valid_entries(record, labels, ids)
    objects = {str(label): entries for label, entries in there.items() if entries}
    return {**record, "objects": objects}


def drop_undone(entries: list[RecordEntry], labels: NDArray[Any]) -> list[RecordEntry]:
    """Leave out the last entries of a label when it looks as before them."""
    for count in range(len(entries), 0, -1):
        entry = entries[count - 1]
        if checksum(labels, entry["label"], entry["region"]) == entry["checksum"]:
            return entries[:count]
    gone = not any(_part(labels, e["region"], e["label"]).any() for e in entries)
    # Otherwise it was edited by hand: all entries took part in it.
    return [] if gone else entries


def commits(record: Record) -> list[list[RecordEntry]]:
    """The entries of each commit, in order."""
    grouped: dict[int, list[RecordEntry]] = defaultdict(list)
    for entry in sorted(_entries(record), key=lambda e: (e["commit"], e["object"])):
        grouped[entry["commit"]].append(entry)
    return list(grouped.values())


def region_of(changes: PixelChanges, shape: Iterable[int]) -> list[list[int]]:
    """[first, one past the last] along each axis of what a commit changed."""
    if not len(changes.values):
        return [[0, 0] for _ in shape]
    return [[int(axis.min()), int(axis.max()) + 1] for axis in changes.indices]


def checksum(labels: NDArray[Any], label: int, region: list[list[int]]) -> str:
    """Hash of where a label lies within a region."""
    digest = blake2b(repr((label, region)).encode(), digest_size=8)
    digest.update(np.packbits(_part(labels, region, label)).tobytes())
    return digest.hexdigest()


def index_to_json(plane_index: PlaneIndex) -> list[int | None]:
    """Index of a plane; null along its rows and columns."""
    return [None if isinstance(entry, slice) else int(entry) for entry in plane_index]


def index_from_json(plane_index: list[int | None]) -> PlaneIndex:
    """Undo `index_to_json`."""
    return tuple(slice(None) if entry is None else entry for entry in plane_index)


def read_record(path: str | Path) -> Record:
    """Read a record from a JSON file.

    Raises
    ------
    ValueError
        When the file is no record, or of a later version.
    OSError
        When it cannot be read.
    """
    content = read_json(path)
    if isinstance(content, dict) and KEY in content:  # metadata of a layer, whole
        content = content[KEY]
    return check_record(content, str(path))


def check_record(record: Any, name: str = "The record") -> Record:
    """Refuse what is no record of a known format."""
    if not isinstance(record, dict) or not isinstance(record.get("objects"), dict):
        raise ValueError(f"{name} is no record of segmented objects.")
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{name} has format {record.get('format')!r}, this version reads "
            f"{FORMAT}: install a newer napari-sam."
        )
    for label, entries in record["objects"].items():
        whole = isinstance(entries, list) and all(map(_is_entry, entries))
        if not whole or not str(label).isdecimal():
            raise ValueError(f"{name} is damaged at object {label!r}.")
    return record


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    numbers = (entry.get(key) for key in ("commit", "object", "label"))
    return all(isinstance(n, int) for n in numbers) and {"region", "checksum"} <= {
        *entry
    }


def write_record(path: str | Path, record: Record) -> Path:
    """Write a record as JSON; it appears under its name only when it is complete."""
    path = Path(path)
    with atomic_write(path, ".json") as part, part.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
    return path


def _part(
    labels: NDArray[Any], region: list[list[int]], label: int
) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (
        labels[tuple(slice(start, stop) for start, stop in region)] == label
    )
    return inside


def _entries(record: Record) -> list[RecordEntry]:
    return [entry for entries in record["objects"].values() for entry in entries]
