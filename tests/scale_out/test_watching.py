"""Jobs that are watched, and stopped, from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.scale_out.jobs import stopping
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.jobs.stopping import JobStoppedError
from napari_sam.scale_out.jobs.watching import JobWatch
from napari_sam.scale_out.stacks.planning import plan_everything_volume
from tests.helpers.jobs import disc_stack, stand_in

if TYPE_CHECKING:
    from pathlib import Path

PLANES = 6


@pytest.fixture
def job(tmp_path: Path) -> Job:
    model = stand_in("boxes")
    return plan_everything_volume(disc_stack(PLANES), model=model, workdir=tmp_path)


def test_time_left_is_that_of_the_stage(job: Job) -> None:
    seconds = 0.0
    watch = JobWatch(job.path, clock=lambda: seconds)
    steps = job.run()
    while (next(steps).stage) != "search":
        pass
    first = watch.look()
    assert first.current is not None
    assert (first.current.name, first.current.done) == ("search", 1)
    assert first.seconds_left is None
    assert first.workers
    next(steps), next(steps)
    seconds = 10.0
    assert watch.look().seconds_left == 15.0  # two in ten seconds, three are left
    while (next(steps).stage) != "links":
        pass
    assert watch.look().seconds_left is None
    list(steps)
    last = watch.look()
    assert last.is_complete
    assert (last.current, last.seconds_left, last.workers) == (None, None, ())


@pytest.mark.parametrize("way", ["run", "work"])
def test_a_stopped_job_goes_on(
    job: Job, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "_CHECK_SECONDS", 0)
    steps = getattr(job, way)()
    next(steps)
    Job(job.path).stop()
    with pytest.raises(JobStoppedError, match="was asked to stop: run it again"):
        list(steps)
    assert not job.is_complete
    list(getattr(job, way)())  # starts after the sign
    expected = ns.segment_everything_volume(disc_stack(PLANES), stand_in("boxes"))
    assert_array_equal(job.result(), expected)


def test_the_sign_is_read_once_a_second(job: Job) -> None:
    sign = stopping.StopSign(job.path)
    job.stop()
    sign.check()  # too early to read it again
