"""Watching a job that other processes run: how far it is, and the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.scale_out.jobs.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_sam.scale_out.jobs.folder import TaskFailure
    from napari_sam.scale_out.jobs.job import StageStatus

# The speed of a stage is that since it was seen first, over at least this time.
_LEAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class JobView:
    """How far a job is at one moment.

    Parameters
    ----------
    stages : tuple of StageStatus
        All stages, in order.
    failed : tuple of TaskFailure
        Tasks that failed.
    workers : tuple of str
        Who works on it.
    seconds_left : float or None
        Estimate for the stage that runs; None while it is not known.
    """

    stages: tuple[StageStatus, ...]
    failed: tuple[TaskFailure, ...]
    workers: tuple[str, ...]
    seconds_left: float | None

    @property
    def is_complete(self) -> bool:
        """Whether all tasks are done."""
        return all(stage.is_complete for stage in self.stages)

    @property
    def current(self) -> StageStatus | None:
        """The first stage that is not complete."""
        return next((s for s in self.stages if not s.is_complete), None)


class JobWatch:
    """Follows a job in its folder.

    Parameters
    ----------
    path : str or Path
        The folder.
    clock : callable, optional
        Returns the time in seconds.

    Raises
    ------
    ValueError, OSError
        When there is no job in the folder.
    """

    def __init__(
        self, path: str | Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job = Job(path)
        self._clock = clock
        self._start: tuple[str, int, float] | None = None

    def look(self) -> JobView:
        """Read how far the job is."""
        stages = tuple(self.job.status())
        view = JobView(stages, tuple(self.job.failed), tuple(self.job.workers), None)
        return JobView(view.stages, view.failed, view.workers, self._left(view.current))

    def _left(self, stage: StageStatus | None) -> float | None:
        """Estimate the seconds of the stage that runs, from its speed so far."""
        now = self._clock()
        if stage is None or stage.total is None:
            return None
        if self._start is None or self._start[0] != stage.name:
            self._start = stage.name, stage.done, now
        _, before, since = self._start
        done, seconds = stage.done - before, now - since
        if done <= 0 or seconds < _LEAST_SECONDS:
            return None
        return seconds / done * (stage.total - stage.done - stage.failed)
