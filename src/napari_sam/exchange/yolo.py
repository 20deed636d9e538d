"""YOLO's text files: one line for each object, in fractions of the image's sides.

A line is a class and a polygon, or a class and a box. The holes and the parts of an
object are joined into one polygon by seams without a width.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.exchange.annotation import (
    Annotation,
    AnnotationFile,
    box_corners,
    from_corner,
    read_id,
)
from napari_sam.exchange.label_classes import NO_CLASSES, UNNAMED
from napari_sam.exchange.outlines import trace_labels
from napari_sam.files import atomic_write, read_json
from napari_sam.prompts.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.exchange.label_classes import LabelClasses

_DIGITS = 8
DATA_FILE = "data.yaml"
_NAME = re.compile(r"^\s+(\d+):\s*(.+?)\s*$", re.MULTILINE)
_BOX, _SCORED_BOX = 4, 5


def write_yolo(
    path: Path,
    labels: NDArray[Any],
    classes: LabelClasses = NO_CLASSES,
    order: Sequence[str] = (UNNAMED,),
) -> tuple[int, ...]:
    """Write a polygon for each label, and return the labels in order of the lines.

    Parameters
    ----------
    path : Path
        File to write.
    labels : ndarray
        (H, W) integers from 0.
    classes : LabelClasses
        Classes of the labels.
    order : sequence of str
        All classes, in the order of their numbers from 0.
    """
    indices = {name: index for index, name in enumerate(order)}
    sides = np.array(labels.shape)[::-1]
    numbers = []
    with path.open("w", encoding="utf-8") as file:
        for outline in trace_labels(labels):
            numbers.append(outline.label)
            ring = _with_seams([r for polygon in outline.polygons for r in polygon])
            fractions = (ring[:, ::-1] / sides).ravel().tolist()
            values = " ".join(f"{value:.{_DIGITS}g}" for value in fractions)
            kind = indices[classes.of(outline.label) or UNNAMED]
            file.write(f"{kind} {values}\n")
    return tuple(numbers)


def check_names(path: Path, order: Sequence[str]) -> None:
    """Check that data.yaml beside a text may be written.

    Raises
    ------
    ValueError
        When it is there with other classes.
    """
    known = _names_in(path.with_name(DATA_FILE))
    if known is not None and order != [UNNAMED] and known != dict(enumerate(order)):
        raise ValueError(
            f"{path.with_name(DATA_FILE)} has other classes than {', '.join(order)}: "
            "write to another folder, or delete it."
        )


def write_names(path: Path, order: Sequence[str]) -> None:
    """Write data.yaml beside a text: the names of the numbers of classes.

    It is not written where there are no classes. Each name is a JSON string, which
    YAML reads, too.
    """
    data = path.with_name(DATA_FILE)
    if order == [UNNAMED] or data.exists():
        return
    lines = [f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(order)]
    with atomic_write(data) as part:
        part.write_text("names:\n" + "".join(lines), encoding="utf-8")


def _read_names(path: Path) -> dict[int, str]:
    """Read the names of classes from data.yaml beside a text, or a folder above."""
    for folder in (path.parent, path.parent.parent):
        names = _names_in(folder / DATA_FILE)
        if names is not None:
            return names
    return {}


def _names_in(path: Path) -> dict[int, str] | None:
    """Read data.yaml; None when there is none.

    Only lines with a number and a quoted or plain name are read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return None
    found = {}
    for number, name in _NAME.findall(text.partition("names:")[2]):
        try:
            found[int(number)] = str(json.loads(name))
        except ValueError:
            found[int(number)] = name.strip("'\"")
    return found


def ids_path(path: Path) -> Path:
    """Return the file beside the text, for ids other than 1, 2, 3, ..."""
    return path.with_suffix(".ids.json")


def write_ids(path: Path, numbers: tuple[int, ...]) -> None:
    """Write the ids of the lines beside the text, where they are not 1, 2, 3, ...

    Raises
    ------
    ValueError
        When there is a file of this name with other content.
    """
    beside = ids_path(path)
    if beside.exists() and not isinstance(read_json(beside), list):
        raise ValueError(f"{beside} holds no ids of labels: rename it, or {path.name}.")
    if numbers == tuple(range(1, len(numbers) + 1)):
        beside.unlink(missing_ok=True)  # of an earlier export to this name
        return
    with atomic_write(beside) as part:
        part.write_text(json.dumps(numbers), encoding="utf-8")


def _with_seams(rings: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join rings by seams from the first corner of the first ring and back."""
    if len(rings) == 1:
        return rings[0]
    start = rings[0][:1]
    parts = [np.concatenate([ring, ring[:1], start]) for ring in rings[1:]]
    return np.concatenate([rings[0], start, *parts])


def read_yolo(path: Path, shape: tuple[int, int]) -> AnnotationFile:
    """Read the lines.

    Parameters
    ----------
    path : Path
        Text file.
    shape : tuple of int
        (H, W) of the image.

    Raises
    ------
    ValueError
        When a line is damaged, as the annotations are read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise ValueError(f"{path} is no text in UTF-8: export it again.") from error
    lines = [
        (n, line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    numbers: list[Any] = []
    if ids_path(path).is_file():
        numbers = read_json(ids_path(path))
        if not isinstance(numbers, list) or len(numbers) != len(lines):
            raise ValueError(
                f"{ids_path(path)} does not fit {path}: delete it, or export again."
            )
    return AnnotationFile(_annotations(path, lines, numbers, shape), Ignored(), shape)


def _annotations(
    path: Path,
    lines: list[tuple[int, list[str]]],
    numbers: list[Any],
    shape: tuple[int, int],
) -> Iterator[Annotation]:
    sides = np.array(shape[::-1], float)
    names = _read_names(path)
    for index, (line, words) in enumerate(lines):
        source = f"{path}, line {line}"
        try:
            kind, *values = map(float, words)
        except ValueError:
            kind, values = math.nan, []
        is_box = len(values) in (_BOX, _SCORED_BOX)
        is_polygon = len(values) >= 6 and len(values) % 2 == 0
        if (
            not kind.is_integer()
            or not (is_box or is_polygon)
            or not all(map(math.isfinite, values))
        ):
            raise ValueError(
                f"{source} is not a class and the fractions of a polygon or box: "
                "export it again."
            )
        about: dict[str, Any] = {
            "source": source,
            "object_id": read_id(numbers[index]) if numbers else None,
            "name": names.get(int(kind), str(int(kind))),
        }
        if is_box:
            centre = np.array(values[:2]) * sides
            half = np.array(values[2:4]) * sides / 2
            corners = box_corners([*(centre - half), *(centre + half)], source)
            yield Annotation(kind="rectangle", vertices=corners, **about)
        else:
            ring = from_corner(np.reshape(values, (-1, 2)) * sides, source, 3)
            yield Annotation(kind="polygon", polygons=[[ring]], **about)
