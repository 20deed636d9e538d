"""A job: what is done, what is left, and the running of it."""

from __future__ import annotations

import shutil
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam.scale_out.jobs.claims import Claims
from napari_sam.scale_out.jobs.folder import JobFolder, TaskFailure
from napari_sam.scale_out.jobs.running import JobProgress, StageRun
from napari_sam.scale_out.jobs.schedulers import HerePool, open_pool
from napari_sam.scale_out.jobs.stages import Stage, Work, open_work
from napari_sam.scale_out.jobs.stopping import StopSign

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from napari_sam.scale_out.jobs.estimate import CostEstimate
    from napari_sam.scale_out.jobs.schedulers import Pool, Scheduler

_CLAIMS, _DRIVER = "claims", "driver"
_MAX_NAMED = 3


class JobFailedError(RuntimeError):
    """Some tasks of a job failed; the message names them."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """How far a stage is.

    Parameters
    ----------
    name, what : str
        The stage.
    done : int
        Tasks that are done.
    total : int or None
        All tasks; None as long as it depends on earlier stages.
    failed : int
        Tasks that failed.
    """

    name: str
    what: str
    done: int
    total: int | None
    failed: int

    @property
    def is_complete(self) -> bool:
        """Whether all tasks are done."""
        return self.total is not None and self.done >= self.total


class Job:
    """A segmentation as a folder of small tasks.

    A task is done when its file is in the folder: a job that was killed goes on where
    it was, whoever runs it.

    Parameters
    ----------
    path : str or Path
        The folder.
    predictor : Predictor, optional
        The model, where it is loaded already.

    Raises
    ------
    ValueError, OSError
        When there is no job in the folder.
    """

    def __init__(self, path: str | Path, predictor: Any = None) -> None:
        self.folder = JobFolder(path)
        self._work: Work = open_work(self.folder, predictor)

    def __repr__(self) -> str:
        return f"Job({str(self.folder.path)!r})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def failed(self) -> list[TaskFailure]:
        """The tasks that failed; the next run tries them again."""
        return self.folder.failures()

    @property
    def is_complete(self) -> bool:
        """Whether all tasks are done."""
        return self.folder.is_done(self._work.stages[-1].name, 0)

    @property
    def workers(self) -> list[str]:
        """The processes that work on it, as far as they have claimed something."""
        return Claims(self.path / _CLAIMS).held_by_others()

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Where the labels of the result lie, as napari's layers say it.

        Of each axis ``scale``, the distance of neighbouring pixels, and ``translate``,
        the place of the first; what is not known is missing.
        """
        return self._work.placement

    def stop(self) -> None:
        """Ask all processes that work on the job to stop after their tasks."""
        StopSign(self.path).ask()

    def cost(self) -> CostEstimate:
        """Estimate the work of the whole job from one plane, which is segmented."""
        return self._work.cost()

    def status(self) -> list[StageStatus]:
        """Tell how far each stage is."""
        failed = [failure.stage for failure in self.failed]
        found: list[StageStatus] = []
        is_known = True
        for stage in self._work.stages:
            total = stage.count() if is_known else None
            done = len(self.folder.done(stage.name))
            status = StageStatus(
                stage.name, stage.what, done, total, failed.count(stage.name)
            )
            found.append(status)
            is_known = is_known and status.is_complete
        return found

    def run(self, scheduler: Scheduler = None) -> Iterator[JobProgress]:
        """Run what is left of the job.

        Parameters
        ----------
        scheduler : object
            None for this process, a number of processes or ``"local:4"``, a dask
            Client or the address of its scheduler, or any
            `concurrent.futures.Executor`.

        Yields
        ------
        JobProgress
            After each task. Stop iterating to cancel; run again to go on.

        Raises
        ------
        ChangedImageError
            When the image is not that of the plan.
        BlockingIOError
            When other processes run the job.
        JobStoppedError
            When `stop` was called meanwhile, perhaps by another process.
        """
        if self.is_complete:
            return
        self._work.check_unchanged()
        sign = StopSign(self.path)
        with self._claims() as claims:
            others = claims.held_by_others()
            if others or not claims.take(_DRIVER):
                who = ", ".join(others[:_MAX_NAMED]) or "another process"
                raise BlockingIOError(
                    f"{self.path} is worked on by {who}: wait for it, or join it by "
                    "napari-sam work."
                )
            pool = open_pool(scheduler, self.folder, self._work)
            try:
                is_done = yield from self._run_stages(pool, sign)
                if not is_done and self._is_output_lost():
                    yield from self._run_stages(pool, sign)
            finally:
                pool.close()

    def work(
        self, shard: tuple[int, int] | None = None, stage: str | None = None
    ) -> Iterator[JobProgress]:
        """Do a share of the job, beside other processes that do the same.

        Tasks are claimed, so that no two processes do the same one. A stage begins
        when the one before is complete; the process that completes a stage goes on
        with the next, those that find nothing to do end.

        Parameters
        ----------
        shard : tuple of int, optional
            (number from 1, count): do only these tasks of the first stage that runs
            the model on all planes; of later stages, whatever is left.
        stage : str, optional
            End after this stage.

        Yields
        ------
        JobProgress
            After each task.

        Raises
        ------
        ChangedImageError
            When the image is not that of the plan.
        ValueError
            When there is no such shard or stage.
        BlockingIOError
            When a process runs the whole job.
        JobStoppedError
            See `run`.
        """
        number, count = _check_shard(shard)
        names = [s.name for s in self._work.stages]
        if stage is not None and stage not in names:
            raise ValueError(
                f"The job has no stage {stage!r}: choose one of {', '.join(names)}."
            )
        if self.is_complete:
            return
        self._work.check_unchanged()
        pool, sign = HerePool(self.folder, self._work), StopSign(self.path)
        with self._claims() as claims:
            if claims.is_taken(_DRIVER):
                raise BlockingIOError(
                    f"{self.path} is run by {', '.join(claims.held_by_others())}: wait "
                    "for it."
                )
            for entry in self._work.stages:
                pending, total = self._pending(entry)
                if entry.needs_model and total > 1:
                    pending = [i for i in pending if i % count == number]
                    # Who completes that stage can go on alone.
                    number, count = 0, 1
                for step in self._share(entry, pending, total, pool, claims):
                    yield step
                    sign.check()
                left, _ = self._pending(entry)
                is_stuck = bool(left) and not entry.goes_on
                if is_stuck or entry.name == stage:
                    return

    def result(self) -> Any:
        """Return the labels.

        Returns
        -------
        ndarray or zarr.Array
            int32 labels of the image's shape; or, where the job writes into an
            OME-Zarr, the uint32 array there, which is read when it is indexed.

        Raises
        ------
        JobFailedError
            When the job is not complete.
        """
        self.check_complete()
        return self._work.result()

    def check_complete(self) -> None:
        """Refuse a job that is not complete.

        Raises
        ------
        JobFailedError
            When tasks failed or are left; the message names some of those that failed.
        """
        failed = self.failed
        if failed:
            named = "; ".join(
                f"{f.stage} {f.index}: {f.sentence}" for f in failed[:_MAX_NAMED]
            )
            raise JobFailedError(
                f"{len(failed)} tasks of {self.path} failed ({named}). Run the job "
                "again to try them again."
            )
        if not self.is_complete:
            raise JobFailedError(f"{self.path} is not complete: run it to go on.")

    def remove(self) -> None:
        """Delete the folder; labels that were written elsewhere stay."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _run_stages(
        self, pool: Pool, sign: StopSign
    ) -> Generator[JobProgress, None, bool]:
        """Run what is left of all stages; return whether all of it was done."""
        for stage in self._work.stages:
            pending, total = self._pending(stage)
            if pending:
                run = StageRun(self.folder, stage, pool, total)
                for step in run.run(pending):
                    yield step
                    sign.check()
                if run.failed and not stage.goes_on:
                    return False
        return True

    def _is_output_lost(self) -> bool:
        """Tell whether a stage failed because files of an earlier one were damaged."""
        failed = {failure.stage for failure in self.failed}
        for stage in self._work.stages:
            if stage.name in failed:
                return False
            if self._pending(stage)[0]:
                return True
        return False

    def _share(
        self,
        stage: Stage,
        pending: list[int],
        total: int,
        pool: HerePool,
        claims: Claims,
    ) -> Iterator[JobProgress]:
        """Run tasks that no other process has claimed."""
        run = StageRun(self.folder, stage, pool, total)
        waiting, start, count = deque(pending), time.perf_counter(), 0
        while waiting:
            index = waiting.popleft()
            if not claims.take(f"{stage.name}-{index:08d}"):
                continue
            try:
                if not self.folder.is_done(stage.name, index):
                    for step in run.run([index]):
                        count += 1
                        seconds = (time.perf_counter() - start) / count
                        yield JobProgress(
                            step.stage,
                            step.what,
                            total - len(waiting),
                            total,
                            run.failed,
                            seconds * len(waiting),
                        )
            finally:
                claims.release()

    def _pending(self, stage: Stage) -> tuple[list[int], int]:
        """Return the tasks of a stage that are left, and the number of all."""
        total = stage.count()
        done = self.folder.done(stage.name)
        return [index for index in range(total) if index not in done], total

    @contextmanager
    def _claims(self) -> Iterator[Claims]:
        with Claims(self.path / _CLAIMS) as claims:
            yield claims


def _check_shard(shard: tuple[int, int] | None) -> tuple[int, int]:
    """Return the number from 0, and the count, of a shard."""
    if shard is None:
        return 0, 1
    number, count = shard
    if not 1 <= number <= count:
        raise ValueError(f"There is no shard {number}/{count}: give 1/{count} or more.")
    return number - 1, count
