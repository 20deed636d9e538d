"""Features follow each change of labels, its undo and redo, and spare the user's."""

import numpy as np
import pandas as pd
import pytest

from napari_sam.plugin.session import SamSession
from tests.helpers.sessions import FIRST, SECOND, draw

USER = {"kind": ["", "a", "b", "c"], "count": [0, 1, 2, 3]}


def rows(session: SamSession) -> dict[int, tuple[float, float]]:
    """Return {label: (score, size)} of the rows with a size."""
    assert session.labels_layer is not None
    table = session.labels_layer.features.dropna(subset=["size"])
    return {
        int(i): (float(score), float(size))
        for i, score, size in zip(
            table["index"], table["score"], table["size"], strict=True
        )
    }


def commit(session: SamSession, *boxes: tuple[float, ...]) -> None:
    for box in boxes:
        draw(session, box)
        session.preview()
        session.commit()


def test_a_commit_writes_score_and_size(session: SamSession) -> None:
    draw(session, FIRST)
    prediction = session.preview()
    assert prediction is not None
    session.commit()
    ((label, (score, size)),) = rows(session).items()
    assert label == 1
    assert score == pytest.approx(prediction.score)
    assert session.labels_layer is not None
    assert size == np.count_nonzero(session.labels_layer.data)


@pytest.mark.parametrize("own", [True, False])
def test_rows_follow_undo_and_redo(session: SamSession, own: bool) -> None:
    commit(session, FIRST, SECOND)
    labels = session.labels_layer
    assert labels is not None
    both = rows(session)
    assert both.keys() == {1, 2}
    undo = session.undo if own else labels.undo
    undo()
    assert rows(session) == {1: both[1]}
    labels.undo()
    assert rows(session) == {}
    labels.redo()
    labels.redo()
    assert rows(session) == both


@pytest.mark.parametrize("covered", [FIRST, SECOND])
@pytest.mark.parametrize("several", [True, False])
def test_objects_that_other_labels_cover_get_no_row(
    session: SamSession, covered: tuple[float, ...], several: bool
) -> None:
    top, left, bottom, right = (int(side) for side in covered)
    taken = np.zeros(session.viewer.layers["balls"].data.shape, int)
    taken[:, top - 2 : bottom + 3, left - 2 : right + 3] = 5
    session.labels_layer = session.viewer.add_labels(taken, scale=(2, 1, 1))
    for box in (FIRST, SECOND) if several else (covered,):
        draw(session, box)
    session.each_prompt_an_object = several
    session.preview()
    session.commit()
    assert len(np.unique(session.labels_layer.data)) == 2 + several
    scored = session.labels_layer.features.get("score", pd.Series(dtype=float))
    assert scored.notna().sum() == several


def test_columns_of_the_user_stay(session: SamSession) -> None:
    shape = session.viewer.layers["balls"].data.shape
    labels = session.viewer.add_labels(np.zeros(shape, int), scale=(2, 1, 1))
    labels.features = USER
    session.labels_layer = labels
    commit(session, FIRST)
    assert labels.features["kind"].tolist() == USER["kind"]
    assert labels.features["count"].tolist() == USER["count"]
    labels.features = {**labels.features, "later": [1, 2, 3, 4]}
    labels.undo()
    assert labels.features["later"].tolist() == [1, 2, 3, 4]
    assert labels.features["kind"].tolist() == USER["kind"]
    assert rows(session) == {}


def test_columns_of_the_same_names_stay(session: SamSession) -> None:
    shape = session.viewer.layers["balls"].data.shape
    labels = session.viewer.add_labels(np.zeros(shape, int), scale=(2, 1, 1))
    labels.features = {"size": ["small", "large"]}
    session.labels_layer = labels
    commit(session, FIRST)
    assert labels.features["size"].tolist() == ["small", "large"]
    assert labels.features["score"].notna().sum() == 1


def test_rows_move_with_their_labels(session: SamSession) -> None:
    commit(session, FIRST, SECOND)
    labels = session.labels_layer
    assert labels is not None
    before = rows(session)
    labels.features = {**labels.features, "kind": ["", "a", "b"]}
    session.labels.rename(7, 1)
    assert rows(session) == {2: before[2], 7: before[1]}
    session.labels.relabel()
    assert rows(session) == {1: before[2], 2: before[1]}
    kinds = dict(zip(labels.features["index"], labels.features["kind"], strict=True))
    assert (kinds[1], kinds[2]) == ("b", "a")
    session.labels.merge([1, 2])
    ((label, (score, size)),) = rows(session).items()
    assert (label, score) == (1, before[2][0])
    assert size == before[1][1] + before[2][1]
    session.labels.delete(1)
    assert rows(session) == {}
    for wanted in ([1], [1, 2], [2, 7]):
        labels.undo()
        assert sorted(rows(session)) == wanted
    labels.undo()
    assert rows(session) == before


def test_labels_of_large_numbers_get_a_row_of_their_own(session: SamSession) -> None:
    commit(session, FIRST)
    session.labels.rename(2_000_000, 1)
    assert rows(session).keys() == {2_000_000}
    assert session.labels_layer is not None
    assert len(session.labels_layer.features) < 20_000
