"""CSV as napari, spreadsheets and scripts write it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.prompts.csv_table import read_table

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ["index", "axis-0", "axis-1", "note"]

cells = st.text("abc 1.5,;\t'\"#ä", max_size=5)
rows = st.lists(st.tuples(cells, cells, cells, cells), max_size=4)


@given(
    rows=rows,
    delimiter=st.sampled_from(",;\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    before=st.sampled_from(["", "# a comment\n", "\n", "sep=;\n"]),
)
def test_every_dialect(
    rows: list[tuple[str, ...]],
    delimiter: str,
    quoting: int,
    end: str,
    encoding: str,
    before: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([HEADER, *rows])
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes((before + text.getvalue()).encode(encoding))
    table = read_table(path)
    expected = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(rows, start=1)
        if any(cell.strip() for cell in row) and not row[0].startswith("#")
    ]
    assert table.columns == HEADER
    assert [(number, list(row.values())) for number, row in table.rows] == expected
    assert table.decimal_comma == (delimiter != ",")


@pytest.mark.parametrize(
    "header",
    ["Axis-0,AXIS-1", '"axis-0","axis-1"', " axis_0 , axis 1", "# axis-0,axis-1"],
)
def test_headers_are_spelled_in_one_way(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n1,2\n")
    assert read_table(path).columns == ["axis-0", "axis-1"]


@pytest.mark.parametrize(
    "end", ["", "\n", "\n\n\n", "\n,\n", "\n,,,\n \n", "\n# end\n"]
)
def test_empty_rows_are_left_out(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"axis-0,axis-1\n\n# points\n1,2{end}")
    assert read_table(path).rows == [(3, {"axis-0": "1", "axis-1": "2"})]


def test_delimiters_at_the_end_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("axis-0;axis-1\n1;2;\n3;4;;\n")
    assert [list(row.values()) for _, row in read_table(path).rows] == [
        ["1", "2"],
        ["3", "4"],
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("1,5", 1.5), ("-0,25", -0.25), ("1.5", 1.5), ("1e-3", 0.001)]
)
def test_decimal_commas(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"axis-0;axis-1\n{text};2\n")
    table = read_table(path)
    assert table.number(table.rows[0][1]["axis-0"]) == value


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "axis-0,axis-1\n1\n",
            "row 1 has 1 values for 2 columns: save the layer again",
        ),
        ("axis-0,axis-1\n1,5,2,5\n", "row 1 has 4 values .*decimal commas need semi"),
        ("axis-0,Axis_0\n1,2\n", "several columns named axis-0: leave one"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"a\.csv.*{sentence}"):
        read_table(path)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("axis-0,axis-1\n1,2\n")
    table = read_table(path)
    for text in ("1,5", "a", "", "1.234,5"):
        assert table.number(text) != table.number(text)
