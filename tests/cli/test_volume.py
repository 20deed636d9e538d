"""`napari-sam volume`: prompt files, clean-up, table."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_sam.masks.cleanup import CleanUp
from tests.helpers.cleanup import clean_up_labels
from tests.helpers.command_line import labels_of, read_labels, run, write_stack
from tests.helpers.scenes import BALL, SMALL, lit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.models import World

pytestmark = pytest.mark.usefixtures("world")

BALL_BOX, SMALL_BOX = (5, 6, 25, 30), (29, 31, 37, 41)
BALL_ON_6 = ("--box", "6:5,6,25,30")
POINTS = "index,axis-0,axis-1,axis-2"
SHAPES = "index,shape-type,vertex-index,axis-0,axis-1,axis-2"


def rectangle(number: int, index: int, box: tuple[int, ...]) -> str:
    r0, c0, r1, c1 = box
    corners = ((r0, c0), (r0, c1), (r1, c1), (r1, c0))
    return "".join(
        f"{number},rectangle,{vertex},{index},{row},{col}\n"
        for vertex, (row, col) in enumerate(corners)
    )


def write(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def boxes(folder: Path) -> Path:
    """Boxes of both objects, as napari saves a layer."""
    lines = rectangle(0, 6, BALL_BOX), rectangle(1, 8, SMALL_BOX)
    return write(folder / "boxes.csv", f"{SHAPES}\n{''.join(lines)}")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- prompts -------------------------------------------------------------------


def test_boxes_saved_by_napari(stack: Path) -> None:
    assert run("volume", stack, "--prompts", boxes(stack.parent)) == 0
    assert_array_equal(labels_of(stack), BALL + 2 * SMALL)


def test_numbered_points_join_boxes_of_several_slices(stack: Path) -> None:
    shapes = rectangle(0, 5, BALL_BOX), rectangle(1, 7, BALL_BOX)
    points = f"{POINTS},object\n0,5,15,18,3.0\n1,7,15,18,3.0\n2,8,33,36,1.0\n"
    files = (
        *("--prompts", write(stack.with_name("a.csv"), f"{SHAPES}\n{''.join(shapes)}")),
        *("--prompts", write(stack.with_name("b.CSV"), points)),
    )
    assert run("volume", stack, *files) == 0
    assert_array_equal(labels_of(stack), 3 * BALL + SMALL)


def test_prompt_list_and_box_option(stack: Path) -> None:
    prompts = [{"object": 4, "slice": 8, "box": SMALL_BOX}]
    given = ("--prompts", write(stack.with_name("a.json"), prompts))
    assert run("volume", stack, *given, *BALL_ON_6) == 0
    assert_array_equal(labels_of(stack), 4 * SMALL + 5 * BALL)


def test_saved_boxes_along_another_axis(tmp_path: Path) -> None:
    # Rows of the table are (row, col, slice) then.
    path = write_stack(tmp_path, np.moveaxis(lit(BALL), 0, 2))
    lines = [line.split(",") for line in rectangle(0, 6, BALL_BOX).splitlines()]
    turned = "\n".join(",".join([*row[:3], row[4], row[5], row[3]]) for row in lines)
    prompts = write(tmp_path / "boxes.csv", f"{SHAPES}\n{turned}\n")
    assert run("volume", path, "--axis", 2, "--prompts", prompts) == 0
    assert_array_equal(np.moveaxis(labels_of(path), 2, 0), BALL)


def test_saved_layers_of_a_plane(tmp_path: Path) -> None:
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, lit(BALL | SMALL)[7])
    points = write(tmp_path / "p.csv", "index,axis-0,axis-1\n0,15.0,18.0\n")
    corners = ((29, 31), (29, 41), (37, 41), (37, 31))
    rows = [
        f"0,polygon,{vertex},{row},{col}" for vertex, (row, col) in enumerate(corners)
    ]
    lines = ["index,shape-type,vertex-index,axis-0,axis-1", *rows]
    shapes = write(tmp_path / "s.csv", "\n".join(lines))
    assert run("segment", path, "--prompts", points, "--prompts", shapes) == 0
    labels = labels_of(path)
    assert labels[15, 18] == 1
    assert_array_equal(labels == 2, SMALL[7])


# -- clean-up ------------------------------------------------------------------


def ball_with_defects() -> np.ndarray:
    """A ball with a hole on one slice, and a bright spot beside it in its box."""
    volume = lit(BALL)
    volume[6, 14:17, 17:20] = 20
    volume[6, 5:7, 6:8] = 200
    return volume


def test_clean_up_is_reported(tmp_path: Path, capsys: Any) -> None:
    path = write_stack(tmp_path, ball_with_defects())
    assert run("volume", path, *BALL_ON_6, "--fill-holes", "--keep-prompted") == 0
    assert_array_equal(labels_of(path), BALL)
    line = "object 1: clean-up removed 4 voxels and added 9\n"
    assert line in capsys.readouterr().out


def test_each_clean_up_option(tmp_path: Path) -> None:
    path = write_stack(tmp_path, ball_with_defects())
    assert run("volume", path, *BALL_ON_6) == 0
    raw = labels_of(path)
    for words, cleanup in (
        (("--fill-holes",), CleanUp(fill_holes=True)),
        (("--keep-prompted",), CleanUp(keep_prompted=True)),
        (("--min-size", "5"), CleanUp(min_size=5)),
        (("--smooth", "1.5"), CleanUp(smooth=1.5)),
    ):
        assert run("volume", path, *BALL_ON_6, *words, "--overwrite") == 0
        expected = clean_up_labels(raw, cleanup, seeds={1: [(6, 20, 18)]})
        assert (expected != raw).any()
        assert_array_equal(labels_of(path), expected)


def test_smoothing_is_in_the_unit_of_the_spacing(tmp_path: Path) -> None:
    path = write_stack(tmp_path, ball_with_defects())
    assert run("volume", path, *BALL_ON_6, "--smooth", 1) == 0
    in_slices = labels_of(path)
    spacing = ("--spacing", 5, 1, 1)
    again = ("--smooth", 5, *spacing, "--overwrite")
    assert run("volume", path, *BALL_ON_6, *again) == 0
    assert_array_equal(labels_of(path), in_slices)


def test_replay_includes_the_clean_up(tmp_path: Path) -> None:
    path, record = write_stack(tmp_path, ball_with_defects()), tmp_path / "made.json"
    tidy = ("--fill-holes", "--keep-prompted", "--smooth", 0.5)
    assert run("volume", path, *BALL_ON_6, *tidy, "--record", record) == 0
    again = tmp_path / "again.tif"
    assert run("replay", record, "-o", again) == 0
    assert_array_equal(read_labels(again), labels_of(path))


def test_keep_prompted_keeps_clicked_parts(tmp_path: Path) -> None:
    path = write_stack(tmp_path, ball_with_defects())
    points = [[5, 6], [15, 10]]
    prompts = [{"slice": 6, "box": BALL_BOX, "points": points}]
    given = ("--prompts", write(tmp_path / "a.json", prompts), "--keep-prompted")
    assert run("volume", path, *given) == 0
    assert labels_of(path)[6, 5, 6] == 1


@pytest.mark.parametrize(
    ("words", "axis"), [(("--axis", "y"), 1), (("--axis", "-1"), 2), ((), 0)]
)
def test_axis_by_name_or_number(stack: Path, words: tuple[str, ...], axis: int) -> None:
    inside = np.argwhere(BALL)[len(np.argwhere(BALL)) // 2]
    corner = np.delete(inside, axis)
    row, col = corner.tolist()
    box = f"{inside[axis]}:{row - 8},{col - 8},{row + 8},{col + 8}"
    assert run("volume", stack, "--box", box, *words) == 0
    found = labels_of(stack)
    assert found[tuple(inside)] == 1


@pytest.mark.parametrize("name", ["T", "3", "-4", "zy", ""])
def test_unknown_axis(stack: Path, capsys: Any, name: str) -> None:
    assert run("volume", stack, *BALL_ON_6, f"--axis={name}") == 1
    assert f"no axis {name!r}" in capsys.readouterr().err


# -- the table -----------------------------------------------------------------


def test_table_in_the_units_of_the_file(stack: Path, capsys: Any) -> None:
    out = stack.with_name("objects.csv")
    given = ("--prompts", boxes(stack.parent), "--table", out)
    assert run("volume", stack, *given) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    ball, small = table(out)
    assert (ball["label"], small["label"]) == ("1", "2")
    assert int(ball["voxels"]) == BALL.sum()
    assert float(ball["volume (µm^3)"]) == BALL.sum() * 2 * 0.5 * 0.5
    assert (ball["first_slice"], ball["last_slice"]) == ("2", "10")
    assert float(ball["lowest_score"]) == 0.9
    centroid = [float(small[f"centroid-{axis} (µm)"]) for axis in range(3)]
    assert centroid == pytest.approx([16, 16.5, 18], abs=0.3)


def test_table_with_given_spacing_and_unit(stack: Path) -> None:
    out = stack.with_name("objects.csv")
    given = ("--table", out, "--spacing", 3, 1, 1, "--unit", "mm")
    assert run("volume", stack, *BALL_ON_6, *given) == 0
    (ball,) = table(out)
    assert float(ball["volume (mm^3)"]) == 3 * BALL.sum()


def test_table_of_a_file_without_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, lit(BALL), metadata={"axes": "ZYX"})
    out = tmp_path / "objects.csv"
    assert run("volume", path, *BALL_ON_6, "--table", out) == 0
    (ball,) = table(out)
    assert float(ball["volume (pixel^3)"]) == BALL.sum()


def test_table_of_cleaned_objects(tmp_path: Path) -> None:
    path, out = write_stack(tmp_path, ball_with_defects()), tmp_path / "objects.csv"
    given = ("--fill-holes", "--min-size", 5, "--table", out)
    assert run("volume", path, *BALL_ON_6, *given) == 0
    assert int(table(out)[0]["voxels"]) == BALL.sum()


def test_existing_table_is_replaced_only_with_overwrite(
    stack: Path, capsys: Any
) -> None:
    out = write(stack.with_name("objects.csv"), "hours of work")
    assert run("volume", stack, *BALL_ON_6, "--table", out) == 1
    assert "exists: name another file with --table, or" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "hours of work"
    assert not stack.with_name("stack_labels.tif").exists()
    assert run("volume", stack, *BALL_ON_6, "--table", out, "--overwrite") == 0
    assert table(out)


# -- errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--table", "STACK"), "--table .* is the image itself"),
        (("--table", "PROMPTS", "--overwrite"), "is the file of prompts itself"),
        (("--table", "a", "-o", "a"), "is the file of labels itself"),
        (("--table", "a", "--record", "a"), "is the record itself"),
        (("--table", "a.tif"), r"tables are CSV, name it \.csv"),
        (("--table", "no/such/a.csv"), "no/such does not exist: make it first"),
        (("-o", "PROMPTS", "--overwrite"), "is the file of prompts itself"),
        (("--smooth", "-1"), "smooth=-1.0: give"),
        (("--smooth", "nan"), "smooth=nan: give"),
        (("--min-size", "-1"), "min_size=-1: give"),
        (("--unit", "mm"), "--unit .* give both"),
        (("--spacing", "1", "1", "1"), "--spacing is for --table and --smooth"),
        (("--table", "a.csv", "--spacing", "0", "1", "1"), "one positive number"),
        (("--prompts", "none.csv"), r"none\.csv"),
        (
            ("--prompts", "FLAT"),
            r"flat\.csv has the columns .* axis-2, as many axes as",
        ),
        (("--prompts", "FAR"), "slice 99, the stack has slices 0 to 13"),
    ],
)
def test_errors(
    stack: Path, world: World, capsys: Any, arguments: tuple[str, ...], message: str
) -> None:
    paths = {
        "STACK": stack,
        "PROMPTS": boxes(stack.parent),
        "FLAT": write(stack.with_name("flat.csv"), "axis-0,axis-1\n1,2\n"),
        "FAR": write(stack.with_name("far.csv"), f"{POINTS}\n0,99,2,3\n"),
    }
    before = {path: path.read_bytes() for path in stack.parent.iterdir()}
    words = [paths.get(word, word) for word in arguments]
    assert run("volume", stack, "--prompts", paths["PROMPTS"], *words) == 1
    error = capsys.readouterr().err
    assert error.startswith("napari-sam: ")
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not world.embedded
    assert {path: path.read_bytes() for path in stack.parent.iterdir()} == before
