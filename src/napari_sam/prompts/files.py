"""Prompts from files: layers that napari saved as CSV, and JSON.

napari saves a Points layer with the columns ``index``, ``axis-0``, ``axis-1``, ... and
one for each feature; a Shapes layer with ``index``, ``shape-type``, ``vertex-index``,
``axis-0``, ``axis-1``, ... and without features. The numbers are data coordinates of
the layer; its scale and place are not saved. So the layer has to share the pixel grid
of the image, as layers made by the widget do.

Two more columns count. ``polarity`` is "positive" or "negative" (where there is none
``label`` tells: 0 and less are negative). ``object`` is the number of the object: it
joins prompts on several slices, and several points. As napari leaves features of
shapes out, number a point in the box, or add the column.

JSON is a list of prompts, ``[{"object": 1, "slice": 12, "box": [r0, c0, r1, c1],
"points": [[r, c]], "labels": [1]}]``, where "object" may be left out and "slice" is
for stacks only; or, for a stack, ``{object: {slice: {"box": ...}}}``.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import read_json
from napari_sam.images.axes import check_axis, nearest
from napari_sam.prompts.grouping import PromptEntry, group_entries
from napari_sam.prompts.prompt import POLARITY, POSITIVE, Prompt, label_from_polarity
from napari_sam.prompts.serialization import prompt_from_json
from napari_sam.prompts.shapes import shape_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import ObjectPrompts

# Columns of CSV and keys of JSON.
OBJECT, SLICE = "object", "slice"

_SHAPE_COLUMNS = {"index", "shape-type"}
# Like the panel: what napari calls a path is open, the other shapes have an inside.
_OPEN, _CLOSED = ("line", "path"), ("rectangle", "ellipse", "polygon")

_Row = dict[str, str]
_PlaneShape = tuple[int, int]


def read_prompts(
    paths: str | Path | Iterable[str | Path],
    axis: int = 0,
    ndim: int = 3,
    plane_shape: tuple[int, int] | None = None,
) -> ObjectPrompts:
    """Read the prompts of an image from one or several files.

    Several files count as one: points of one and boxes of another may describe the
    same object; `napari_sam.prompts.grouping.group_entries` tells how. Without object
    numbers every box, line, entry of JSON and positive point outside all boxes is an
    object of its own, on one slice.

    Parameters
    ----------
    paths : str, Path or iterable of them
        CSV where the name ends in .csv, else JSON; the module describes both.
    axis : int
        Of the stack; the other two are the rows and columns. A plane has none.
    ndim : int
        Axes of the image without colour: 3 for a stack, 2 for a plane.
    plane_shape : tuple of int, optional
        (H, W) of the planes, which the insides of ellipses and polygons are cut to.
        When None, these must not reach beyond the last row or column.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}; of a plane the slice is 0.

    Raises
    ------
    ValueError
        When a file holds something else; the sentence names file and row or entry.
    OSError
        When a file cannot be read.
    """
    if ndim not in (2, 3):
        raise ValueError(f"ndim={ndim}: prompts are read for 2 or 3 axes.")
    axis = check_axis(axis, ndim)
    entries: list[PromptEntry] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if Path(path).suffix.lower() == ".csv":
            entries += _csv_entries(path, axis, ndim, plane_shape)
        else:
            entries += _json_entries(path, ndim)
    return group_entries(entries)


def _csv_entries(
    path: str | Path, axis: int, ndim: int, plane_shape: _PlaneShape | None
) -> Iterator[PromptEntry]:
    columns, rows = _read_rows(path)
    axes = [f"axis-{number}" for number in range(ndim)]
    if {column for column in columns if column.startswith("axis-")} != {*axes}:
        raise ValueError(
            f"{path} has the columns {', '.join(columns) or '(none)'}: give a Points "
            f"or Shapes layer as napari saves it, with {', '.join(axes)}, as many as "
            "the image has."
        )
    are_shapes = set(columns) >= _SHAPE_COLUMNS
    for where, group in _shapes(path, rows) if are_shapes else _points(path, rows):
        vertices = np.array([[_float(row, a, where) for a in axes] for row in group])
        index = _slice_of(vertices[:, axis], where) if ndim == 3 else 0
        on_plane = np.delete(vertices, axis, axis=1) if ndim == 3 else vertices
        first = group[0]
        if are_shapes:
            prompt = _shape_prompt(on_plane, first["shape-type"], where, plane_shape)
        else:
            prompt = Prompt(points=on_plane, labels=[_point_label(first, where)])
        number = _number_in(first, where)
        yield PromptEntry(where, index, prompt, number, is_point=prompt.box is None)


def _read_rows(path: str | Path) -> tuple[list[str], list[_Row]]:
    """The names of the columns, and each row by these."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            table = [row for row in csv.reader(file) if row]
    except (ValueError, csv.Error) as error:  # ValueError: of the encoding
        raise ValueError(f"{path} is not CSV in UTF-8 ({error}).") from error
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
    """The vertices of each shape, in the order of the file."""
    shapes: dict[str, list[_Row]] = {}
    for row in rows:
        shapes.setdefault(row["index"], []).append(row)
    for name, vertices in shapes.items():
        yield f"{path}, shape {name}", vertices


