"""Score and size of each label in the features of a Labels layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.plugin.state.followed_changes import FollowedChanges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels
    from pandas import DataFrame

    from napari_sam.plugin.layers.labels_writer import LabelChange

INDEX, SCORE, SIZE = "index", "score", "size"
_METADATA_KEY = "napari_sam_features"
# napari's Features table takes the position of a row as the label, so there is a row
# for each label; not for labels beyond this, which would take too many.
_MAX_ROWS = 10_000
# Pixels of larger layers are not counted again.
_FAST_COUNT_SIZE = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """The rows of the labels of one change, before and after it."""

    before: DataFrame
    after: DataFrame


class LabelFeatures:
    """Writes score and size of labels with each change, and follows undo and redo.

    The columns are `index`, `score` and `size`, in pixels. Columns of the user stay as
    they are, also those of these names, and move along when a label gets another
    number.
    """

    def __init__(self) -> None:
        self._changes: FollowedChanges[_Step] = FollowedChanges(
            lambda labels, step: _put_rows(labels, step.before),
            lambda labels, step: _put_rows(labels, step.after),
        )

    def add(
        self, change: LabelChange, scores: Mapping[int, float], renumbers: bool = False
    ) -> None:
        """Update the rows of the labels of a change.

        Parameters
        ----------
        change : LabelChange
            Pixels that were written.
        scores : mapping
            {label: score of the model}, of new and corrected objects.
        renumbers : bool
            Whether whole labels got other numbers.
        """
        labels = change.labels
        table = _by_label(labels.features)
        if table is None or not len(change.after):
            return
        ours = labels.metadata.setdefault(
            _METADATA_KEY, [name for name in (SCORE, SIZE) if name not in table]
        )
        touched = np.unique(np.concatenate([change.before, change.after])).tolist()
        touched = [label for label in touched if label]
        table = _with_rows(table, touched, ours)
        before = table.loc[touched].copy()
        if renumbers:
            _renumber(table, change)
        if SIZE in ours:
            for label in touched:
                table.loc[label, SIZE] = _size(table.loc[label, SIZE], label, change)
        if SCORE in ours:
            for label, score in scores.items():
                table.loc[label, SCORE] = score
        labels.features = table.reset_index(names=INDEX)
        self._changes.add(change, _Step(before, table.loc[touched].copy()))


def _by_label(features: DataFrame) -> DataFrame | None:
    """Return the table with labels as its index; None when it cannot be read so."""
    if INDEX not in features:
        return features.copy()  # napari: row i is that of label i
    table = features.set_index(INDEX)
    is_number = np.issubdtype(table.index.dtype, np.number)
    return table if is_number and table.index.is_unique else None


def _with_rows(table: DataFrame, labels: list[int], columns: list[str]) -> DataFrame:
    largest = max([*labels, *table.index.tolist()])
    wanted = {*table.index.tolist(), *labels, *range(min(largest, _MAX_ROWS) + 1)}
    table = table.reindex(sorted(wanted))
    for name in columns:
        if name not in table:
            table[name] = np.nan
    return table


def _renumber(table: DataFrame, change: LabelChange) -> None:
    """Move the rows of labels that got other numbers; those merged or removed end."""
    pairs = np.unique(np.stack([change.before, change.after], axis=1), axis=0)
    new_ids = {int(old): int(new) for old, new in pairs}
    rows = table.loc[list(new_ids)].copy()
    there = {label for label in set(new_ids.values()) - new_ids.keys() if label}
    kept = {label for label in there if table.loc[label].notna().any()}
    blank = dict.fromkeys(table.columns, np.nan)
    for old in new_ids:
        table.loc[old] = blank
    for old, new in new_ids.items():
        if new and new not in kept:
            table.loc[new] = rows.loc[old]


def _size(size: float, label: int, change: LabelChange) -> float:
    """Return the number of pixels of a label after a change; NaN without any."""
    data = change.labels.data
    if data.size <= _FAST_COUNT_SIZE:
        count = float(np.count_nonzero(np.asarray(data) == label))
    else:
        gained = np.count_nonzero(change.after == label)
        lost = np.count_nonzero(change.before == label)
        count = float((0 if np.isnan(size) else size) + gained - lost)
    return count if count > 0 else np.nan


def _put_rows(labels: Labels, rows: DataFrame) -> None:
    """Write rows into the features; columns that the user added since stay."""
    table = _by_label(labels.features)
    if table is None:
        return
    table = _with_rows(table, rows.index.tolist(), [])
    for name in rows.columns:
        if name in table:
            table.loc[rows.index, name] = rows[name]
    labels.features = table.reset_index(names=INDEX)
