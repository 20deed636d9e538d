"""`napari-sam everything`: planes, stacks, clean-up, records, tables, errors."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.api.planes import segment_everything
from napari_sam.api.stacks import segment_everything_volume
from napari_sam.automatic.candidates import Thresholds
from napari_sam.images.reading.read import read_image
from tests.helpers.command_line import (
    labels_of,
    load_always,
    run,
    write_plane,
    write_stack,
)
from tests.helpers.discs import DISCS, PLANE, DiscPredictor, discs, same_objects
from tests.helpers.instances import InstancePredictor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> DiscPredictor:
    """The box-only model that all verbs load."""
    model = DiscPredictor("box")
    load_always(monkeypatch, model)
    return model


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    return write_plane(tmp_path, PLANE)


def moving_discs() -> np.ndarray:
    """Discs that move by a row from slice to slice."""
    return np.stack([np.roll(PLANE, shift, axis=0) for shift in range(3)])


def test_a_plane_gives_labels_and_a_line_for_each_object(
    plane: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("everything", plane) == 0
    same_objects(labels_of(plane), discs())
    lines = capsys.readouterr().out.splitlines()
    assert "box" in lines[0]
    assert sum(line.startswith("object ") for line in lines) == len(DISCS)


def test_min_size_leaves_out_small_objects(plane: Path) -> None:
    smallest = int(np.bincount(discs().ravel())[1:].min())
    assert run("everything", plane, "--min-size", smallest + 1) == 0
    assert labels_of(plane).max() == len(DISCS) - 1


def test_labels_equal_those_of_the_function(model: DiscPredictor, plane: Path) -> None:
    options = ("--min-size", 300, "--quality-thresh", 0.5)
    assert run("everything", plane, *options) == 0
    thresholds = Thresholds(min_size=300, quality_thresh=0.5)
    expected = segment_everything(PLANE, model, thresholds=thresholds)
    assert np.array_equal(labels_of(plane), expected)


def test_a_region_limits_the_search(tmp_path: Path, plane: Path) -> None:
    assert run("everything", plane, "--region", "0,0,44,109") == 0
    upper = np.where(np.isin(discs(), [1, 2]), discs(), 0)
    same_objects(labels_of(plane), upper)
    stack = write_stack(tmp_path, np.stack([PLANE, PLANE]))
    assert run("everything", stack, "--region", "0,0,44,109") == 0
    same_objects(labels_of(stack)[1], upper)


def test_an_instance_head_is_used_unless_prompts_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, plane: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = InstancePredictor()
    load_always(monkeypatch, model)
    options = ("--zoom", "off", "--object-diameter", 20)
    assert run("everything", plane, *options) == 0
    same_objects(labels_of(plane), discs())
    assert "a part of the model" in capsys.readouterr().out
    assert not model.received
    assert run("everything", plane, "--method", "prompts", "--overwrite") == 0
    assert model.received


@pytest.mark.parametrize("axis", [0, 2])
def test_a_stack_is_linked(
    model: DiscPredictor, tmp_path: Path, axis: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = np.moveaxis(moving_discs(), 0, axis)
    path = write_stack(tmp_path, stack)
    assert run("everything", path, "--axis", "ZYX"[axis]) == 0
    labels = labels_of(path)
    assert labels.max() == len(DISCS)
    assert np.array_equal(labels > 0, stack > 127)
    expected = segment_everything_volume(stack, model, axis)
    assert np.array_equal(labels, expected)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("Slice ") for line in lines) == 3
    assert f"{len(DISCS)} objects" in lines


# -- clean-up ------------------------------------------------------------------


def test_small_objects_are_removed_by_part_size(plane: Path) -> None:
    sizes = np.sort(np.bincount(discs().ravel())[1:])
    assert run("everything", plane, "--min-part-size", sizes[0] + 1) == 0
    assert len(np.unique(labels_of(plane))) == len(DISCS)  # with the background


def test_smoothing_needs_a_stack(
    plane: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("everything", plane, "--smooth", 1) == 1
    assert "--smooth is for stacks" in capsys.readouterr().err


def test_smoothing_is_in_the_unit_of_the_spacing(tmp_path: Path) -> None:
    path = write_stack(tmp_path, np.stack([PLANE, np.roll(PLANE, 4, axis=0), PLANE]))
    assert run("everything", path) == 0
    rough = labels_of(path)
    assert run("everything", path, "--smooth", 1, "--overwrite") == 0
    smooth = labels_of(path)
    assert (smooth != rough).any()
    spacing = ("--spacing", 5, 1, 1)
    assert run("everything", path, "--smooth", 5, *spacing, "--overwrite") == 0
    assert np.array_equal(labels_of(path), smooth)


# -- record and table ----------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--min-size", 300, "--crop-n-layers", 1),
        ("--min-part-size", 300, "--keep-largest", "--fill-holes"),
    ],
)
def test_a_record_of_a_plane_replays_to_the_same_labels(
    plane: Path, options: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    record = plane.with_name("made.json")
    assert run("everything", plane, *options, "--record", record) == 0
    capsys.readouterr()
    assert run("replay", record) == 0
    assert np.array_equal(labels_of(record), labels_of(plane))
    assert labels_of(record).any()
    assert "other than recorded" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--axis", 2, "--min-slices", 1),
        ("--smooth", 4, "--spacing", 4, 1, 1, "--fill-holes", "--gap", 0),
    ],
)
def test_a_record_of_a_stack_replays_to_the_same_labels(
    tmp_path: Path, options: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = np.stack([PLANE, np.roll(PLANE, 4, axis=0), PLANE])
    path = write_stack(tmp_path, np.moveaxis(stack, 0, 2 if 2 in options else 0))
    record = tmp_path / "made.json"
    assert run("everything", path, *options, "--record", record) == 0
    capsys.readouterr()
    assert run("replay", record) == 0
    first, second = (
        read_image(tmp_path / "stack_labels.tif"),
        read_image(tmp_path / "made_labels.tif"),
    )
    assert first.data.any()
    assert np.array_equal(first.data, second.data)
    assert (first.axes, first.spacing) == (second.axes, second.spacing)
    assert "other than recorded" not in capsys.readouterr().out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_of_a_plane(plane: Path) -> None:
    table = plane.with_name("objects.csv")
    options = ("--table", table, "--spacing", 9, 2, 2, "--unit", "nm")
    assert run("everything", plane, *options) == 0
    rows, labels = rows_of(table), labels_of(plane)
    assert [int(row["label"]) for row in rows] == [1, 2, 3, 4]
    for row in rows:
        size = int((labels == int(row["label"])).sum())
        assert float(row["area (nm^2)"]) == 4 * size
        assert 0 < float(row["lowest_score"]) <= 1


def test_the_table_of_a_stack_ignores_scores_of_interpolated_slices(
    tmp_path: Path,
) -> None:
    stack = np.stack([PLANE, 20 * (PLANE > 0).astype(np.uint8), PLANE])
    path, table = write_stack(tmp_path, stack), tmp_path / "objects.csv"
    assert run("everything", path, "--table", table) == 0
    rows, labels = rows_of(table), labels_of(path)
    assert len(rows) == len(DISCS)
    assert (labels[1] > 0).any()
    for row in rows:
        size = int((labels == int(row["label"])).sum())
        assert float(row["volume (µm^3)"]) == size * 2 * 0.5 * 0.5
        assert float(row["lowest_score"]) > 0.5


# -- errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--pred-iou-thresh", "1.5"], "pred_iou_thresh=1.5"),
        (["--crop-n-layers", "-1"], "crop_n_layers=-1"),
        (["--min-slices", "0"], "min_slices=0"),
    ],
)
def test_options_out_of_range(
    plane: Path, option: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("everything", plane, *option) == 1
    assert message in capsys.readouterr().err
    assert not plane.with_name("plane_labels.tif").exists()