def _float(row: _Row, column: str, where: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{where} has {row[column]!r} as {column}: give a number.")
    return value


def _slice_of(positions: NDArray[np.float64], where: str) -> int:
    """The slice that holds all positions; half way belongs to the upper one."""
    low, high = nearest([positions.min(), positions.max()]).tolist()
    if low != high:
        raise ValueError(
            f"{where} reaches from slice {low} to {high}: draw it on one "
            "slice, across the axis that objects are followed along."
        )
    if low < 0:
        raise ValueError(f"{where} lies on slice {low}: slices begin at 0.")
    return int(low)


def _number_in(row: _Row, where: str) -> int | None:
    """Number of the object; None where the cell is empty or there is no column."""
    text = row.get(OBJECT, "").strip()
    if text.lower() in ("", "nan", "none"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    return _check_object(int(value) if value.is_integer() else text, where)


def _check_object(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"{where}: Object id {value} is not a label: use whole numbers from 1."
        )
    return value


def _point_label(row: _Row, where: str) -> int:
    """As the panel reads layers; only that words must be known ones in `polarity`."""
    column = next((name for name in (POLARITY, "label") if name in row), None)
    if column is None:
        return POSITIVE
    label = label_from_polarity(row[column])
    if label is None and column == POLARITY:
        raise ValueError(
            f"{where} has polarity {row[column]!r}: write positive or negative."
        )
    return POSITIVE if label is None else label


def _shape_prompt(
    vertices: NDArray[np.float64],
    kind: str,
    where: str,
    plane_shape: _PlaneShape | None,
) -> Prompt:
    """Lines give points along them, closed shapes their box.

    Ellipses and polygons give their inside as a mask as well, for models that know
    masks.
    """
    if kind not in (*_CLOSED, *_OPEN):
        names = ", ".join((*_CLOSED, *_OPEN))
        raise ValueError(f"{where} is a {kind!r}: give one of {names}.")
    if plane_shape is None:
        rows, cols = np.maximum(np.ceil(vertices.max(axis=0)) + 1, 0).astype(int)
        plane_shape = int(rows), int(cols)
    return shape_prompt(vertices, kind, plane_shape)


def _json_entries(path: str | Path, ndim: int) -> Iterator[PromptEntry]:
    content = read_json(path)
    if isinstance(content, list):
        for number, given in enumerate(content, start=1):
            yield _json_entry(given, f"{path}, entry {number}", path, ndim)
    elif isinstance(content, dict) and ndim == 3:
        yield from _nested_entries(path, content)
    else:
        kind = "dict or list" if ndim == 3 else "list"
        raise ValueError(f"{path} holds no {kind} of prompts; see --help.")


def _json_entry(given: Any, where: str, path: str | Path, ndim: int) -> PromptEntry:
    if not isinstance(given, dict):
        return PromptEntry(where, 0, _json_prompt(given, where))
    rest = dict(given)
    number, index = rest.pop(OBJECT, None), rest.pop(SLICE, None)
    prompt = _json_prompt(rest, where)
    if number is not None:
        number = _check_object(number, where)
    if ndim == 2:
        if index is not None:
            raise ValueError(
                f"{where} names a slice, and the image is one plane: leave it out."
            )
        return PromptEntry(where, 0, prompt, number)
    if index is None:
        raise ValueError(
            f"{where} names no slice, and {path} holds no dict of prompts by object "
            'and slice: add "slice": 12 for slice 12.'
        )
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ValueError(f"{where}: {index!r} is not a slice: give a number from 0.")
    return PromptEntry(where, index, prompt, number)


def _nested_entries(path: str | Path, content: dict[str, Any]) -> Iterator[PromptEntry]:
    """Entries of {object: {slice: prompt}}."""
    for object_id, slices in content.items():
        if not isinstance(slices, dict):
            raise ValueError(f"{path}: object {object_id} has no slices; see --help.")
        for index, given in slices.items():
            for text in (object_id, index):
                if not text.strip().isdecimal():
                    raise ValueError(
                        f"{path}: {text!r} is not a slice or object number."
                    )
            where = f"{path}, object {object_id}, slice {index}"
            number = _check_object(int(object_id), where)
            yield PromptEntry(where, int(index), _json_prompt(given, where), number)


def _json_prompt(given: Any, where: str) -> Prompt:
    try:
        prompt = prompt_from_json(given)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not prompt.kinds:
        raise ValueError(f"{where}: The prompt is empty: give points, a box or both.")
    return prompt
