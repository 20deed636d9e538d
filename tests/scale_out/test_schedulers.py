"""Whatever runs the tasks, the labels are the same."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.scale_out.jobs import schedulers
from napari_sam.scale_out.jobs.job import Job, JobFailedError
from napari_sam.scale_out.stacks.planning import plan_everything_volume
from tests.helpers.jobs import disc_stack, install_stand_ins, stand_in
from tests.helpers.ome_zarr import ball_stack
from tests.helpers.processes import load_small

if TYPE_CHECKING:
    import numpy as np

SHARDS = [(1, 3), (3, 3), (2, 3)]


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    return disc_stack(6)


@pytest.fixture(scope="module")
def expected(stack: np.ndarray) -> np.ndarray:
    return ns.segment_everything_volume(stack, stand_in("boxes"))


def labels_by(stack: np.ndarray, folder: Path, scheduler: Any) -> np.ndarray:
    return ns.segment_everything_volume(
        stack, stand_in("boxes"), workdir=folder, scheduler=scheduler
    )


def test_processes(tmp_path: Path, stack: np.ndarray, expected: np.ndarray) -> None:
    assert_array_equal(labels_by(stack, tmp_path, "local:2"), expected)


def note_environment(_: int) -> None:
    """Start a process of a pool that notes where it should."""
    Path(os.environ["NOTED_IN"]).touch()


def test_processes_have_the_environment_of_now(
    tmp_path: Path, stack: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedulers.warm_up(1)
    monkeypatch.setattr(schedulers, "_start_worker", note_environment)
    monkeypatch.setenv("NOTED_IN", str(tmp_path / "noted"))
    model, folder = stand_in("boxes"), tmp_path / "job"
    steps = plan_everything_volume(stack, model=model, workdir=folder).run(1)
    assert next(steps).stage == "output"
    steps.close()  # type: ignore[attr-defined]
    assert (tmp_path / "noted").exists()


def test_a_real_network_in_processes() -> None:
    model, stack = load_small(), ball_stack()[:2]
    options = ns.SearchOptions(points_per_side=6, min_pred_iou=0, min_stability_score=0)
    thresholds = ns.Thresholds(0, 0, quality_thresh=0)
    plain, job = (
        ns.segment_everything_volume(
            stack,
            model,
            options=options,
            thresholds=thresholds,
            linking=ns.Linking(min_slices=1),
            scheduler=scheduler,
        )
        for scheduler in (None, 1)
    )
    assert plain.any()
    assert_array_equal(job, plain)


def test_a_folder_that_another_job_takes_over(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, install_stand_ins) as executor:
        for seed in (1, 2):
            other = disc_stack(3, seed=seed)
            plain = ns.segment_everything_volume(other, stand_in("boxes"))
            assert_array_equal(labels_by(other, tmp_path / "job", executor), plain)
            Job(tmp_path / "job").remove()


def test_executors_of_the_caller(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray
) -> None:
    spawn = multiprocessing.get_context("spawn")
    executors: list[Executor] = [
        ThreadPoolExecutor(2),
        ProcessPoolExecutor(1, spawn, install_stand_ins),
    ]
    for number, executor in enumerate(executors):
        with executor:
            found = labels_by(stack, tmp_path / str(number), executor)
            assert_array_equal(found, expected)


# Workers of dask leave files and threads to the end of the process.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_dask(tmp_path: Path, stack: np.ndarray, expected: np.ndarray) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            resources={"GPU": 1},
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(install_stand_ins)
        for number, scheduler in enumerate([client, cluster.scheduler_address]):
            found = labels_by(stack, tmp_path / str(number), scheduler)
            assert_array_equal(found, expected)


def test_shards_in_any_order(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray
) -> None:
    plan_everything_volume(stack, model=stand_in("boxes"), workdir=tmp_path)
    for number, shard in enumerate(SHARDS):
        job = Job(tmp_path)
        steps = list(job.work(shard))
        assert len([s for s in steps if s.stage == "search"]) == 2
        assert job.is_complete == (number == len(SHARDS) - 1)
    assert_array_equal(job.result(), expected)
    assert not list(job.work((1, 3)))


def test_one_stage_at_a_time(tmp_path: Path, stack: np.ndarray) -> None:
    plan_everything_volume(stack, model=stand_in("boxes"), workdir=tmp_path)
    job = Job(tmp_path)
    assert {step.stage for step in job.work(stage="search")} == {
        "output",
        "size",
        "search",
    }
    status = {s.name: (s.done, s.total) for s in job.status()}
    assert status["search"] == (6, 6)
    assert status["links"] == (0, 6)
    assert status["paint"] == (0, None)
    with pytest.raises(ValueError, match="no stage 'dig': choose one of output, size"):
        list(job.work(stage="dig"))
    with pytest.raises(ValueError, match="no shard 4/3"):
        list(job.work((4, 3)))


@pytest.mark.parametrize(
    ("scheduler", "error", "sentence"),
    [
        (0, ValueError, "has no worker: give at least 1"),
        ("local:0", ValueError, "has no worker"),
        ("slurm", ValueError, "scheduler='slurm' is unknown: give None, a number"),
        (2.5, TypeError, r"scheduler is 2.5.*: give None, a number of processes"),
        (True, TypeError, "scheduler is True"),
    ],
)
def test_other_schedulers_are_refused(
    stack: np.ndarray, scheduler: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        ns.segment_everything_volume(stack, stand_in("boxes"), scheduler=scheduler)


def test_a_model_in_memory_stays_in_this_process(stack: np.ndarray) -> None:
    model = stand_in("boxes")
    model.source = None
    with pytest.raises(TypeError, match="'discs' was built in memory, and other proc"):
        ns.segment_everything_volume(stack, model, scheduler=2)
    with ThreadPoolExecutor(1) as executor:
        assert ns.segment_everything_volume(stack, model, scheduler=executor).any()


def test_a_stopped_job_goes_on(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray
) -> None:
    job = plan_everything_volume(stack, model=stand_in("boxes"), workdir=tmp_path)
    steps = job.run()
    for step in steps:
        if (step.stage, step.done) == ("search", 4):
            break
    steps.close()
    with pytest.raises(JobFailedError, match="is not complete: run it to go on"):
        job.result()
    model = stand_in("boxes")
    again = plan_everything_volume(stack, model=model, workdir=tmp_path)
    assert [step.done for step in again.run() if step.stage == "search"] == [5, 6]
    assert len(model.embedded) == 2
    assert_array_equal(again.result(), expected)
