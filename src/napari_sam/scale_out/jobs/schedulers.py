"""What runs tasks: this process, processes of this computer, dask, any executor."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from napari_sam.checks.values import describe
from napari_sam.optional import import_optional
from napari_sam.scale_out.jobs.stages import run_task, run_task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.context import BaseContext

    from napari_sam.scale_out.jobs.folder import JobFolder
    from napari_sam.scale_out.jobs.stages import Stage, Work

    # None, a number of processes, "local:4", an address, a Client or an Executor.
    Scheduler = int | str | Executor | Any | None

EXTRA = "cluster"
_WORDS = 'None, a number of processes, "local:4", a dask Client or its address, or an '
_WORDS += "Executor"
# Tasks that are submitted ahead for each worker of an engine: few, so that many tasks
# do not fill its memory.
_AHEAD = 4
_UNKNOWN_WORKERS = 8
_LOCAL = re.compile(r"local(?::([0-9]+))?")
# What every process of a pool needs. A server imports it once, and processes are forked
# from there: no model was loaded in it, so no thread of torch gets lost.
_PRELOADED = ["torch", "scipy.ndimage", "skimage.segmentation", "napari_sam.prediction"]
_PRELOADED += ["napari_sam.scale_out.stacks.everything"]
_PRELOADED += ["napari_sam.scale_out.stacks.propagation"]
_GPU = "GPU"


class Pool(Protocol):
    """Runs tasks of a job."""

    @property
    def window(self) -> int:
        """Number of tasks to submit at once."""

    def submit(self, stage: Stage, index: int) -> Future[float]:
        """Run a task, perhaps elsewhere."""

    def restart(self) -> bool:
        """Start again after a worker died; False when that is not possible."""

    def close(self) -> None:
        """End the workers that were started here."""


class HerePool:
    """Runs tasks in this process, one after the other.

    Parameters
    ----------
    folder, work : JobFolder, Work
        The job.
    """

    window = 1

    def __init__(self, folder: JobFolder, work: Work) -> None:
        self._folder, self._work = folder, work

    def submit(self, stage: Stage, index: int) -> Future[float]:
        """Run a task at once."""
        future: Future[float] = Future()
        try:
            seconds = run_task_of(self._folder, self._work, stage.name, index)
        # Any error of a task is reported by its future.
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        else:
            future.set_result(seconds)
        return future

    def restart(self) -> bool:
        """Return False: there is nothing to start."""
        return False

    def close(self) -> None:
        """Do nothing."""


class ExecutorPool:
    """Runs tasks by an executor of the caller.

    Parameters
    ----------
    folder : JobFolder
        The job.
    executor, model_executor : Executor
        For tasks without and with the model.
    workers : int
        Number of workers.
    run : callable
        Runs a task by its name.
    """

    def __init__(
        self,
        folder: JobFolder,
        executor: Executor,
        workers: int = _UNKNOWN_WORKERS,
        model_executor: Executor | None = None,
        run: Callable[[str, str, int], float] = run_task,
    ) -> None:
        self._path, self._run = str(folder.path), run
        self._executor = executor
        self._model_executor = model_executor or executor
        self.window = _AHEAD * workers

    def submit(self, stage: Stage, index: int) -> Future[float]:
        """Submit a task."""
        executor = self._model_executor if stage.needs_model else self._executor
        return executor.submit(self._run, self._path, stage.name, index)

    def restart(self) -> bool:
        """Return False: the executor is that of the caller."""
        return False

    def close(self) -> None:
        """Leave the executor open."""


class ProcessPool:
    """Runs tasks in processes of this computer.

    Parameters
    ----------
    folder : JobFolder
        The job.
    workers : int
        Number of processes.
    """

    def __init__(self, folder: JobFolder, workers: int) -> None:
        self._path, self._workers = str(folder.path), workers
        self.window = 2 * workers
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        threads = max((os.cpu_count() or 1) // self._workers, 1)
        return ProcessPoolExecutor(
            self._workers,
            mp_context=process_context(),
            initializer=_initialize,
            initargs=(dict(os.environ), _start_worker, threads),
        )

    def submit(self, stage: Stage, index: int) -> Future[float]:
        """Submit a task."""
        return self._executor.submit(run_task, self._path, stage.name, index)

    def restart(self) -> bool:
        """Start new processes."""
        self._executor.shutdown(cancel_futures=True)
        self._executor = self._start()
        return True

    def close(self) -> None:
        """End the processes after their task."""
        self._executor.shutdown(cancel_futures=True)


def process_context() -> BaseContext:
    """Return how processes are started: never by a fork of this one.

    The threads of torch do not survive a fork.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def warm_up(scheduler: Scheduler) -> None:
    """Start what processes of this computer need, beside the planning of a job.

    Parameters
    ----------
    scheduler : object
        See `open_pool`; does nothing for others than processes of this computer.
    """
    is_number = isinstance(scheduler, int) and not isinstance(scheduler, bool)
    is_local = isinstance(scheduler, str) and _LOCAL.fullmatch(scheduler)
    if sys.platform == "linux" and (is_number or is_local):
        from multiprocessing.forkserver import ensure_running

        process_context()
        ensure_running()


