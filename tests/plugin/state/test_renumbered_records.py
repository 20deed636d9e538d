"""The record of labels follows them to other numbers, through undo and redo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.records.record import is_intact, new_record, renumber_entries
from napari_sam.records.replay import replay
from tests.helpers.sessions import FIRST, SECOND, draw, written

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession


def made(session: SamSession) -> dict[int, str]:
    """Return {label: prompts that made it} of the recorded objects."""
    objects = session.record()["objects"]
    return {
        int(label): json.dumps(entries[0]["prompts"])
        for label, entries in objects.items()
    }


def assert_replays(session: SamSession) -> None:
    image = session.viewer.layers["balls"].data
    record = json.loads(json.dumps(session.record()))
    assert_array_equal(replay(record, image, session.model), written(session))
    for entries in record["objects"].values():
        assert is_intact(entries[-1], written(session))


@pytest.fixture
def two(session: SamSession) -> SamSession:
    """A session with label 1 for the first box, and 2 for the second."""
    for box in (FIRST, SECOND):
        draw(session, box)
        session.preview()
        session.commit()
    return session


def test_a_label_takes_its_entries_to_another_number(two: SamSession) -> None:
    before = made(two)
    two.labels.rename(7, 1)
    assert made(two) == {7: before[1], 2: before[2]}
    assert_replays(two)
    two.labels.relabel()
    assert made(two) == {2: before[1], 1: before[2]}
    assert_replays(two)


@pytest.mark.parametrize("own", [True, False])
def test_entries_follow_undo_and_redo(two: SamSession, own: bool) -> None:
    first = made(two)
    two.labels.rename(7, 1)
    renamed = made(two)
    two.labels.relabel()
    in_order = made(two)
    labels: Any = two.labels_layer
    undo = two.undo if own else labels.undo
    for wanted in (renamed, first):
        undo()
        assert made(two) == wanted
        assert_replays(two)
    for wanted in (renamed, in_order):
        labels.redo()
        assert made(two) == wanted
        assert_replays(two)


def test_objects_accepted_later_are_in_the_record_after_undo_and_redo(
    two: SamSession,
) -> None:
    two.labels.delete(2)
    two.labels.rename(3, 1)
    draw(two, SECOND)
    two.preview()
    two.commit()
    assert sorted(made(two)) == [3, 4]
    labels: Any = two.labels_layer
    labels.undo()
    labels.undo()
    assert sorted(made(two)) == [1]
    labels.redo()
    labels.redo()
    assert sorted(made(two)) == [3, 4]
    assert_replays(two)


def test_labels_that_end_lose_their_entries(two: SamSession) -> None:
    before = made(two)
    two.labels.merge([2, 1])
    assert made(two) == {2: before[2]}
    two.labels.delete(2)
    assert made(two) == {}
    two.undo()
    two.undo()
    assert made(two) == before


def test_labels_without_a_record_stay_without(session: SamSession) -> None:
    painted = np.zeros((9, 40, 50), int)
    painted[4, 3:9, 3:9] = 5
    layer = session.viewer.add_labels(painted, scale=(2, 1, 1))
    session.labels_layer = layer
    session.labels.relabel()
    assert not session.record()["objects"]


def test_an_earlier_label_does_not_come_back_under_its_number() -> None:
    entry = {"label": 4, "replaced": [4, 9], "region": [[0, 1]], "checksum": ""}
    record = {**new_record(), "objects": {"4": [entry]}}
    changed = renumber_entries(record, {4: 9})
    assert list(changed["objects"]) == ["9"]
    assert changed["objects"]["9"][0]["replaced"] == [9]
