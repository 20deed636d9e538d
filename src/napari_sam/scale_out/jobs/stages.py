"""Stages of a job, and the running of one of their tasks in any process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_sam.scale_out.jobs.folder import PLAN, JobFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_sam.scale_out.jobs.estimate import CostEstimate

# Kinds of jobs by the name in their plan. They are imported when they are opened: a
# folder above this one has kinds of its own.
_KINDS = {
    "everything": ("napari_sam.scale_out.stacks.everything", "EverythingJob"),
    "volume": ("napari_sam.scale_out.stacks.propagation", "PropagationJob"),
    "series": ("napari_sam.series.series_job", "SeriesJob"),
}


class ChangedImageError(ValueError):
    """The image is not the one that was planned."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Tasks that do not depend on each other.

    Parameters
    ----------
    name : str
        Name of its folder.
    what : str
        What it does, for progress.
    count : callable
        Returns the number of its tasks; called when the stages before are complete.
    run : callable
        Runs a task, and returns what it computed. Running it again changes nothing.
    needs_model : bool
        Whether the tasks run the model.
    goes_on : bool
        Whether the next stages run although tasks failed.
    compressed : bool
        Whether the files of the tasks are compressed.
    """

    name: str
    what: str
    count: Callable[[], int]
    run: Callable[[int], Mapping[str, ArrayLike]]
    needs_model: bool = False
    goes_on: bool = False
    compressed: bool = True


class Work(Protocol):
    """What a kind of job does."""

    @property
    def stages(self) -> Sequence[Stage]:
        """All stages, in order."""

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale and translation of the labels; nothing where none are known."""

    def check_unchanged(self) -> None:
        """Refuse to go on when the image is not that of the plan."""

    def check_sendable(self) -> None:
        """Refuse other processes when they cannot load the model."""

    def cost(self) -> CostEstimate:
        """Estimate the work of the whole job."""

    def result(self) -> Any:
        """Return the result of the complete job."""


def open_work(folder: JobFolder, predictor: Any = None) -> Work:
    """Return what a job does.

    Parameters
    ----------
    folder : JobFolder
        Its folder.
    predictor : Predictor, optional
        The model, where it is loaded already.

    Raises
    ------
    ValueError
        When the plan is of an unknown kind.
    """
    kind = folder.plan.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"{folder.path} holds a job of the unknown kind {kind!r}.")
    module, name = _KINDS[kind]
    work: Work = getattr(import_module(module), name)(folder, predictor)
    return work


def run_task(path: str, stage: str, index: int) -> float:
    """Run one task of a job in this process, and write what it computed.

    Parameters
    ----------
    path : str
        Folder of the job.
    stage : str
        Name of the stage.
    index : int
        Number of the task.

    Returns
    -------
    float
        Seconds that it took.
    """
    written = (Path(path) / PLAN).stat().st_mtime_ns
    return run_task_of(*_opened(path, written), stage, index)


def run_task_of(folder: JobFolder, work: Work, stage: str, index: int) -> float:
    """Run one task of an open job; see `run_task`."""
    start = time.perf_counter()
    entry = next(s for s in work.stages if s.name == stage)
    folder.save(stage, index, entry.run(index), entry.compressed)
    return time.perf_counter() - start


@lru_cache(maxsize=2)
def _opened(path: str, _written: int) -> tuple[JobFolder, Work]:
    """Open a job once in each process, with its model and its tables.

    Another job may have the same folder later.
    """
    folder = JobFolder(path)
    return folder, open_work(folder)
