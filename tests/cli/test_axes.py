"""Axes of image files on the command line: any order, and what is walked."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_sam.images.reading.read import read_image
from tests.helpers import image_files
from tests.helpers.command_line import load_always, run, write_stack
from tests.helpers.discs import PLANE, DiscPredictor, discs
from tests.helpers.image_files import BOX, SHOWN, SPACING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.models import World

pytestmark = pytest.mark.usefixtures("world")

R0, C0 = BOX["Y"].start, BOX["X"].start
R1, C1 = BOX["Y"].stop - 1, BOX["X"].stop - 1
BOX_TEXT = f"{R0},{C0},{R1},{C1}"


def segment_object(path: Path, axes: str) -> np.ndarray:
    """Segment the object where it is shown; return the labels as written."""
    index = ",".join(f"{name}={i}" for name, i in SHOWN.items() if name in axes)
    verb, box = ("volume", f"1:{BOX_TEXT}") if "Z" in axes else ("segment", BOX_TEXT)
    arguments = (verb, path, "--index", index, "--box", box, "--overwrite")
    assert run(*arguments) == 0
    labels: np.ndarray = tifffile.imread(path.with_name("image_labels.tif"))
    return labels


@pytest.mark.parametrize("part", range(16))
def test_labels_lie_on_the_object_in_the_order_of_the_file(
    tmp_path: Path, part: int
) -> None:
    for axes in image_files.AXES[part::16]:
        path = image_files.write(tmp_path / "image.tif", image_files.pixels(axes), axes)
        order = "".join(name for name in axes if name in "ZYX")
        assert_array_equal(segment_object(path, axes), image_files.mask(order))
        written = read_image(tmp_path / "image_labels.tif")
        assert written.order == order
        assert written.spacing == {name: SPACING[name] for name in order}


@pytest.mark.parametrize("axes", ["YXZ", "ZXY", "XTY", "CYXZ", "SYXZ", "XSYZ"])
def test_records_of_any_order_replay(tmp_path: Path, axes: str) -> None:
    path = image_files.write(tmp_path / "image.tif", image_files.pixels(axes), axes)
    index = "C=1" if "C" in axes else ""
    record = tmp_path / "record.json"
    box = ("--box", f"1:{BOX_TEXT}")
    arguments = ("volume", path, "--index", index, *box, "--record", record)
    assert run(*arguments) == 0
    assert run("replay", record) == 0
    made, again = tmp_path / "image_labels.tif", tmp_path / "record_labels.tif"
    assert tifffile.imread(made).any()
    assert_array_equal(tifffile.imread(made), tifffile.imread(again))
    assert read_image(made).order == read_image(again).order
    assert read_image(made).spacing == read_image(again).spacing


def test_a_record_keeps_series_and_axes(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for data in (np.zeros((3, 11, 14), np.uint8), image_files.pixels("ZYX")):
            file.write(data, photometric="minisblack", metadata={"axes": "TYX"})
    record = tmp_path / "record.json"
    chosen = ("--series", 1, "--axes", "zyx")
    arguments = (*chosen, "--box", f"1:{BOX_TEXT}", "--record", record)
    assert run("volume", path, *arguments) == 0
    entry = json.loads(record.read_text(encoding="utf-8"))["objects"]["1"][0]
    assert entry["image"]["series"] == "1"
    assert entry["image"]["axes"] == "zyx"
    assert run("replay", record) == 0
    labels = read_image(tmp_path / "record_labels.tif")
    assert labels.axes == "ZYX"
    assert_array_equal(labels.data, image_files.mask("ZYX"))


@pytest.mark.parametrize("name", list("CMLVK"))
@pytest.mark.parametrize("verb", ["volume", "everything"])
def test_channels_are_not_walked_unless_named(
    tmp_path: Path, capsys: Any, world: World, name: str, verb: str
) -> None:
    axes = f"{name}YX"
    stored = image_files.pixels("ZYX")
    path = image_files.write(tmp_path / "image.tif", stored, axes)
    box = ("--box", f"1:{BOX_TEXT}") if verb == "volume" else ()
    assert run(verb, path, *box) == 1
    error = capsys.readouterr().err
    assert f"axis {name} of the image" in error
    assert f"--index {name}=0" in error
    assert not world.embedded
    assert sorted(tmp_path.iterdir()) == [path]
    for axis in (name, name.lower(), 0):
        if verb == "volume":
            assert run(verb, path, *box, "--axis", axis, "--overwrite") == 0
            written = tifffile.imread(tmp_path / "image_labels.tif")
            assert_array_equal(written, image_files.mask("ZYX"))


def test_everything_walks_the_axis_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_always(monkeypatch, DiscPredictor("box"))
    stack = np.stack([PLANE] * 3)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "CYX"}, photometric="minisblack")
    assert run("everything", path) == 1
    assert run("everything", path, "--axis", "C") == 0
    labels = tifffile.imread(tmp_path / "image_labels.tif")
    assert_array_equal(labels > 0, np.stack([discs() > 0] * 3))


@pytest.mark.parametrize("axis", ["Y", "y", "1"])
def test_a_plane_across_another_axis(tmp_path: Path, capsys: Any, axis: str) -> None:
    stack = np.zeros((20, 9, 30), np.uint8)
    stack[5:15, 4, 8:20] = 200
    path = write_stack(tmp_path, stack)
    arguments = ("segment", path, "--box", "5,8,14,19", "--axis", axis)
    assert run(*arguments, "--index", "Z=3") == 1
    assert "choose one plane across this axis" in capsys.readouterr().err
    assert run(*arguments, "--index", "Y=4") == 0
    written = read_image(tmp_path / "stack_labels.tif")
    assert (written.axes, written.spacing) == ("ZX", {"Z": 2.0, "X": 0.5})
    assert_array_equal(written.data, stack[:, 4] > 0)


def test_axes_can_be_named(tmp_path: Path) -> None:
    path = image_files.write(tmp_path / "image.tif", image_files.pixels("ZYX"), "CYX")
    arguments = ("volume", path, "--box", f"1:{BOX_TEXT}", "--axes", "ZYX")
    assert run(*arguments) == 0
    written = read_image(tmp_path / "image_labels.tif")
    assert written.axes == "ZYX"
    assert_array_equal(written.data, image_files.mask("ZYX"))


@pytest.mark.parametrize("axes", ["YXZ", "YZX"])
def test_columns_of_tables_are_in_the_order_of_the_file(
    tmp_path: Path, axes: str
) -> None:
    path = image_files.write(tmp_path / "image.tif", image_files.pixels(axes), axes)
    corners = [(R0, C0), (R0, C1), (R1, C1), (R1, C0)]
    lines = ["index,shape-type,vertex-index,axis-0,axis-1,axis-2"]
    for i, (row, col) in enumerate(corners):
        place = {"Z": 1, "Y": row, "X": col}
        values = ",".join(str(place[name]) for name in axes)
        lines.append(f"0,rectangle,{i},{values}")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(lines), encoding="utf-8")
    assert run("volume", path, "--prompts", boxes) == 0
    written = tifffile.imread(tmp_path / "image_labels.tif")
    assert_array_equal(written, image_files.mask(axes))


@pytest.mark.parametrize("size", [0.0, float("nan"), -0.5])
def test_a_table_of_unknown_spacing_is_in_pixels(
    tmp_path: Path, capsys: Any, size: float
) -> None:
    stored = image_files.pixels("ZYX")
    sizes = {"PhysicalSizeZ": size}
    path = image_files.write(tmp_path / "image.tif", stored, "ZYX", **sizes)
    table = tmp_path / "table.csv"
    arguments = ("volume", path, "--box", f"1:{BOX_TEXT}", "--table", table)
    assert run(*arguments) == 0
    assert capsys.readouterr().err.count("taken as unknown") == 1
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert any("pixel" in name for name in row)
    assert read_image(tmp_path / "image_labels.tif").spacing == {"Y": 0.25, "X": 0.5}
