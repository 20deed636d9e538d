"""`plan`, `work`, `job`, and stacks that are segmented by jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.cli.main import main
from napari_sam.prediction import loading
from napari_sam.scale_out.jobs import schedulers
from napari_sam.scale_out.stacks import model_job
from napari_sam.scale_out.stacks.everything import EverythingJob
from tests.helpers import jobs
from tests.helpers.jobs import disc_stack, stand_in
from tests.helpers.ome_zarr import write_ome_zarr

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model "boxes", here and in processes."""
    monkeypatch.setattr(model_job, "load_from_json", model_job.load_from_json)
    monkeypatch.setattr(schedulers, "_start_worker", jobs.start_worker)
    monkeypatch.setattr(loading, "load_model", lambda name, **_: stand_in(str(name)))
    jobs.install_stand_ins()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_ome_zarr(tmp_path / "image.ome.zarr", disc_stack(6))


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return ns.segment_everything_volume(disc_stack(6), stand_in("boxes"))


def run(*words: Any) -> int:
    return main([str(word) for word in words])


def stored(image: Path, name: str = "sam") -> np.ndarray:
    yaozarrs.validate_zarr_store(str(image))
    array = zarr.open_array(str(image / "labels" / name / "0"), mode="r")
    return np.asarray(array)


def test_labels_go_into_the_image(
    image: Path, expected: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("everything", image, "-o", image, "--name", "sam", "--model", "boxes")
    assert run(*words) == 0
    assert_array_equal(stored(image), expected)
    assert f"wrote {image}, labels sam" in capsys.readouterr().out
    assert run(*words) == 1
    assert "sam exists: choose another name" in capsys.readouterr().err
    assert run(*words, "--overwrite", "--scheduler", "local:1") == 0
    assert_array_equal(stored(image), expected)


def test_plan_work_and_job(
    tmp_path: Path,
    image: Path,
    expected: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = tmp_path / "job"
    common = ("-o", image, "--name", "sam", "--model", "boxes", "--workdir", job)
    assert run("plan", image, *common) == 0
    out = capsys.readouterr().out
    assert "6 images to encode" in out
    assert f"napari-sam work {job}" in out
    assert run("job", job) == 4
    out = capsys.readouterr().out
    assert "Searching planes: 0 of ?" in out
    assert "is not complete" in out
    for shard in ("2/2", "1/2"):
        assert run("job", job) == 4
        assert run("work", job, "--shard", shard) == 0
    assert run("job", job) == 0
    capsys.readouterr()
    assert run("job", job, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["complete"]
    assert {"name": "search", "done": 6, "total": 6}.items() <= next(
        stage for stage in status["stages"] if stage["name"] == "search"
    ).items()
    assert_array_equal(stored(image), expected)


def test_prompts_through_a_stack(tmp_path: Path, image: Path) -> None:
    box = (1.0, 1.0, 80.0, 100.0)
    plain = ns.segment_volume(disc_stack(6), {2: ns.Prompt(box=box)}, stand_in("boxes"))
    prompt = "--box=2:" + ",".join(map(str, box))
    common = (image, prompt, "--model", "boxes", "--zoom", "auto", "-o")
    assert run("volume", *common, image, "--name", "sam") == 0
    assert_array_equal(stored(image), plain.labels)
    own = tmp_path / "own.zarr"
    assert run("plan", *common, own, "--workdir", tmp_path / "job") == 0
    assert run("work", tmp_path / "job", "--scheduler", "1") == 0
    assert_array_equal(zarr.open_group(str(own), mode="r")["0"], plain.labels)


def test_tiff_in_and_out(tmp_path: Path, expected: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "s.tif", disc_stack(6), metadata={"axes": "ZYX"})
    words = ("everything", tmp_path / "s.tif", "--model", "boxes", "--scheduler", "1")
    assert run(*words) == 0
    assert_array_equal(tifffile.imread(tmp_path / "s_labels.tif"), expected)


def test_a_dry_run_does_nothing(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("everything", image, "-o", image, "--model", "boxes", "--dry-run")
    assert run(*words) == 0
    assert "6 images to encode" in capsys.readouterr().out
    assert not (image / "labels").exists()


def test_failed_tasks_are_listed(
    tmp_path: Path,
    image: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: Any, index: int) -> Any:
        raise ValueError(f"plane {index} is odd")

    common = ("-o", image, "--model", "boxes", "--workdir", tmp_path / "job")
    with monkeypatch.context() as patch:
        patch.setattr(EverythingJob, "_search", fails)
        assert run("everything", image, *common) == 3
    out = capsys.readouterr().out
    assert "search 2 failed: plane 2 is odd" in out
    assert "6 tasks failed" in out
    assert not (image / "labels" / "napari-sam").exists()
    assert run("job", tmp_path / "job") == 3
    assert run("everything", image, *common) == 0


def test_an_interrupt_keeps_what_is_done(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = EverythingJob._search

    def stops(job: EverythingJob, index: int) -> Any:
        if index == 4:
            raise KeyboardInterrupt
        return search(job, index)

    common = ("-o", image, "--model", "boxes", "--workdir", tmp_path / "job")
    with monkeypatch.context() as patch:
        patch.setattr(EverythingJob, "_search", stops)
        assert run("everything", image, *common) == 130
    assert len(ns.Job(tmp_path / "job").folder.done("search")) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("work", "JOB", "--shard", "3"), "--shard '3' is not of the form 3/20"),
        (("work", "JOB", "--shard", "5/4"), "no shard 5/4"),
        (("work", "JOB", "--shard", "1/2", "--scheduler", "2"), "without a scheduler"),
        (("work", "elsewhere"), "is not the folder of a job"),
        (("plan", "IMAGE", "--model", "boxes"), "needs --output with the name of a"),
        (("everything", "IMAGE", "-o", "x.zarr", "--table", "t.csv"), "--table is not"),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path,
    image: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    sentence: str,
) -> None:
    job = tmp_path / "job"
    run("plan", image, "-o", image, "--model", "boxes", "--workdir", job)
    places = {"JOB": job, "IMAGE": image}
    assert run(*(places.get(word, word) for word in words)) == 1
    assert sentence in capsys.readouterr().err
