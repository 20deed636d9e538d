"""A series that several processes segment."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_sam as ns
from napari_sam.cli.main import main
from napari_sam.prediction import loading
from napari_sam.prompts.prompt import Prompt
from napari_sam.scale_out.jobs import schedulers
from napari_sam.scale_out.stacks import model_job
from napari_sam.series.opening import open_series
from tests.helpers import jobs
from tests.helpers.discs import PLANE
from tests.helpers.jobs import stand_in
from tests.helpers.series import open_images, write_images

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a.tif", "b.tif", "x/c.tif")
RACE = """
import sys
from napari_sam.cli import main as cli
from napari_sam.prediction import loading
from tests.helpers.jobs import stand_in

loading.load_model = lambda name, **_: stand_in(str(name))
print("ready", flush=True)
sys.stdin.readline()
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model "boxes", here and in processes."""
    monkeypatch.setattr(model_job, "load_from_json", model_job.load_from_json)
    monkeypatch.setattr(schedulers, "_start_worker", jobs.start_worker)
    monkeypatch.setattr(loading, "load_model", lambda name, **_: stand_in(str(name)))
    jobs.install_stand_ins()


def options(folder: Path) -> dict[str, Any]:
    return {
        "intensity": ns.IntensityMapping.full(),
        "thresholds": ns.Thresholds(min_size=300),
    }


def test_processes_give_the_same_labels(tmp_path: Path) -> None:
    one, other = (
        open_images(tmp_path / name, *NAMES) for name in ("serial", "parallel")
    )
    assert one.segment(stand_in("boxes"), **options(tmp_path)) == {}
    assert other.segment(stand_in("boxes"), scheduler=1, **options(tmp_path)) == {}
    for name in NAMES:
        item = open_series(tmp_path / "parallel" / "out")[name]
        labels = one[name].read_labels()
        assert labels is not None
        assert labels.any()
        assert np.array_equal(item.read_labels(), labels)
        assert item.status == "needs review"
        assert item.state.objects == one[name].state.objects
    assert not list((tmp_path / "parallel" / "out").glob(".napari-sam-job*"))


def test_a_failed_image_stops_no_other(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", *NAMES)
    (images / "b.tif").write_bytes((images / "b.tif").read_bytes()[:300])
    series = open_series(images, tmp_path / "out")
    failed = series.segment(stand_in("boxes"), scheduler=1)
    assert list(failed) == ["b.tif"]
    assert "Error:" not in failed["b.tif"]
    assert series["b.tif"].problem == failed["b.tif"]
    assert series["a.tif"].has_labels
    assert series["x/c.tif"].has_labels


def test_prompts_are_files_for_other_processes(tmp_path: Path) -> None:
    series = open_images(tmp_path, *NAMES)
    given = {"a.tif": [Prompt(box=(9, 11, 31, 33))]}
    with pytest.raises(ValueError, match="need prompts as files: give their folder"):
        series.segment(stand_in("boxes"), given, scheduler=1)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(tmp_path / "images", *NAMES)
    words = ["batch", str(images), "-o", str(tmp_path / "out"), "--model", "boxes"]
    assert main([*words, "--shard", "2/3"]) == 0
    series = open_series(tmp_path / "out")
    assert [item.name for item in series if item.has_labels] == ["b.tif"]
    assert main([*words, "--scheduler", "local:1"]) == 0
    assert "2 of 3 images to segment" in capsys.readouterr().out
    assert all(item.has_labels for item in open_series(tmp_path / "out"))
    assert main([*words, "--shard", "4/3"]) == 1
    assert "There is no shard 4/3" in capsys.readouterr().err


def test_processes_that_race_leave_no_image_out(tmp_path: Path) -> None:
    names = [f"{i:02d}.tif" for i in range(12)]
    images = write_images(tmp_path / "images", *names, plane=PLANE)
    words = ["batch", str(images), "-o", str(tmp_path / "out"), "--model", "boxes"]
    open_series(images, tmp_path / "out")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, *words, *further],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Two shares, and one that would like to do all.
        for further in (["--shard", "1/2"], ["--shard", "2/2"], [])
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    codes = []
    for racer in racers:
        racer.communicate()
        codes.append(racer.returncode)
    series = open_series(tmp_path / "out")
    assert all(item.has_labels for item in series)
    assert set(codes) <= {0, 3}  # an image that another process held
