"""Prompts from CSV files of Points and Shapes layers; `files` describes the columns."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.prompts.grouping import PromptEntry, check_object_id
from napari_sam.prompts.prompt import POLARITY, POSITIVE, Prompt, label_from_polarity
from napari_sam.prompts.shapes import SHAPE_TYPES, shape_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_Row = dict[str, str]


def csv_entries(
    path: str | Path, axis: int, ndim: int, plane_shape: tuple[int, int] | None
) -> Iterator[PromptEntry]:
    """Yield the prompts of a CSV file; see `napari_sam.prompts.files.read_prompts`."""
    columns, rows = _read_rows(path)
    axes = [f"axis-{i}" for i in range(ndim)]
    if {column for column in columns if column.startswith("axis-")} != {*axes}:
        raise ValueError(
            f"{path} has the columns {', '.join(columns) or '(none)'}: give a Points "
            f"or Shapes layer saved by napari, with {', '.join(axes)}, as many axes as "
            "the image has."
        )
    are_shapes = {"index", "shape-type"} <= set(columns)
    for source, group in (_shapes if are_shapes else _points)(path, rows):
        vertices = np.array([[_number(row, a, source) for a in axes] for row in group])
        slice_index = 0
        if ndim == 3:
            slice_index = _slice_of(vertices[:, axis], source)
            vertices = np.delete(vertices, axis, axis=1)
        first = group[0]
        if are_shapes:
            prompt = _shape(vertices, first["shape-type"], source, plane_shape)
        else:
            prompt = Prompt(points=vertices, labels=[_point_label(first, source)])
        object_id = _object_id(first, source)
        yield PromptEntry(source, slice_index, prompt, object_id, prompt.box is None)


def _read_rows(path: str | Path) -> tuple[list[str], list[_Row]]:
    """Read the column names, and the rows by column name."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            table = [row for row in csv.reader(file) if row]
    except (ValueError, csv.Error) as error:  # ValueError: encoding
        raise ValueError(
            f"{path} is not CSV in UTF-8 ({error}): save the layer again."
        ) from error
    columns = [name.strip() for name in table[0]] if table else []
    for number, row in enumerate(table[1:], start=1):
        if len(row) != len(columns):
            raise ValueError(
                f"{path}, row {number} has {len(row)} values for {len(columns)} "
                "columns: save the layer again."
            )
    return columns, [dict(zip(columns, row, strict=True)) for row in table[1:]]


def _points(path: str | Path, rows: list[_Row]) -> Iterator[tuple[str, list[_Row]]]:
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", [row]


def _shapes(path: str | Path, rows: list[_Row]) -> Iterator[tuple[str, list[_Row]]]:
    """Yield the rows of each shape, in the order of the file."""
    shapes: dict[str, list[_Row]] = {}
    for row in rows:
        shapes.setdefault(row["index"], []).append(row)
    for index, vertices in shapes.items():
        yield f"{path}, shape {index}", vertices


def _number(row: _Row, column: str, source: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{source} has {row[column]!r} as {column}: give a number.")
    return value


def _slice_of(positions: NDArray[np.float64], source: str) -> int:
    """Return the slice nearest to all positions."""
    low, high = nearest([positions.min(), positions.max()]).tolist()
    if low != high:
        raise ValueError(
            f"{source} reaches from slice {low} to {high}: draw it on one slice, "
            "across the propagation axis."
        )
    if low < 0:
        raise ValueError(f"{source} lies on slice {low}: slices begin at 0.")
    return int(low)


def _object_id(row: _Row, source: str) -> int | None:
    """Return the object id; None for an empty cell or without the column."""
    text = row.get("object", "").strip()
    if text.lower() in ("", "nan", "none"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    return check_object_id(int(value) if value.is_integer() else text, source)


def _point_label(row: _Row, source: str) -> int:
    """Return 0 for a negative point, else 1; as the plugin reads layers."""
    column = next((name for name in (POLARITY, "label") if name in row), None)
    if column is None:
        return POSITIVE
    label = label_from_polarity(row[column])
    if label is None and column == POLARITY:
        raise ValueError(
            f"{source} has polarity {row[column]!r}: write positive or negative."
        )
    return POSITIVE if label is None else label


def _shape(
    vertices: NDArray[np.float64],
    shape_type: str,
    source: str,
    plane_shape: tuple[int, int] | None,
) -> Prompt:
    if shape_type not in SHAPE_TYPES:
        raise ValueError(
            f"{source} is a {shape_type!r}: give one of {', '.join(SHAPE_TYPES)}."
        )
    if plane_shape is None:
        rows, cols = np.maximum(np.ceil(vertices.max(axis=0)) + 1, 0).astype(int)
        plane_shape = int(rows), int(cols)
    return shape_prompt(vertices, shape_type, plane_shape)
