import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam import cli
from napari_sam.tiff import TiffImage, read_tiff, write_labels
from tests.plugin.conftest import BrightPredictor


@pytest.fixture
def bright_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_load", lambda _: BrightPredictor())


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    volume = np.full((5, 20, 24), 10, np.uint8)
    volume[1:4, 5:12, 6:15] = 200
    path = tmp_path / "stack.tif"
    spacing = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(path, volume, ome=True, metadata={"axes": "ZYX", **spacing})
    return path


def test_a_plane_of_a_stack(
    bright_model: None, stack: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "plane.tif"
    arguments = ["segment", str(stack), "--index", "Z=2", "--box", "4,5,12,15"]
    assert cli.main([*arguments, "-o", str(out)]) == 0
    assert "object 1: 63 pixels" in capsys.readouterr().out
    written = read_tiff(out)
    assert (written.axes, written.data.sum()) == ("YX", 63)
    assert written.scale is not None
    assert written.scale[1:] == (0.5, 0.5)


def test_a_stack_with_prompts_from_a_file(
    bright_model: None, stack: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"1": {"2": {"box": [4, 5, 12, 15]}}}))
    assert cli.main(["volume", str(stack), "--prompts", str(prompts)]) == 0
    written = read_tiff(tmp_path / "stack_labels.tif")
    assert written.axes == "ZYX"
    assert written.scale == (2.0, 0.5, 0.5)
    np.testing.assert_array_equal(written.data > 0, tifffile.imread(stack) > 127)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["segment", "none.tif", "--box", "1,2,3,4"], "no file"),
        (["segment", "STACK", "--box", "1,2,3,4"], "choose one plane"),
        (["segment", "STACK", "--index", "Z=2"], "no prompts"),
        (["segment", "STACK", "--index", "Z=9", "--box", "1,2,3,4"], "indices 0 to 4"),
        (["segment", "STACK", "--index", "Z=2", "--box", "1,2,3"], "not 4 numbers"),
        (["segment", "STACK", "--index", "Z=2", "--point", "99,99"], "outside"),
        (["volume", "STACK", "--box", "7:1,2,3,4"], "slice 7"),
        (["volume", "STACK", "--prompts", "STACK"], "STACK|decode|JSON"),
        (["download", "nothing"], "nothing"),
    ],
)
def test_refusals(
    bright_model: None, stack: Path, capsys: Any, arguments: list[str], sentence: str
) -> None:
    before = sorted(stack.parent.iterdir())
    given = [str(stack) if word == "STACK" else word for word in arguments]
    assert cli.main(given) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert re.search(sentence, captured.err)
    assert sorted(stack.parent.iterdir()) == before


def test_the_input_is_never_overwritten(
    bright_model: None, stack: Path, capsys: Any
) -> None:
    before = stack.read_bytes()
    arguments = ["volume", str(stack), "--box", "2:4,5,12,15", "-o", str(stack)]
    assert cli.main(arguments) == 1
    assert "is the image itself" in capsys.readouterr().err
    assert stack.read_bytes() == before


def test_models_are_listed_with_their_licence(capsys: Any) -> None:
    assert cli.main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "lite_medsam (default)" in listed
    assert listed.count("Apache-2.0") >= 6


@pytest.mark.parametrize("verb", ["models", "download", "segment", "volume", "demo"])
def test_help_shows_an_example(verb: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert f"example: napari-sam {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZYX", "CYX"])
def test_labels_keep_axes(tmp_path: Path, axes: str) -> None:
    data = np.arange(np.prod(shape := (2, 3, 4, 5)[-len(axes) :])).reshape(shape)
    path = write_labels(tmp_path / "l.tif", data, TiffImage(data, axes))
    again = read_tiff(path)
    np.testing.assert_array_equal(again.data, data)
    assert again.axes == axes


def test_many_labels_and_failing_writes(tmp_path: Path) -> None:
    data = np.array([[70_000, 0]])
    path = write_labels(tmp_path / "l.tif", data, TiffImage(data, "YX"))
    assert read_tiff(path).data.max() == 70_000
    kept = path.read_bytes()
    with pytest.raises(Exception, match="axes"):
        write_labels(path, data, TiffImage(data, "ZYX"))
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_imagej_pixel_sizes(tmp_path: Path) -> None:
    path = tmp_path / "ij.tif"
    tifffile.imwrite(
        path,
        np.zeros((3, 4, 5), np.uint16),
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 1.5, "unit": "um"},
    )
    image = read_tiff(path)
    assert image.scale == pytest.approx((1.5, 0.25, 0.25))
    assert image.unit == "µm"
