"""Any table of features that napari takes is spared, and objects are accepted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_sam.plugin.session import SamSession
from tests.helpers.sessions import FIRST, SECOND, draw

Table = pd.DataFrame
TABLES = {
    "strings as index": {"index": ["a", "b"]},
    "NaN in the index": {"index": [0, np.nan]},
    "fractions as index": {"index": [0.0, 1.5]},
    "infinity in the index": {"index": [0.0, np.inf]},
    "a repeated index": {"index": [1, 1]},
    "a negative index": {"index": [-1, 1]},
    "a large index": {"index": [1, 2**40]},
    "truth values as index": {"index": [True, False]},
    "small numbers as index": {"index": np.array([1, 2], np.uint8)},
    "complex numbers as index": {"index": np.array([1, 2], complex)},
    "categories": {"a": pd.Categorical(["a", "b"])},
    "dates": {"a": pd.to_datetime(["2020-01-01", "2020-01-02"])},
    "missing numbers": {"a": pd.array([1, None], dtype="Int64")},
    "lists": {"a": [[1], {}]},
    "truth values": {"a": [True, False]},
    "strings as score": {"score": ["a", "b"]},
    "an empty name": {"": [1, 2]},
}
CHANGES: dict[str, Callable[[Table], Table]] = {
    "score as string": lambda table: table.assign(score="good"),
    "score as category": lambda table: table.assign(score=pd.Categorical(table.index)),
    "score as date": lambda table: table.assign(score=pd.Timestamp("2020")),
    "no score": lambda table: table.drop(columns="score"),
    "whole sizes": lambda table: table.assign(size=np.int8(3)),
    "truth values as size": lambda table: table.assign(size=True),
    "missing sizes": lambda table: table.assign(
        size=pd.array([None] * len(table), dtype="Int64")
    ),
    "no index": lambda table: table.drop(columns="index"),
    "reversed": lambda table: table.iloc[::-1],
    "index as string": lambda table: table.assign(index=table["index"].astype(str)),
    "nothing": lambda _: Table(),
}


@pytest.fixture
def labelled(session: SamSession) -> SamSession:
    shape = session.viewer.layers["balls"].data.shape
    labels = session.viewer.add_labels(np.zeros(shape, int), scale=(2, 1, 1))
    session.labels_layer = labels
    return session


def accept(session: SamSession, box: tuple[float, ...]) -> None:
    draw(session, box)
    session.preview()
    session.commit()


def edit_and_undo(session: SamSession) -> None:
    """Accept another object, renumber, delete, and undo all of it in both ways."""
    labels: Any = session.labels_layer
    accept(session, SECOND)
    session.labels.rename(7, 1)
    session.labels.delete(7)
    for _ in range(2):
        session.undo()
    labels.undo()
    labels.redo()
    assert np.unique(labels.data).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_any_kind(labelled: SamSession, name: str) -> None:
    labels: Any = labelled.labels_layer
    labels.features = Table(TABLES[name])
    before = labels.features.copy()
    accept(labelled, FIRST)
    edit_and_undo(labelled)
    for column in before.columns.difference(["index"]):
        kept = labels.features[column].dropna().tolist()
        assert kept[:2] == before[column].dropna().tolist()


@pytest.mark.parametrize("name", CHANGES)
def test_tables_that_the_user_changes(labelled: SamSession, name: str) -> None:
    labels: Any = labelled.labels_layer
    accept(labelled, FIRST)
    labels.features = CHANGES[name](labels.features)
    edit_and_undo(labelled)


def test_an_error_after_writing_takes_the_object_back(labelled: SamSession) -> None:
    labels: Any = labelled.labels_layer
    accept(labelled, FIRST)
    before = labels.data.copy()

    def fail(_: Any) -> None:
        raise RuntimeError("of a callback")

    labels.events.features.connect(fail)
    draw(labelled, SECOND)
    labelled.preview()
    with pytest.raises(RuntimeError, match="of a callback"):
        labelled.commit()
    np.testing.assert_array_equal(labels.data, before)
    labels.events.features.disconnect(fail)
    labelled.commit()
    assert np.unique(labels.data).tolist() == [0, 1, 2]
