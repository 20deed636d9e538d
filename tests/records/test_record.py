"""Records: entries of commits, undo, checksums and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.masks.painting import ObjectPlaneMask, plan_changes
from napari_sam.records.record import (
    FORMAT,
    KEY,
    add_entries,
    check_record,
    checksum,
    group_by_commit,
    new_record,
    prune_undone,
    read_record,
    region_of,
    upgrade,
    valid_entries,
    write_record,
)

if TYPE_CHECKING:
    from pathlib import Path

FULL = slice(None)


def through_json(value: Any) -> Any:
    again = json.loads(json.dumps(value, allow_nan=False))
    assert again == value  # nothing but plain types
    return again


# -- a history -----------------------------------------------------------------


class History:
    """Labels that are committed to, undone and edited, with their record."""

    def __init__(self) -> None:
        self.labels = np.zeros((4, 8, 9), np.uint16)
        self.record = new_record()
        self.undo_steps: list[tuple[Any, np.ndarray, np.ndarray]] = []
        self.redo_steps: list[tuple[Any, np.ndarray, np.ndarray]] = []

    def commit(self, pieces: dict[int, ObjectPlaneMask], **how: Any) -> None:
        """Commit objects by label, as the plugin does."""
        parts = list(pieces.values())
        ids = {piece.object_id: label for label, piece in pieces.items()}
        changes = plan_changes(self.labels, parts, ids, **how)
        earlier = valid_entries(self.record, self.labels, pieces)
        entries = [
            {
                "label": label,
                "object": number,
                "replaced": sorted(how.get("replaced", ())),
                "region": region_of(changes, self.labels.shape),
            }
            for number, label in ids.items()
        ]
        old = self.labels[changes.indices]
        self.labels[changes.indices] = changes.values
        self.undo_steps.append((changes.indices, old, changes.values))
        self.redo_steps.clear()
        self.record = add_entries(self.record, entries, earlier, self.labels)

    def undo(self) -> None:
        step = self.undo_steps.pop()
        self.labels[step[0]] = step[1]
        self.redo_steps.append(step)

    def redo(self) -> None:
        step = self.redo_steps.pop()
        self.labels[step[0]] = step[2]
        self.undo_steps.append(step)

    @property
    def present(self) -> dict[str, list[int]]:
        """{label: its commits}, without undone ones."""
        now = prune_undone(self.record, self.labels)
        assert now["format"] == FORMAT
        through_json(now)
        check_record(now)
        return {
            label: [entry["commit"] for entry in entries]
            for label, entries in now["objects"].items()
        }


def block(
    row: int, col: int, plane: int = 1, number: int = 1, side: int = 3
) -> ObjectPlaneMask:
    mask = np.ones((side, side), bool)
    return ObjectPlaneMask(number, (plane, FULL, FULL), (row, col), mask)


def test_each_object_has_the_commits_that_made_it() -> None:
    history = History()
    history.commit({1: block(0, 0), 2: block(4, 4, number=2)})
    history.commit({3: block(0, 0, plane=2)})
    history.commit({1: block(1, 1, plane=3)})
    assert history.present == {"1": [1, 3], "2": [1], "3": [2]}


def test_undo_and_redo_remove_and_restore_entries() -> None:
    history = History()
    states = []
    for label, (row, plane, how) in enumerate(
        [
            (0, 1, {}),
            (1, 1, {"policy": "overwrite"}),
            (3, 2, {}),
            (4, 2, {"policy": "background"}),
        ],
        start=1,
    ):
        states.append(history.present)
        history.commit({label: block(row, 2, plane)}, **how)
    states.append(history.present)
    for state in states[-2::-1]:
        history.undo()
        assert history.present == state
    for state in states[1:]:
        history.redo()
        assert history.present == state


def test_a_commit_after_undo_replaces_the_undone_one() -> None:
    history = History()
    history.commit({1: block(0, 0)})
    history.commit({2: block(4, 4)})
    history.undo()
    history.commit({2: block(4, 5, plane=2)})
    assert history.present == {"1": [1], "2": [3]}
    (entry,) = history.record["objects"]["2"]
    assert entry["region"][0] == [2, 3]


@pytest.mark.parametrize("origin", [(1, 1), (1, 0), (4, 4)])
def test_a_replaced_object_keeps_its_history_until_it_is_undone(
    origin: tuple[int, int],
) -> None:
    history = History()
    history.commit({1: block(1, 1, side=4)})
    history.commit({1: block(0, 0, plane=2)})
    history.commit({1: block(*origin)}, policy="keep", replaced={1})
    assert history.present == {"1": [1, 2, 3]}
    history.undo()
    assert history.present == {"1": [1, 2]}
    history.redo()
    assert history.present == {"1": [1, 2, 3]}


def test_an_edited_object_keeps_its_history() -> None:
    history = History()
    history.commit({1: block(0, 0)})
    history.commit({1: block(2, 2, plane=2)})
    history.labels[1, 0, 0] = 0
    history.labels[2, 7, 7] = history.labels[2, 3, 3] = 9
    assert history.present == {"1": [1, 2]}


def test_an_erased_object_has_no_history() -> None:
    history = History()
    history.commit({1: block(0, 0), 2: block(4, 4, number=2)})
    history.labels[history.labels == 2] = 0
    assert history.present == {"1": [1]}


def test_an_overwritten_object_has_no_history() -> None:
    history = History()
    history.commit({1: block(2, 2)})
    history.commit({2: block(1, 1, side=5)}, policy="overwrite")
    assert history.present == {"2": [2]}
    history.undo()
    assert history.present == {"1": [1]}


def test_an_object_without_pixels_gets_no_entry() -> None:
    history = History()
    history.commit({1: block(2, 2)})
    history.commit({2: block(2, 2), 3: block(5, 5, number=2)})
    assert history.present == {"1": [1], "3": [2]}
    history.undo()
    assert history.present == {"1": [1]}


def test_each_object_of_a_label_gets_an_entry() -> None:
    labels = np.ones((4, 5), int)
    entries = [
        {"label": 1, "object": number, "region": [[0, 4], [0, 5]]} for number in (1, 2)
    ]
    record = add_entries(new_record(), entries, {1: []}, labels)
    assert [e["object"] for e in record["objects"]["1"]] == [1, 2]


def test_numpy_labels_become_plain_integers() -> None:
    labels = np.ones((4, 5), np.uint8)
    label = labels[0, 0]
    entry = {"label": label, "object": 1, "region": [[0, 4], [0, 5]]}
    record = add_entries(
        new_record(), [{**entry, "replaced": [label]}], {label: []}, labels
    )
    again = through_json(record)
    assert prune_undone(again, labels) == again
    assert again["objects"]["1"][0]["replaced"] == [1]


def test_add_entries_does_not_change_the_record() -> None:
    history = History()
    history.commit({1: block(0, 0)})
    before = json.dumps(history.record)
    record = history.record
    history.commit({1: block(4, 4), 2: block(0, 4, number=2)})
    history.undo()
    assert history.present == {"1": [1]}
    assert json.dumps(record) == before


def test_valid_entries_returns_the_requested_labels_only() -> None:
    history = History()
    history.commit({1: block(0, 0), 2: block(4, 4, number=2)})
    valid = valid_entries(history.record, history.labels, [2, 7])
    assert valid == {2: history.record["objects"]["2"], 7: []}


def test_entries_are_grouped_by_commit_in_order() -> None:
    history = History()
    history.commit({9: block(0, 0), 2: block(4, 4, number=2)})
    history.commit({5: block(0, 0, plane=2)})
    history.commit({2: block(0, 5, number=2), 9: block(5, 0)})
    steps = group_by_commit(through_json(history.record))
    assert [[(e["commit"], e["label"]) for e in step] for step in steps] == [
        [(1, 9), (1, 2)],
        [(2, 5)],
        [(3, 9), (3, 2)],
    ]
    assert group_by_commit(new_record()) == []


@given(labels=hnp.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 2)))
def test_the_checksum_depends_on_the_label_in_its_region_only(
    labels: np.ndarray,
) -> None:
    region = [[0, 2], [1, 4], [0, 5]]
    before = checksum(labels, 1, region)
    outside = labels.copy()
    outside[2] = outside[:, 0] = 1
    assert checksum(outside, 1, region) == before
    others = labels.copy()
    others[labels == 2] = 0
    assert checksum(others, 1, region) == before
    inside = labels.copy()
    inside[1, 2, 3] = 0 if labels[1, 2, 3] == 1 else 1
    assert checksum(inside, 1, region) != before
    assert checksum(labels, 2, region) != before


@given(labels=hnp.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3)))
def test_regions_are_tight(labels: np.ndarray) -> None:
    piece = block(0, 1)
    changes = plan_changes(labels, [piece], {1: 1}, "keep", {3})
    region = through_json(region_of(changes, labels.shape))
    after = labels.copy()
    after[changes.indices] = changes.values
    changed = np.argwhere(after != labels)
    if not len(changed):
        assert region == [[0, 0]] * 3
        return
    low, high = changed.min(axis=0), changed.max(axis=0) + 1
    assert region == np.stack([low, high], axis=1).tolist()


# -- files ---------------------------------------------------------------------


def some_record() -> dict[str, Any]:
    history = History()
    history.commit({1: block(0, 0), 2: block(4, 4, number=2)})
    return history.record


def test_records_round_trip_through_files(tmp_path: Path) -> None:
    path = write_record(tmp_path / "a record.json", some_record())
    assert read_record(path) == some_record()
    assert read_record(str(path)) == some_record()


def test_layer_metadata_is_read_as_a_record(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"other": 1, KEY: some_record()}))
    assert read_record(path) == some_record()


def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path) -> None:
    path = write_record(tmp_path / "record.json", some_record())
    broken = {**some_record(), "later": np.zeros(3)}
    with pytest.raises(TypeError):
        write_record(path, broken)
    assert read_record(path) == some_record()
    assert list(tmp_path.iterdir()) == [path]
    write_record(path, new_record())
    assert read_record(path) == new_record()
    assert list(tmp_path.iterdir()) == [path]


def with_search(search: str) -> bytes:
    """Return a record of format 1 with one automatic object."""
    entry = '"commit": 1, "object": 1, "label": 1, "region": [], "checksum": ""'
    objects = f'{{"1": [{{{entry}, "everything": {search}}}]}}'
    return f'{{"format": 1, "objects": {objects}}}'.encode()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not JSON"),
        (b'{"format": 1, "objects": {', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[]", "is not a record"),
        (b'{"format": 1}', "is not a record"),
        (b'{"napari_sam": 3}', "is not a record"),
        (b'{"format": 6, "objects": {}}', "has format 6.* newer napari-sam"),
        (b'{"objects": {}}', "has format None"),
        (b'{"format": 1, "objects": {"1": 5}}', "damaged at object '1'"),
        (b'{"format": 1, "objects": {"1": [5]}}', "damaged at object '1'"),
        (b'{"format": 1, "objects": {"1": [{"commit": 1}]}}', "damaged at object"),
        (b'{"format": 1, "objects": {"cell": []}}', "damaged at object 'cell'"),
        (with_search("null"), "is damaged"),
        (with_search('{"options": null}'), "is damaged"),
        (with_search('{"thresholds": [1]}'), "is damaged"),
    ],
)
def test_damaged_and_newer_files_raise(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as error:
        read_record(path)
    assert str(path) in str(error.value)


def test_missing_files_raise_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        write_record(tmp_path / "no folder" / "record.json", new_record())


@pytest.mark.parametrize("record", [{"format": 6, "objects": {}}, {"objects": {}}])
def test_only_earlier_formats_are_upgraded(record: dict[str, Any]) -> None:
    assert upgrade(record) == record
