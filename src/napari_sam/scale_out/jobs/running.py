"""Running of the tasks of a stage: in a sliding window, again after errors."""

from __future__ import annotations

import errno
import time
from collections import Counter, deque
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    wait,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_sam.scale_out.jobs.stages import ChangedImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_sam.scale_out.jobs.folder import JobFolder
    from napari_sam.scale_out.jobs.schedulers import Pool
    from napari_sam.scale_out.jobs.stages import Stage

MAX_TRIES = 3
# A task that was running this often when a process died runs alone from then on.
_SUSPICIOUS = 2
# Errors that every task would meet.
_STOPS = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


class WorkerDiedError(RuntimeError):
    """The process of a task ended."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job.

    Parameters
    ----------
    stage : str
        Name of the stage.
    what : str
        What it does, in words.
    done, total : int
        Tasks of the stage that are done, and all.
    failed : int
        Tasks of the stage that failed.
    seconds_left : float or None
        Estimate for the stage; None before its first task.
    """

    stage: str
    what: str
    done: int
    total: int
    failed: int = 0
    seconds_left: float | None = None


@dataclass(eq=False)
class StageRun:
    """Runs what is left of a stage by a pool.

    Parameters
    ----------
    folder : JobFolder
        The job.
    stage : Stage
        The stage.
    pool : Pool
        What runs the tasks.
    total : int
        Number of all tasks of the stage.
    """

    folder: JobFolder
    stage: Stage
    pool: Pool
    total: int
    failed: int = 0
    _waiting: deque[int] = field(default_factory=deque)
    # Tasks to run alone, because they may be what ends processes.
    _careful: deque[int] = field(default_factory=deque)
    _running: dict[Future[float], int] = field(default_factory=dict)
    _tries: Counter[int] = field(default_factory=Counter)
    _deaths: Counter[int] = field(default_factory=Counter)

    def run(self, pending: Iterable[int]) -> Iterator[JobProgress]:
        """Run tasks; yields after each. Stop iterating to cancel."""
        self._waiting = deque(pending)
        before = self.total - len(self._waiting)
        start, done = time.perf_counter(), 0
        try:
            while self._waiting or self._careful or self._running:
                self._submit()
                finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for index, error in self._collect(finished):
                    if error is None:
                        done += 1
                    elif self._fails(index, error):
                        self.failed += 1
                    else:
                        continue
                    seconds = time.perf_counter() - start
                    left = self.total - before - done - self.failed
                    yield JobProgress(
                        self.stage.name,
                        self.stage.what,
                        before + done,
                        self.total,
                        self.failed,
                        seconds / (done + self.failed) * left,
                    )
        finally:
            for future in self._running:
                future.cancel()

    def _submit(self) -> None:
        """Fill the window; tasks that may end their process run alone."""
        while self._waiting and len(self._running) < self.pool.window:
            index = self._waiting.popleft()
            try:
                self._running[self.pool.submit(self.stage, index)] = index
            except BrokenExecutor:
                self._waiting.appendleft(index)
                if self._running:  # they tell what broke
                    break
                self._restart_pool()
        if not self._running and self._careful:
            index = self._careful.popleft()
            self._running[self.pool.submit(self.stage, index)] = index

    def _collect(
        self, finished: Iterable[Future[float]]
    ) -> Iterator[tuple[int, Exception | None]]:
        """Yield tasks that ended, with their error; restart a pool that broke."""
        broken: list[int] = []
        for future in list(finished):
            index = self._running.pop(future)
            try:
                error = future.exception()
            except CancelledError:
                raise ConnectionError(
                    "The scheduler dropped the tasks: run the job again to go on."
                ) from None
            if isinstance(error, BrokenExecutor):
                broken.append(index)
                continue
            if error is not None and not isinstance(error, Exception):
                raise error
            yield index, error
        if broken:
            yield from self._restart(broken)

    def _restart(self, broken: list[int]) -> Iterator[tuple[int, Exception | None]]:
        """Start new workers, and run again what was running."""
        was_alone = len(broken) == 1 and not self._running
        others, self._running = list(self._running.values()), {}
        self._restart_pool()
        for index in sorted([*broken, *others], reverse=True):
            if self.folder.is_done(self.stage.name, index):
                yield index, None
                continue
            self._deaths[index] += 1
            if self._deaths[index] <= _SUSPICIOUS:
                self._waiting.appendleft(index)
            elif was_alone:
                yield (
                    index,
                    WorkerDiedError(
                        f"Task {index} ends its process (killed, or out of memory)."
                    ),
                )
            else:
                self._careful.append(index)

    def _restart_pool(self) -> None:
        if not self.pool.restart():
            raise WorkerDiedError(
                "A process of the executor ended (killed, or out of memory): run the "
                "job again with a new one to go on."
            )

    def _fails(self, index: int, error: Exception) -> bool:
        """Note an error; False when the task is tried again.

        Raises
        ------
        OSError, ChangedImageError
            When every task would fail in the same way.
        """
        if isinstance(error, ChangedImageError) or (
            isinstance(error, OSError) and error.errno in _STOPS
        ):
            raise error
        self._tries[index] += 1
        is_dead = isinstance(error, WorkerDiedError) or (
            type(error).__name__ == "KilledWorker"  # dask has tried it elsewhere
        )
        if self._tries[index] < MAX_TRIES and not is_dead:
            self._waiting.append(index)
            return False
        self.folder.note_failure(self.stage.name, index, error)
        return True
