"""Prompts from CSV files of Points and Shapes layers.

`napari_sam.exchange.prompts` describes the columns.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.prompts.csv_table import CsvTable, Row, read_table
from napari_sam.prompts.grouping import PromptEntry, check_object_id
from napari_sam.prompts.prompt import POLARITY, POSITIVE, Prompt, label_from_polarity
from napari_sam.prompts.shapes import SHAPE_TYPES, shape_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.prompts.ignored import Ignored
    from napari_sam.prompts.selection import ImageSelection


def csv_entries(
    path: str | Path, selection: ImageSelection, ignored: Ignored
) -> Iterator[PromptEntry]:
    """Yield the prompts of a CSV file; see `napari_sam.exchange.prompts.read_prompts`.

    Parameters
    ----------
    path : str or Path
        CSV file of a layer that has the axes of the image, or those of the selection.
    selection : ImageSelection
        What is segmented of the image.
    ignored : Ignored
        Counts the prompts at other positions.

    Raises
    ------
    ValueError
        When the file has other content; the message names file and row.
    """
    table = read_table(path)
    axes = _axes(path, table, selection)
    are_shapes = {"index", "shape-type"} <= set(table.columns)
    for source, group in (_shapes if are_shapes else _points)(path, table):
        vertices = np.array(
            [
                [_number(table, row, f"axis-{i}", source) for i in range(len(axes))]
                for row in group
            ]
        )
        position = {
            name: _index_along(vertices[:, i], name, source, name == selection.along)
            for i, name in enumerate(axes)
            if name not in selection.plane_axes
        }
        found = selection.locate(position)
        if found is None:
            chosen = ", ".join(f"{name}={n}" for name, n in selection.fixed.items())
            kind = "shapes" if are_shapes else "points"
            where = f"at other positions than {chosen}" if chosen else "off the image"
            ignored[f"{kind} {where}"] += 1
            continue
        plane_columns = [axes.index(name) for name in selection.plane_axes]
        vertices, first = vertices[:, plane_columns], group[0]
        if are_shapes:
            prompt = _shape(vertices, first["shape-type"], source, selection)
        else:
            label = _point_label(first, source)
            prompt = _named(source, partial(Prompt, points=vertices, labels=[label]))
        slice_index = found[selection.along] if selection.along else 0
        object_id = _object_id(table, first, source)
        yield PromptEntry(source, slice_index, prompt, object_id, prompt.box is None)


def _axes(path: str | Path, table: CsvTable, selection: ImageSelection) -> str:
    """Return the names of the axes, in the order of their columns."""
    columns = {name for name in table.columns if name.startswith("axis-")}
    wanted = [f"axis-{i}" for i in range(len(selection.free))]
    try:
        axes = selection.axes_of(len(columns))
    except ValueError as error:
        raise ValueError(f"{path}: {error}.") from error
    if axes is None or columns != {f"axis-{i}" for i in range(len(axes))}:
        more = ""
        if len(selection.axes) > len(wanted):
            more = f" or the axes {selection.axes} of its file"
        raise ValueError(
            f"{path} has the columns {table.describe_columns()}: give a "
            f"Points or Shapes layer saved by napari, with {', '.join(wanted)}, as "
            f"many axes as the image has{more}."
        )
    return axes


def _points(path: str | Path, table: CsvTable) -> Iterator[tuple[str, list[Row]]]:
    for number, row in table.rows:
        yield f"{path}, row {number}", [row]


def _shapes(path: str | Path, table: CsvTable) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each shape, in the order of the file."""
    shapes: dict[str, list[Row]] = {}
    for _, row in table.rows:
        shapes.setdefault(row["index"], []).append(row)
    for index, rows in shapes.items():
        source = f"{path}, shape {index}"
        if "vertex-index" in table.columns:  # the rows may have been sorted otherwise
            rows.sort(key=lambda row: _number(table, row, "vertex-index", source))
        yield source, rows


def _number(table: CsvTable, row: Row, column: str, source: str) -> float:
    value = table.number(row[column])
    if not np.isfinite(value):
        raise ValueError(f"{source} has {row[column]!r} as {column}: give a number.")
    return value


def _index_along(
    positions: NDArray[np.float64], axis: str, source: str, is_slice: bool
) -> int:
    """Return the index nearest to all positions along an axis."""
    low, high = nearest([positions.min(), positions.max()]).tolist()
    what = "slice" if is_slice else f"{axis}="
    between = " " if is_slice else ""
    if low != high:
        raise ValueError(
            f"{source} reaches from {what}{between}{low} to {high}: draw it on one "
            f"slice, across the axis {axis}."
        )
    if is_slice and low < 0:
        raise ValueError(f"{source} lies on slice {low}: slices begin at 0.")
    return int(low)


def _object_id(table: CsvTable, row: Row, source: str) -> int | None:
    """Return the object id; None for an empty cell or without the column."""
    text = row.get("object", "")
    if text.lower() in ("", "nan", "none"):
        return None
    value = table.number(text)
    return check_object_id(int(value) if value.is_integer() else text, source)


def _point_label(row: Row, source: str) -> int:
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
    selection: ImageSelection,
) -> Prompt:
    if shape_type.lower() not in SHAPE_TYPES:
        raise ValueError(
            f"{source} is a {shape_type!r}: give one of {', '.join(SHAPE_TYPES)}."
        )
    kind, shape = shape_type.lower(), selection.plane_shape
    return _named(source, partial(shape_prompt, vertices, kind, shape))


def _named(source: str, make: Callable[[], Prompt]) -> Prompt:
    """Make a prompt; name its source when it is refused."""
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
