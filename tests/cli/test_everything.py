"""`napari-sam everything`: planes and stacks, thresholds, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_sam import api
from napari_sam.cli import main as cli
from napari_sam.prediction import loading
from tests.helpers.discs import DISCS, PLANE, Whole, discs, same_objects

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> Whole:
    """What every verb loads."""
    whole = Whole("box")
    for module in (api, loading):
        monkeypatch.setattr(module, "load_model", lambda *_, **__: whole)
    return whole


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, PLANE)
    return path


def test_a_plane_gives_labels_and_a_line_an_object(
    plane: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.tif"
    assert cli.main(["everything", str(plane), "-o", str(out)]) == 0
    same_objects(tifffile.imread(out), discs())
    lines = capsys.readouterr().out.splitlines()
    assert "a search over boxes" in lines[0]
    assert sum(line.startswith("object ") for line in lines) == len(DISCS)


def test_thresholds_are_obeyed(plane: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    smallest = int(np.bincount(discs().ravel())[1:].min())
    given = ["everything", str(plane), "-o", str(out), "--min-size", str(smallest + 1)]
    assert cli.main(given) == 0
    assert tifffile.imread(out).max() == len(DISCS) - 1


def test_a_stack_is_linked(
    model: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "stack.tif", tmp_path / "out.tif"
    stack = np.stack([PLANE, np.roll(PLANE, 1, axis=0), np.roll(PLANE, 2, axis=0)])
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZYX"})
    assert cli.main(["everything", str(path), "-o", str(out)]) == 0
    labels = tifffile.imread(out)
    assert labels.max() == len(DISCS)
    assert np.array_equal(labels > 0, stack > 127)
    assert np.array_equal(labels, api.segment_everything_volume(stack, model))
    assert f"{len(DISCS)} objects" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (["--pred-iou-thresh", "1.5"], "pred_iou_thresh=1.5"),
        (["--crop-n-layers", "-1"], "-1 levels"),
        (["--min-slices", "0"], "0 slices"),
    ],
)
def test_impossible_options_are_refused(
    plane: Path, option: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["everything", str(plane), *option]) == 1
    assert why in capsys.readouterr().err
    assert not plane.with_name("plane_labels.tif").exists()