class DaskPool(ExecutorPool):
    """Runs tasks on a dask cluster; those of the model where workers have a GPU.

    Parameters
    ----------
    folder : JobFolder
        The job, in a folder that all workers see.
    client : distributed.Client
        The cluster.
    owned : bool
        Whether to close the client.
    """

    def __init__(self, folder: JobFolder, client: Any, owned: bool = False) -> None:
        threads = client.nthreads()
        has_gpu = any(
            _GPU in worker.get("resources", {}) for worker in _workers(client)
        )
        # A task is no pure function: its output is a file.
        executor = client.get_executor(pure=False)
        on_gpu = (
            client.get_executor(pure=False, resources={_GPU: 1}) if has_gpu else None
        )
        super().__init__(folder, executor, max(sum(threads.values()), 1), on_gpu)
        self._client = client if owned else None

    def close(self) -> None:
        """Close the client, if it was opened here."""
        if self._client is not None:
            self._client.close()


def _workers(client: Any) -> list[dict[str, Any]]:
    """Describe all workers of a cluster."""
    try:
        found = client.scheduler_info(n_workers=-1)
    except TypeError:  # before 2025.4 it always lists all
        found = client.scheduler_info()
    return list(found["workers"].values())


def open_pool(scheduler: Scheduler, folder: JobFolder, work: Work) -> Pool:
    """Return what runs the tasks of a job.

    Parameters
    ----------
    scheduler : object
        None for this process, a number of processes or ``"local:4"``, a dask Client or
        the address of its scheduler, or any `concurrent.futures.Executor`.
    folder, work : JobFolder, Work
        The job.

    Raises
    ------
    TypeError, ValueError
        When it is none of these.
    ModuleNotFoundError
        When an address is given and dask.distributed is not installed.
    """
    if scheduler is None:
        return HerePool(folder, work)
    if not isinstance(scheduler, ThreadPoolExecutor):
        work.check_sendable()
    if isinstance(scheduler, int) and not isinstance(scheduler, bool):
        return ProcessPool(folder, _at_least_one(scheduler))
    if isinstance(scheduler, str):
        return _open_named(scheduler, folder)
    if isinstance(scheduler, ThreadPoolExecutor):

        def run(_: str, stage: str, index: int) -> float:
            return run_task_of(folder, work, stage, index)

        return ExecutorPool(folder, scheduler, run=run)
    if isinstance(scheduler, Executor):
        return ExecutorPool(folder, scheduler)
    if hasattr(scheduler, "get_executor") and hasattr(scheduler, "nthreads"):
        return DaskPool(folder, scheduler)
    raise TypeError(f"scheduler is {describe(scheduler)}: give {_WORDS}.")


def _open_named(scheduler: str, folder: JobFolder) -> Pool:
    """Return the processes or the cluster that a text names."""
    local = _LOCAL.fullmatch(scheduler)
    if local:
        return ProcessPool(folder, _at_least_one(int(local[1] or _cores())))
    if "://" not in scheduler:
        raise ValueError(f"scheduler={scheduler!r} is unknown: give {_WORDS}.")
    distributed = import_optional("distributed", EXTRA)
    return DaskPool(folder, distributed.Client(scheduler), owned=True)


def _at_least_one(workers: int) -> int:
    if workers < 1:
        raise ValueError(f"scheduler={workers} has no worker: give at least 1.")
    return workers


def _cores() -> int:
    return os.cpu_count() or 1


def _initialize(
    environment: Mapping[str, str], start: Callable[[int], None], threads: int
) -> None:
    """Start a process with the environment of now, not of when the server started."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    start(threads)


def _start_worker(threads: int) -> None:
    """Share the cores between the processes, and end with the one that started them."""
    import torch

    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
