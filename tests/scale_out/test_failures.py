"""Workers, drivers, tasks, files and images that fail."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.scale_out.jobs.folder import JobFolder
from napari_sam.scale_out.jobs.job import Job, JobFailedError
from napari_sam.scale_out.jobs.stages import ChangedImageError
from napari_sam.scale_out.stacks.everything import EverythingJob
from napari_sam.scale_out.stacks.planning import plan_everything_volume
from tests.helpers.jobs import disc_stack, pool_processes, stand_in
from tests.helpers.old_parts import write_old_parts

if TYPE_CHECKING:
    from pathlib import Path

PLANES, WORKERS = 10, 2
SLOW = "boxesseconds=0.05"

DRIVER = """
import sys
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.jobs import schedulers
from tests.helpers import jobs

if __name__ == "__main__":
    jobs.install_stand_ins()
    schedulers._start_worker = jobs.start_worker
    for step in Job(sys.argv[1]).run(int(sys.argv[2]) or None):
        print(step.stage, step.done, flush=True)
"""


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    return disc_stack(PLANES)


@pytest.fixture(scope="module")
def expected(stack: np.ndarray) -> np.ndarray:
    return ns.segment_everything_volume(stack, stand_in("boxes"))


def plan(stack: np.ndarray, folder: Path, model: str = "boxes") -> Job:
    return plan_everything_volume(stack, model=stand_in(model), workdir=folder)


def files(folder: Path) -> dict[str, int]:
    """When each output was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*.arrays")
    }


def test_a_killed_worker_is_replaced(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray
) -> None:
    job, killed = plan(stack, tmp_path, SLOW), 0
    started = []
    for step in job.run(WORKERS):
        started.append((step.stage, step.done))
        if step.stage == "search" and killed < 2 and step.done > 3 * killed:
            workers = pool_processes(psutil.Process())
            workers[killed % len(workers)].send_signal(signal.SIGKILL)
            killed += 1
    assert killed == 2
    assert len(started) == len(set(started))
    assert_array_equal(job.result(), expected)


