"""The worker thread: runs one job at a time, the latest one wins."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal

Report = Callable[[Any], None]
Job = Callable[[Report], Generator[Any, None, Any]]


class Cancelled(Exception):
    """Raised inside a cancelled job."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A job and its callbacks.

    Parameters
    ----------
    job : callable
        Called on the worker thread; returns a generator that yields progress and
        returns the result. Its argument is a function that reports progress from
        inside a call, and raises `Cancelled` when the job was cancelled. A job must
        not touch layers or widgets.
    on_progress, on_result, on_error, on_end : callable
        Called on the main thread; `on_end` always, and last.
    stop : threading.Event
        Set to cancel the job.
    """

    job: Job
    on_progress: Callable[[Any], None]
    on_result: Callable[[Any], None]
    on_error: Callable[[Exception], None]
    on_end: Callable[[], None]
    stop: threading.Event

    def check(self) -> None:
        """Raise `Cancelled` if the task was cancelled."""
        if self.stop.is_set():
            raise Cancelled


class Worker(QObject):
    """Runs one task at a time on a thread of its own.

    A new task cancels the running one, whose result is dropped.
    """

    _event = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._current: Task | None = None
        self._thread: _Thread | None = None
        # Queued, even from the main thread, so that the order is always the same.
        self._event.connect(self._dispatch, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether a task is running that was not cancelled."""
        return self._current is not None

    def submit(
        self,
        job: Job,
        *,
        on_progress: Callable[[Any], None],
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        on_end: Callable[[], None],
    ) -> None:
        """Start a job as soon as the running one has stopped."""
        self.cancel()
        if self._thread is None:
            self._thread = _Thread(self._queue, self._emit)
            self._thread.start()
        self._current = Task(
            job, on_progress, on_result, on_error, on_end, threading.Event()
        )
        self._queue.put(self._current)

    def cancel(self) -> None:
        """Cancel the running task; only its `on_end` is called."""
        if self._current is not None:
            task, self._current = self._current, None
            task.stop.set()
            task.on_end()

    def close(self, timeout: float | None = 0) -> None:
        """Cancel silently and end the thread; wait at most `timeout` seconds for it."""
        if self._current is not None:
            self._current.stop.set()
            self._current = None
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)
            self._thread = None

    def _emit(self, task: Task, kind: str, value: Any) -> None:
        try:
            self._event.emit(task, kind, value)
        except RuntimeError:
            # The window was closed, and the Qt object with it.
            task.stop.set()

    def _dispatch(self, task: Task, kind: str, value: Any) -> None:
        if task is not self._current:
            return
        if kind == "progress":
            task.on_progress(value)
            return
        self._current = None
        try:
            if kind == "result":
                task.on_result(value)
            elif kind == "error":
                task.on_error(value)
        finally:
            task.on_end()


class _Thread(threading.Thread):
    """Runs tasks until it receives None.

    The thread is a daemon, so that closing napari does not wait for a running network.
    Python would abort if it ended during such a call, so at exit it waits for it.
    """

    def __init__(
        self,
        queue: SimpleQueue[Task | None],
        emit: Callable[[Task, str, Any], None],
    ) -> None:
        super().__init__(daemon=True, name="napari-sam")
        self._queue, self._emit = queue, emit
        self._task: Task | None = None
        atexit.register(self._leave)

    def run(self) -> None:
        """Run tasks."""
        while (task := self._queue.get()) is not None:
            self._task = task
            _run(task, self._emit)
        atexit.unregister(self._leave)

    def _leave(self) -> None:
        if self._task is not None:
            self._task.stop.set()
        self._queue.put(None)
        self.join()


def _run(task: Task, emit: Callable[[Task, str, Any], None]) -> None:
    def report(value: Any) -> None:
        task.check()
        emit(task, "progress", value)

    try:
        task.check()
        steps = task.job(report)
        while True:
            try:
                report(next(steps))
            except StopIteration as stop:
                emit(task, "result", stop.value)
                return
    except Cancelled:
        return
    except Exception as error:  # noqa: BLE001 - shown to the user by on_error
        emit(task, "error", error)
    except SystemExit as stop:  # of a library; the thread goes on
        emit(task, "error", RuntimeError(f"The work ended itself (exit {stop.code})."))
