"""Jobs whose driver or one of whose processes is killed at a random moment.

Run by `benchmarks.speed.scale_out --kills 20`. Drivers are forked from the server that
has imported everything, as the processes of pools are.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from tests.helpers import jobs
from tests.helpers.jobs import disc_stack, stand_in

import napari_sam as ns
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.from_arrays import automatic_stack_request
from napari_sam.scale_out.jobs import schedulers, stages
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.stacks.planning import plan_everything_volume, plan_volume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

WORKERS = 2
STARTED = "started.txt"
SLOW = "seconds=0.05"


@dataclass(frozen=True)
class Case:
    """A job that is killed within its first steps: a model, an image and options."""

    model: str
    steps: int = 50
    axis: int = 0
    dtype: str = "uint8"
    options: Mapping[str, Any] | None = None


FEW = ns.SearchOptions(points_per_side=4)
TILES = ns.SearchOptions(points_per_side=4, crop_n_layers=1)
LONG_GAPS = ns.Linking(gap=3, min_slices=3, overlap=0.2)
CLEANUP = CleanUp(fill_holes=True, smooth=1.0, min_size=90)
# Tiles, gaps, clean-up, another axis, integers and floats, in 3D and by planes; the
# prompts of "prompts" are boxes in a stack.
CASES = {
    "tiles, uint8": Case("points", options={"options": TILES}),
    "gaps, axis 1, float32": Case(
        "points", 50, 1, "float32", {"options": FEW, "linking": LONG_GAPS}
    ),
    "clean-up, uint8": Case("boxes", options={"cleanup": CLEANUP}),
    "3D, gaps, uint8": Case("instances", 75, options={"linking": LONG_GAPS}),
    "3D, clean-up, axis 2, float32": Case(
        "instances", 75, 2, "float32", {"cleanup": CLEANUP, "spacing": (2, 1, 1)}
    ),
    "tiles, gaps, clean-up, axis 1, float32": Case(
        "points",
        50,
        1,
        "float32",
        {"options": TILES, "linking": LONG_GAPS, "cleanup": CLEANUP},
    ),
    "prompts, uint8": Case("prompts", 6),
}


def kills(folder: Path, count: int, seed: int = 1) -> None:
    """Kill the driver, or one of its processes, once in each of some jobs."""
    rng, plain = random.Random(seed), {}
    equal, most, killed = 0, 0, Counter()
    for number in range(count):
        name = list(CASES)[number % len(CASES)]
        if name not in plain:
            plain[name] = plain_labels(CASES[name])
        for attempt in itertools.count():
            job = plan(CASES[name], folder / f"{number}-{attempt}")
            killing = kill_once(job.path, CASES[name].steps, number, rng)
            if killing is not None:
                break
        who, moment = killing
        driver, progress = run_driver(job.path)
        with suppress(EOFError):
            while True:
                progress.recv()
        driver.join()
        started = (job.path / STARTED).read_text().split()
        repeated = len(started) - len(set(started))
        is_equal = np.array_equal(labels_of(Job(job.path)), plain[name])
        print(
            f"{number + 1}: {name}: {who} killed after {moment}; "
            f"{len(set(started))} tasks, {repeated} of them twice; "
            f"{'the same labels' if is_equal else 'OTHER LABELS'}, "
            f"{plain[name].max()} objects",
            flush=True,
        )
        killed[who] += 1
        most = max(most, repeated)
        equal += is_equal
    print(
        f"{equal} of {count} jobs have the labels of the plain call, each after a kill "
        f"of its driver ({killed['driver']}) or of one of {WORKERS} processes "
        f"({killed['process']}); tasks that ran twice: at most {most}"
    )


def stack_of(case: Case) -> np.ndarray:
    """Return the image of a case."""
    stack = disc_stack(24)
    if case.dtype != "uint8":
        stack = (stack.astype(float) * 3.7 - 50).clip(0).astype(case.dtype)
    return np.moveaxis(stack, 0, case.axis)


def prompts_of(stack: np.ndarray) -> dict[int, dict[int, ns.Prompt]]:
    """Return a box of each object of the middle plane."""
    from scipy import ndimage

    middle = len(stack) // 2
    boxes = ndimage.find_objects(ndimage.label(stack[middle] > 127)[0])
    return {
        number: {middle: ns.Prompt(box=(r.start, c.start, r.stop - 1, c.stop - 1))}
        for number, (r, c) in enumerate(boxes, start=1)
    }


def plain_labels(case: Case) -> np.ndarray:
    """Return the labels of the plain call."""
    stack, options = stack_of(case), dict(case.options or {})
    if case.model == "prompts":
        model = stand_in("boxes")
        return ns.segment_volume(stack, prompts_of(stack), model, **options).labels
    request = automatic_stack_request(stack, case.axis, **options)
    result = run_to_end(request.run(stand_in(case.model), EmbeddingCache()))
    return np.asarray(result.paint(request.stack.shape))


def plan(case: Case, folder: Path) -> Job:
    """Plan the job of a case, with a slow model."""
    stack, options = stack_of(case), dict(case.options or {})
    if case.model == "prompts":
        return plan_volume(
            stack,
            prompts_of(stack),
            model=stand_in(f"boxes{SLOW}"),
            workdir=folder,
            **options,
        )
    return plan_everything_volume(
        stack,
        model=stand_in(f"{case.model}{SLOW}"),
        workdir=folder,
        axis=case.axis,
        **options,
    )


def labels_of(job: Job) -> np.ndarray:
    """Return the labels of a complete job."""
    result = job.result()
    return np.asarray(getattr(result, "labels", result))


def run_driver(path: Path) -> tuple[BaseProcess, Connection]:
    """Run a job by two processes in a process of its own, which tells its progress."""
    context: Any = schedulers.process_context()
    progress, told = context.Pipe(duplex=False)
    driver = context.Process(target=drive, args=(path, told))
    driver.start()
    told.close()
    return driver, progress


def drive(path: Path, told: Connection) -> None:
    """Run a job, and tell its progress."""
    jobs.install_stand_ins()
    schedulers._start_worker = start_noting_worker
    for step in Job(path).run(WORKERS):
        told.send((step.stage, step.done))


def kill_once(
    path: Path, steps: int, number: int, rng: random.Random
) -> tuple[str, str] | None:
    """Kill the driver of a job, or of even ones a process.

    Returns
    -------
    (str, str) or None
        Which, and when; None when the job was complete before.
    """
    driver, progress = run_driver(path)
    killing = None
    with suppress(EOFError, IndexError, psutil.NoSuchProcess):
        for _ in range(rng.randint(1, steps)):
            stage, done = progress.recv()
        time.sleep(rng.uniform(0, 0.1))
        process = psutil.Process(driver.pid)
        chosen = process if number % 2 else rng.choice(jobs.pool_processes(process))
        chosen.send_signal(signal.SIGKILL)
        who = "driver" if chosen == process else "process"
        killing = who, f"{stage} {done}"
    with suppress(EOFError):
        while True:
            progress.recv()
    driver.join()
    return killing


def note_starts() -> None:
    """Write down each task that starts, in this process and in those of pools."""
    run = stages.run_task_of

    def noted(folder: Any, work: Any, stage: str, index: int) -> float:
        with (folder.path / STARTED).open("a") as file:
            file.write(f"{stage}-{index}\n")
        return run(folder, work, stage, index)

    stages.run_task_of = noted


def start_noting_worker(threads: int) -> None:
    """Start a process of a pool that writes down its tasks."""
    jobs.start_worker(threads)
    note_starts()
