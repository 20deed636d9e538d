"""Score and size of each label in the features of a Labels layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.label_tiles import run_starts
from napari_sam.plugin.state.followed_changes import FollowedChanges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

    from napari_sam.plugin.layers.labels_writer import LabelChange

INDEX, SCORE, SIZE = "index", "score", "size"
_METADATA_KEY = "napari_sam_features"
# napari's Features table takes the position of a row as the label, so there is a row
# for each label; not for labels beyond this, which would take too many.
_MAX_ROWS = 10_000
# Pixels of larger layers are not counted again.
_FAST_COUNT_SIZE = 2**22
_COUNTED_AT_ONCE = 2**16
_LARGEST_WHOLE = 2**53


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
        table = features_by_label(labels.features)
        if table is None or not len(change.after):
            return
        named = labels.metadata.setdefault(
            _METADATA_KEY, [name for name in (SCORE, SIZE) if name not in table]
        )
        # Those that the user filled with something else since are theirs now.
        ours = [n for n in named if n not in table or _is_number(table[n])]
        touched = sorted({*_labels_in(change.before), *_labels_in(change.after)} - {0})
        table = with_rows(table, touched, ours)
        before = table.loc[touched].copy()
        if renumbers:
            table = _renumbered(table, change.new_ids())
        if SIZE in ours:
            table.loc[touched, SIZE] = _sizes(table.loc[touched, SIZE], change)
        # An object of which other labels left no pixel has no row.
        scored = {label: scores[label] for label in touched if label in scores}
        if SCORE in ours and scored:
            table.loc[list(scored), SCORE] = list(scored.values())
        labels.features = table.reset_index(names=INDEX)
        self._changes.add(change, _Step(before, table.loc[touched].copy()))


def features_by_label(features: DataFrame) -> DataFrame | None:
    """Return the table with labels as its index; None when it cannot be read so."""
    if INDEX not in features:
        return features.copy()  # napari: row i is that of label i
    if not _is_number(features[INDEX]):
        return None
    numbers = _floats(features[INDEX])
    # Floats beyond this, NaN and infinity are no whole numbers.
    if not (np.abs(numbers) < _LARGEST_WHOLE).all() or (numbers % 1).any():
        return None
    table = features.drop(columns=INDEX).set_axis(numbers.astype(int))
    return table if table.index.is_unique else None


def _is_number(column: Series) -> bool:
    """Tell whether a column holds numbers; truth values are none."""
    return column.dtype.kind in "iuf"


def with_rows(table: DataFrame, labels: list[int], columns: list[str]) -> DataFrame:
    """Return a table by label with rows for labels, and new columns of NaN."""
    largest = max([*labels, *table.index.tolist()])
    wanted = {*table.index.tolist(), *labels, *range(min(largest, _MAX_ROWS) + 1)}
    table = table.reindex(sorted(wanted))
    for name in columns:
        known = name in table
        table[name] = _floats(table[name]) if known else np.nan
    return table


def _renumbered(table: DataFrame, new_ids: Mapping[int, int]) -> DataFrame:
    """Move the rows of labels that got other numbers; those merged or removed end."""
    there = [label for label in {*new_ids.values()} - new_ids.keys() if label]
    kept = {label for label in there if table.loc[label].notna().any()}
    rows = dict(zip(table.index.tolist(), table.index.tolist(), strict=True))
    no_row = max(rows) + 1
    moved = {new: old for old, new in new_ids.items() if new and new not in kept}
    rows |= dict.fromkeys(new_ids, no_row) | moved
    return table.reindex(list(rows.values())).set_axis(table.index)


def _sizes(sizes: Series, change: LabelChange) -> NDArray[np.float64]:
    """Return the number of pixels of labels after a change; NaN without any.

    Parameters
    ----------
    sizes : Series
        Those before the change, by label.
    change : LabelChange
        The change.
    """
    labels, data = sizes.index.to_numpy(), change.labels.data
    if data.size <= _FAST_COUNT_SIZE:
        counts = _counts(np.asarray(data), labels)
    else:
        gained = _counts(change.after, labels) - _counts(change.before, labels)
        counts = np.nan_to_num(sizes.to_numpy(float)) + gained
    return np.where(counts > 0, counts, np.nan)


def _counts(values: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Count how often each label, in ascending order, is among values."""
    flat = values.ravel()
    largest = max(int(flat.max(initial=0)), int(labels[-1]))
    if flat.min(initial=0) >= 0 and largest <= _FAST_COUNT_SIZE:
        counts = np.zeros(largest + 1, np.intp)
        step = max(_COUNTED_AT_ONCE, len(counts))
        for start in range(0, len(flat), step):  # wide copies stay in the cache
            part = flat[start : start + step].astype(np.intp, copy=False)
            counts += np.bincount(part, minlength=len(counts))
        return np.asarray(counts[labels], float)
    place = np.searchsorted(labels, flat)
    place[place == len(labels)] = 0
    found = place[labels[place] == flat]
    return np.bincount(found, minlength=len(labels)).astype(float)


def _labels_in(values: NDArray[Any]) -> list[int]:
    """Return which labels are among at least one value, quickly where runs are long."""
    labels: list[int] = np.unique(values[run_starts(values)]).tolist()
    return labels


def _put_rows(labels: Labels, rows: DataFrame) -> None:
    """Write rows into the features; columns that the user added since stay."""
    table = features_by_label(labels.features)
    if table is None:
        return
    table = with_rows(table, rows.index.tolist(), [])
    for name in rows.columns:
        if name in table:
            _put_values(table, rows[name])
    labels.features = table.reset_index(names=INDEX)


def _put_values(table: DataFrame, values: Series) -> None:
    """Write values of before into their column, unless the user made another of it."""
    name, column = values.name, table[values.name]
    if column.dtype == values.dtype:
        table.loc[values.index, name] = values
    elif _is_number(column) and _is_number(values):
        table[name] = _floats(column)
        table.loc[values.index, name] = _floats(values)


def _floats(column: Series) -> NDArray[np.float64]:
    floats: NDArray[np.float64] = column.to_numpy(float, na_value=np.nan)
    return floats
