"""A job within one call: planned, run to its end, and cleared away."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from napari_sam.scale_out.jobs.schedulers import warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.scale_out.jobs.job import Job
    from napari_sam.scale_out.jobs.schedulers import Scheduler


def run_call(
    plan: Callable[..., Job],
    scheduler: Scheduler,
    workdir: str | Path | None,
    output: str | Path | None,
) -> Any:
    """Plan a job, run it, and return its result.

    Parameters
    ----------
    plan : callable
        Plans the job in ``workdir``.
    scheduler : object
        See `Job.run`.
    workdir : str or Path, optional
        Folder of the job, which is kept. When None, it is beside the output and stays
        there until the job is complete; or without an output it is temporary.
    output : str or Path, optional
        Where the job writes the labels.

    Raises
    ------
    JobFailedError
        When tasks failed.
    """
    warm_up(scheduler)
    if workdir is None and output is None:
        with TemporaryDirectory(prefix="napari-sam-") as folder:
            return _run(plan(workdir=Path(folder)), scheduler)
    job = plan(workdir=workdir)
    result = _run(job, scheduler)
    if workdir is None:
        job.remove()
    return result


def _run(job: Job, scheduler: Scheduler) -> Any:
    for _ in job.run(scheduler):
        pass
    return job.result()
