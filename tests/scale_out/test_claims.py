"""Processes that share a job do not do the same work."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.scale_out.jobs import claims as claiming
from napari_sam.scale_out.jobs.claims import Claims
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.stacks.planning import plan_everything_volume
from tests.helpers.jobs import disc_stack, stand_in

if TYPE_CHECKING:
    from pathlib import Path

WORK = """
import sys
from napari_sam.scale_out.jobs.job import Job
from tests.helpers import jobs

jobs.install_stand_ins()
print("ready", flush=True)
sys.stdin.readline()
for step in Job(sys.argv[1]).work():
    print(step.stage, flush=True)
"""


def test_a_claim_has_one_holder(tmp_path: Path) -> None:
    with Claims(tmp_path / "c") as one, Claims(tmp_path / "c") as two:
        assert one.take("a")
        assert not two.take("a")
        assert two.is_taken("a")
        assert two.held_by_others() == [
            f"process {os.getpid()} on {socket.gethostname()}"
        ]
        one.release()
        assert two.take("a")
    assert not list((tmp_path / "c").iterdir())


def test_claims_of_processes_that_ended_are_void(tmp_path: Path) -> None:
    gone = {"host": socket.gethostname(), "process": os.getpid(), "started": 1.0}
    with Claims(tmp_path) as claims:
        for name, content in (("a", json.dumps(gone)), ("c", "")):
            (tmp_path / name).write_text(content)
        abroad = {**gone, "host": "elsewhere"}
        (tmp_path / "b").write_text(json.dumps(abroad))
        assert claims.take("a")
        claims.release()
        assert not claims.take("b")
        old = time.time() - 301
        for name in "bc":
            os.utime(tmp_path / name, (old, old))
            assert claims.take(name)
            claims.release()


def test_a_held_claim_shows_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "_TOUCH_SECONDS", 0.01)
    with Claims(tmp_path) as claims:
        claims.take("a")
        os.utime(tmp_path / "a", (1, 1))
        deadline = time.monotonic() + 10
        while (tmp_path / "a").stat().st_mtime == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_processes_that_race_share_the_work(tmp_path: Path) -> None:
    stack = disc_stack(12)
    plan_everything_volume(stack, model=stand_in("boxesseconds=0.02"), workdir=tmp_path)
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    racers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    lines = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        lines += racer.communicate()[0].split()
        assert racer.returncode == 0
    assert lines.count("search") == 12
    job = Job(tmp_path)
    assert lines.count("finish") == 1
    assert_array_equal(
        job.result(), ns.segment_everything_volume(stack, stand_in("boxes"))
    )


def test_a_driver_and_workers_exclude_each_other(tmp_path: Path) -> None:
    stack = disc_stack(3)
    job = plan_everything_volume(stack, model=stand_in("boxes"), workdir=tmp_path)
    steps = job.run()
    next(steps)
    with pytest.raises(BlockingIOError, match=r"is worked on by process \d+ on .*join"):
        list(Job(tmp_path).run())
    with pytest.raises(BlockingIOError, match=r"is run by process \d+ on .*: wait"):
        list(Job(tmp_path).work())
    steps.close()
    list(Job(tmp_path).work())
    assert job.is_complete
