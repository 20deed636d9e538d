"""What was done is written down in plain JSON, and forgotten when it is undone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from napari_sam.masks.painting import ObjectPlaneMask, plan_changes
from napari_sam.prompts.prompt import Prompt
from napari_sam.prompts.serialization import (
    mask_from_json,
    mask_to_json,
    prompt_from_json,
    prompt_to_json,
)
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
    valid_entries,
    write_record,
)

if TYPE_CHECKING:
    from pathlib import Path

FULL = slice(None)

coordinates = st.floats(-1e6, 1e6)
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0))


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    points = draw(
        st.none()
        | hnp.arrays(
            float, st.tuples(st.integers(1, 5), st.just(2)), elements=coordinates
        )
    )
    labels = None
    if points is not None:
        labels = draw(hnp.arrays(int, len(points), elements=st.integers(0, 1)))
    box = draw(st.none() | hnp.arrays(float, (2, 2), elements=coordinates))
    mask = draw(st.none() | masks)
    origin = draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
    return Prompt(
        points,
        labels,
        None if box is None else np.sort(box, axis=0).ravel(),
        mask,
        (0, 0) if mask is None else origin,
    )


def through_json(value: Any) -> Any:
    again = json.loads(json.dumps(value, allow_nan=False))
    assert again == value  # nothing but plain types
    return again


# -- both directions -----------------------------------------------------------


@given(prompt=prompts())
def test_prompts_survive_json(prompt: Prompt) -> None:
    again = prompt_from_json(through_json(prompt_to_json(prompt)))
    assert again.kinds == prompt.kinds
    assert again.mask_origin == prompt.mask_origin
    for name in ("points", "labels", "box", "mask"):
        before, after = getattr(prompt, name), getattr(again, name)
        if before is not None:
            assert_array_equal(after, before)
            assert after.dtype == before.dtype


@given(mask=masks, origin=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_masks_survive_json(mask: np.ndarray, origin: tuple[int, int]) -> None:
    entry = through_json(mask_to_json(mask, origin))
    again, first = mask_from_json(entry)
    assert_array_equal(again, mask)
    assert again.shape == mask.shape
    assert first == origin
    assert mask_to_json(again, first) == entry
    assert sum(entry["counts"]) == mask.size
    assert all(count > 0 for count in entry["counts"][1:-1])


def test_masks_are_run_lengths_outside_first() -> None:
    mask = np.array([[True, True, False], [False, False, True]])
    entry = mask_to_json(mask, (np.int64(3), np.int64(4)))  # type: ignore[arg-type]
    assert through_json(entry) == {
        "origin": [3, 4],
        "size": [2, 3],
        "counts": [0, 2, 3, 1],
    }


def test_logits_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="Logits"):
        prompt_to_json(Prompt(mask=np.zeros((4, 4), np.float32)))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [1, 2],
        {"point": [[1, 2]]},
        {"points": {"row": 1}},
        {"points": "here"},
        {"box": [1, 2, 3]},
        {"box": [None] * 4},
        {"mask": [[True]]},
        {"mask": {"origin": [0, 0], "size": [2, 2]}},
        {"mask": {"origin": [0, 0], "size": [2, 2], "counts": [3]}},
        {"mask": {"origin": [0], "size": [2, 2], "counts": [4]}},
        {"mask": {"origin": [0, 0], "size": [4], "counts": [4]}},
        {"mask": {"origin": [0, 0], "size": [2, 2], "counts": [-1, 5]}},
        {"mask": {"origin": [0.5, 0], "size": [2, 2], "counts": [4]}},
    ],
)
def test_what_is_no_prompt_is_refused(entry: Any) -> None:
    with pytest.raises(ValueError, match=r": give [^:]*\.$"):
        prompt_from_json(entry)


# -- a history -----------------------------------------------------------------


class History:
    """Labels that are committed to, undone and edited, with their record."""

    def __init__(self) -> None:
        self.labels = np.zeros((4, 8, 9), np.uint16)
        self.record = new_record()
        self.undo_steps: list[tuple[Any, np.ndarray, np.ndarray]] = []
        self.redo_steps: list[tuple[Any, np.ndarray, np.ndarray]] = []

    def commit(self, pieces: dict[int, ObjectPlaneMask], **how: Any) -> None:
        """Objects by label; as the plugin does it."""
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
        """{label: numbers of the commits that made it}."""
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


def test_undo_and_redo_are_followed() -> None:
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


def test_a_commit_after_undo_takes_the_place_of_the_undone_one() -> None:
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


def test_an_object_that_was_edited_by_hand_keeps_its_history() -> None:
    history = History()
    history.commit({1: block(0, 0)})
    history.commit({1: block(2, 2, plane=2)})
    history.labels[1, 0, 0] = 0
    history.labels[2, 7, 7] = history.labels[2, 3, 3] = 9
    assert history.present == {"1": [1, 2]}


def test_an_object_that_was_erased_has_no_history() -> None:
    history = History()
    history.commit({1: block(0, 0), 2: block(4, 4, number=2)})
    history.labels[history.labels == 2] = 0
    assert history.present == {"1": [1]}


def test_an_object_that_is_painted_over_has_no_history() -> None:
    history = History()
    history.commit({1: block(2, 2)})
    history.commit({2: block(1, 1, side=5)}, policy="overwrite")
    assert history.present == {"2": [2]}
    history.undo()
    assert history.present == {"1": [1]}


def test_an_object_that_left_no_pixel_is_not_noted() -> None:
    history = History()
    history.commit({1: block(2, 2)})
    history.commit({2: block(2, 2), 3: block(5, 5, number=2)})
    assert history.present == {"1": [1], "3": [2]}
    history.undo()
    assert history.present == {"1": [1]}


def test_objects_of_one_label_are_each_noted() -> None:
    labels = np.ones((4, 5), int)
    entries = [
        {"label": 1, "object": number, "region": [[0, 4], [0, 5]]} for number in (1, 2)
    ]
    record = add_entries(new_record(), entries, {1: []}, labels)
    assert [e["object"] for e in record["objects"]["1"]] == [1, 2]


def test_ids_that_come_from_an_array_are_written_as_plain_numbers() -> None:
    labels = np.ones((4, 5), np.uint8)
    label = labels[0, 0]
    entry = {"label": label, "object": 1, "region": [[0, 4], [0, 5]]}
    record = add_entries(
        new_record(), [{**entry, "replaced": [label]}], {label: []}, labels
    )
    again = through_json(record)
    assert prune_undone(again, labels) == again
    assert again["objects"]["1"][0]["replaced"] == [1]


def test_the_record_that_was_given_is_not_changed() -> None:
    history = History()
    history.commit({1: block(0, 0)})
    before = json.dumps(history.record)
    record = history.record
    history.commit({1: block(4, 4), 2: block(0, 4, number=2)})
    history.undo()
    assert history.present == {"1": [1]}
    assert json.dumps(record) == before


def test_only_the_labels_that_are_asked_for_are_looked_up() -> None:
    history = History()
    history.commit({1: block(0, 0), 2: block(4, 4, number=2)})
    found = valid_entries(history.record, history.labels, [2, 7])
    assert found == {2: history.record["objects"]["2"], 7: []}


def test_commits_come_in_order_with_their_objects_in_order() -> None:
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
def test_the_checksum_is_that_of_the_label_in_its_region(labels: np.ndarray) -> None:
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
def test_regions_just_hold_what_changed(labels: np.ndarray) -> None:
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


def test_records_survive_files(tmp_path: Path) -> None:
    path = write_record(tmp_path / "a record.json", some_record())
    assert read_record(path) == some_record()
    assert read_record(str(path)) == some_record()


def test_the_metadata_of_a_layer_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({"other": 1, KEY: some_record()}))
    assert read_record(path) == some_record()


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write_record(tmp_path / "record.json", some_record())
    broken = {**some_record(), "later": np.zeros(3)}
    with pytest.raises(TypeError):
        write_record(path, broken)
    assert read_record(path) == some_record()
    assert list(tmp_path.iterdir()) == [path]
    write_record(path, new_record())
    assert read_record(path) == new_record()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not JSON"),
        (b'{"format": 1, "objects": {', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[]", "is not a record"),
        (b'{"format": 1}', "is not a record"),
        (b'{"napari_sam": 3}', "is not a record"),
        (b'{"format": 3, "objects": {}}', "has format 3.* newer napari-sam"),
        (b'{"objects": {}}', "has format None"),
        (b'{"format": 1, "objects": {"1": 5}}', "damaged at object '1'"),
        (b'{"format": 1, "objects": {"1": [5]}}', "damaged at object '1'"),
        (b'{"format": 1, "objects": {"1": [{"commit": 1}]}}', "damaged at object"),
        (b'{"format": 1, "objects": {"cell": []}}', "damaged at object 'cell'"),
    ],
)
def test_damaged_and_later_files_are_refused(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as error:
        read_record(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        write_record(tmp_path / "no folder" / "record.json", new_record())