def test_a_killed_driver_leaves_no_process_and_loses_little(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray
) -> None:
    plan(stack, tmp_path, SLOW)
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(WORKERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("search 3"):
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    before = files(tmp_path)
    assert len(before) < len(files(tmp_path)) + PLANES
    job = Job(tmp_path)
    steps = list(job.run())
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before  # nothing is done twice
    assert len(steps) == len(after) - len(before)
    assert_array_equal(job.result(), expected)


def test_kills_at_random_moments(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray, rng: np.random.Generator
) -> None:
    plan(stack, tmp_path, SLOW)
    command = [sys.executable, "-c", DRIVER, str(tmp_path), "0"]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
    job = Job(tmp_path)
    list(job.run())
    assert_array_equal(job.result(), expected)


def test_a_task_that_ends_its_process_is_found(
    tmp_path: Path, stack: np.ndarray
) -> None:
    marked = stack.copy()
    marked[:, 0, 0] = np.arange(PLANES)
    job = plan(marked, tmp_path, "boxesends=3")
    list(job.run(WORKERS))
    (failure,) = job.failed
    assert (failure.stage, failure.index) == ("search", 3)
    assert "ends its process (killed, or out of memory)" in failure.sentence
    assert len(job.folder.done("search")) == PLANES - 1
    assert not job.folder.done("paint")


def test_tasks_are_tried_three_times_then_listed(
    tmp_path: Path,
    stack: np.ndarray,
    expected: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[int] = []
    search, is_bad = EverythingJob._search, True

    def fails(self: EverythingJob, index: int) -> Any:
        if index in (2, 5) and is_bad:
            tries.append(index)
            if index == 2 or len(tries) < 4:
                raise RuntimeError(f"no luck with {index}")
        return search(self, index)

    monkeypatch.setattr(EverythingJob, "_search", fails)
    job = plan(stack, tmp_path)
    *_, last = job.run()
    assert (last.done, last.failed, last.total) == (PLANES - 1, 1, PLANES)
    assert tries.count(2) == 3
    (failure,) = job.failed
    assert failure.sentence == "RuntimeError: no luck with 2"
    assert "in fails" in json.loads(failure.details.read_text())["traceback"]
    with pytest.raises(JobFailedError, match=r"1 tasks of .*search 2: RuntimeError"):
        job.result()
    is_bad = False
    assert [s.stage for s in job.run()][:2] == ["search", "links"]
    assert not job.failed
    assert_array_equal(job.result(), expected)


def test_a_full_disk_stops_at_once(
    tmp_path: Path, stack: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    job = plan(stack, tmp_path)
    monkeypatch.setattr(EverythingJob, "_search", full)
    with pytest.raises(OSError, match="No space left"):
        list(job.run())
    assert not job.failed


def test_another_image_does_not_go_on(tmp_path: Path, stack: np.ndarray) -> None:
    np.save(tmp_path / "image.npy", stack)
    job = plan(stack, tmp_path / "job")
    copy = np.load(tmp_path / "job" / "pixels.npy", mmap_mode="r+")
    copy[PLANES // 2] = 0
    copy.flush()
    with pytest.raises(ChangedImageError, match=r"has changed since .*\(planes\)"):
        list(job.run())
    with pytest.raises(ChangedImageError):
        list(Job(tmp_path / "job").work())
    changed = stack.copy()
    changed[0] = 0
    with pytest.raises(ValueError, match="another job, which differs in fingerprint"):
        plan(changed, tmp_path / "job")


def test_other_settings_are_another_job(tmp_path: Path, stack: np.ndarray) -> None:
    plan(stack, tmp_path)
    with pytest.raises(ValueError, match="another job, which differs in settings"):
        plan_everything_volume(
            stack,
            model=stand_in("boxes"),
            workdir=tmp_path,
            linking=ns.Linking(gap=3),
        )


def test_a_damaged_output_is_made_again(
    tmp_path: Path, stack: np.ndarray, expected: np.ndarray
) -> None:
    job = plan(stack, tmp_path)
    list(job.work(stage="search"))
    (damaged,) = (tmp_path / "search").rglob("00000004.arrays")
    damaged.write_bytes(damaged.read_bytes()[:50])
    steps = [step.stage for step in job.run()]
    assert steps.count("search") == 1
    assert not job.failed
    assert_array_equal(job.result(), expected)


def test_an_output_that_cannot_be_read_now_stays(
    tmp_path: Path, stack: np.ndarray
) -> None:
    job = plan(stack, tmp_path)
    list(job.work(stage="search"))
    (file,) = (tmp_path / "search").rglob("00000004.arrays")
    file.rename(tmp_path / "kept")
    file.mkdir()  # raises an OSError, as a lost connection does
    with pytest.raises(OSError, match=r"00000004\.arrays"):
        job.folder.load("search", 4)
    assert file.exists()


def test_files_of_killed_tasks_go_when_a_job_is_opened(
    tmp_path: Path, stack: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan(stack, tmp_path)
    list(job.work(stage="search"))
    group = tmp_path / "search" / "00000"
    old = write_old_parts(monkeypatch, tmp_path, group.parent, group)
    Job(tmp_path)
    assert not any(part.exists() for part in old)
    assert job.folder.done("search") == set(range(PLANES))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not the folder of a job"):
        Job(tmp_path)
    (tmp_path / "plan.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="not a plan that this version reads"):
        Job(tmp_path)
    other = JobFolder.create(tmp_path / "other", {"kind": "os:system"})
    with pytest.raises(ValueError, match="the unknown kind 'os:system'"):
        Job(other.path)
    plan = (other.path / "plan.json").read_text().replace("os:system", "stack")
    (other.path / "plan.json").write_text(plan)
    with pytest.raises(ValueError, match="not a plan that this version reads"):
        Job(other.path)
