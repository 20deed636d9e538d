"""The class of each object in the features of a Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.state.label_features import (
    INDEX,
    features_by_label,
    with_rows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels

CLASS = "class"


def classes_of(labels: Labels) -> dict[int, str]:
    """Return {label: name of its class}; labels without a class are left out."""
    table = features_by_label(labels.features)
    if table is None or CLASS not in table:
        return {}
    named = table[CLASS]
    return {
        int(label): name.strip()
        for label, name in zip(named.index.tolist(), named.tolist(), strict=True)
        if isinstance(name, str) and name.strip() and label
    }


def put_classes(labels: Labels, classes: Mapping[int, str]) -> None:
    """Give labels these classes, and no others one; other columns stay.

    napari shows them in its Features table and in the status bar.
    """
    table = features_by_label(labels.features)
    if table is None:
        return
    table = with_rows(table, list(classes), [])
    column = [classes.get(label, "") for label in table.index.tolist()]
    table[CLASS] = column
    labels.features = table.reset_index(names=INDEX)


def put_class(labels: Labels, label: int, name: str) -> None:
    """Give one label a class.

    Raises
    ------
    ValueError
        When the features have an index that tells no labels.
    """
    if features_by_label(labels.features) is None:
        raise ValueError(
            f"The column {INDEX!r} in the features of the layer {labels.name!r} holds "
            "no label numbers, so that no class can be noted: rename the column."
        )
    put_classes(labels, {**classes_of(labels), label: name})
