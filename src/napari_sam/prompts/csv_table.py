"""Tables from CSV files as napari, spreadsheets and scripts write them."""

from __future__ import annotations

import codecs
import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.files import check_file

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, str]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DELIMITERS = ",;\t"
_COMMENT = "#"
_AXIS = "axis-"
_MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class CsvTable:
    """Columns and rows of a CSV file.

    Parameters
    ----------
    columns : list of str
        Names, in lower case and with hyphens.
    rows : list of (int, dict)
        Number of the row, from 1 after the header, and its cells by column. Rows
        without content are left out, but counted.
    decimal_comma : bool
        Whether numbers may have a decimal comma, as the columns are separated by
        something else.
    """

    columns: list[str]
    rows: list[tuple[int, Row]]
    decimal_comma: bool

    def describe_columns(self) -> str:
        """Name the columns in a message; damaged ones may hold half the file."""
        return ", ".join(map(_shown, self.columns)) or "(none)"

    def number(self, text: str) -> float:
        """Read a number; NaN when it is none."""
        if self.decimal_comma and "." not in text:
            text = text.replace(",", ".")
        try:
            return float(text)
        except ValueError:
            return math.nan


def read_table(path: str | Path) -> CsvTable:
    """Read a CSV file with a header.

    Columns are separated by commas, semicolons or tabs; the header tells by which.
    Empty rows and lines that begin with # are left out. The encoding is UTF-8, or
    UTF-16 with a byte order mark.

    Raises
    ------
    ValueError
        When the file is not CSV, or a row has other columns than the header.
    OSError
        When the file cannot be read.
    """
    check_file(path)
    data = Path(path).read_bytes()
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        lines = list(io.StringIO(data.decode(encoding), newline=None))
        while lines and not _is_header(lines[0].strip().lower()):
            del lines[0]
        delimiter = _find_delimiter(lines[0]) if lines else ","
        table = list(csv.reader(lines, delimiter=delimiter))
    except (ValueError, csv.Error) as error:  # ValueError: encoding
        raise ValueError(
            f"{path} is not CSV in UTF-8 ({error}): save the layer again."
        ) from error
    columns = [_column(name) for name in table[0]] if table else []
    twice = {name for name in columns if name and columns.count(name) > 1}
    if twice:
        raise ValueError(
            f"{path} has several columns named {', '.join(map(_shown, sorted(twice)))}"
            ": leave one."
        )
    rows = list(_rows(path, columns, table[1:], delimiter))
    return CsvTable(columns, rows, delimiter != ",")


def _shown(name: str) -> str:
    return " ".join(name.split())[:_MAX_NAME]


def _is_header(line: str) -> bool:
    """Tell whether a line is no empty line, comment or hint for spreadsheets."""
    is_comment = line.startswith(_COMMENT) and _AXIS not in line.replace("_", "-")
    return bool(line) and not is_comment and not line.startswith("sep=")


def _find_delimiter(header: str) -> str:
    """Return the delimiter that gives most columns of axes, or else most columns."""

    def count(delimiter: str) -> tuple[int, int]:
        names = [
            _column(name) for name in next(csv.reader([header], delimiter=delimiter))
        ]
        return sum(name.startswith(_AXIS) for name in names), len(names)

    return max(_DELIMITERS, key=count)


def _column(name: str) -> str:
    """Spell a column name in one way: "# Axis_0" is axis-0."""
    return name.strip(f"{_COMMENT} \t").lower().replace("_", "-").replace(" ", "-")


def _rows(
    path: str | Path, columns: list[str], rows: list[list[str]], delimiter: str
) -> Iterator[tuple[int, Row]]:
    for number, cells in enumerate(rows, start=1):
        is_comment = bool(cells) and cells[0].startswith(_COMMENT)
        if is_comment or not any(cell.strip() for cell in cells):
            continue
        # Spreadsheets and scripts end rows with delimiters that the header lacks.
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(columns):
            cure = "save the layer again"
            if len(cells) > len(columns) and delimiter == ",":
                cure = "numbers with decimal commas need semicolons between columns"
            raise ValueError(
                f"{path}, row {number} has {len(cells)} values for {len(columns)} "
                f"columns: {cure}."
            )
        yield (
            number,
            {name: cell.strip() for name, cell in zip(columns, cells, strict=True)},
        )
