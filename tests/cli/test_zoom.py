"""`--zoom` of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tifffile import imread

from napari_sam.cli.records import RecordFile
from tests.helpers.command_line import load_always, run, write_plane
from tests.helpers.models import World

if TYPE_CHECKING:
    from pathlib import Path

PLANE = np.zeros((300, 300), np.uint8)
PLANE[100:108, 60:69] = 220
BOX = ["--box", "98,58,110,71"]


class Zooming(World):
    """Zooms into windows of 32 pixels and more."""

    smallest_window = 32


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    load_always(monkeypatch, Zooming())
    return write_plane(tmp_path, PLANE)


def test_small_objects_are_segmented_in_a_window(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, labels = tmp_path / "record.json", tmp_path / "labels.tif"
    arguments = [image, *BOX, "--record", record, "--output", labels]
    assert run("segment", *arguments) == 0
    assert "zoomed to 128 px" in capsys.readouterr().out
    np.testing.assert_array_equal(imread(labels) > 0, PLANE > 0)
    (entry,) = RecordFile.read(str(record), None, {}).record["objects"]["1"]
    assert [window[2:] for window in entry["windows"]] == [[128, 128]]
    again = tmp_path / "again.tif"
    assert run("replay", record, "--output", again) == 0
    np.testing.assert_array_equal(imread(again), imread(labels))


@pytest.mark.parametrize(("zoom", "text"), [("off", None), ("4", "zoomed to 75 px")])
def test_the_zoom_can_be_chosen(
    zoom: str, text: str | None, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("segment", image, *BOX, "--zoom", zoom) == 0
    printed = capsys.readouterr().out
    assert ("zoomed" in printed) is (text is not None)
    assert text is None or text in printed


def test_other_values_are_refused_before_any_work(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("segment", image, *BOX, "--zoom", "far") == 1
    assert 'give "auto", "off"' in capsys.readouterr().err


def test_an_object_too_small_for_the_model_is_told(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--box", "98,58,103,63", "--zoom", "off"]
    assert run("segment", image, *arguments) == 0
    assert "Object 1 is only 6.0 pixels large for the model" in capsys.readouterr().out
