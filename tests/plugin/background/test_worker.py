"""Jobs run on a thread of their own; callbacks run on the main thread."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from qtpy.QtCore import QThread

from napari_sam.plugin.background.worker import Cancelled, Worker
from napari_sam.plugin.notifications import error_text

LONG = 10_000


class Log(list[tuple[str, Any]]):
    """What was delivered, and whether every call came on the main thread."""

    def __init__(self) -> None:
        super().__init__()
        self.main = QThread.currentThread()

    def note(self, kind: str) -> Callable[[Any], None]:
        def deliver(value: Any) -> None:
            assert QThread.currentThread() is self.main
            self.append((kind, value))

        return deliver

    def of(self, kind: str) -> list[Any]:
        return [value for noted, value in self if noted == kind]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def worker(qtbot: Any) -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close(10)


@pytest.fixture
def submit(worker: Worker, log: Log) -> Callable[..., None]:
    def start(job: Any, name: str = "job") -> None:
        worker.submit(
            job,
            on_progress=log.note("progress"),
            on_result=log.note("result"),
            on_error=lambda error: log.note("error")(str(error)),
            on_end=lambda: log.note("end")(name),
        )

    return start


def steps(name: str, count: int = 3) -> Any:
    def job(report: Any) -> Any:
        yield from (f"{name} {number}" for number in range(count))
        return name

    return job


def test_progress_then_result_then_end_on_the_main_thread(
    qtbot: Any, log: Log, submit: Any, worker: Worker
) -> None:
    main, threads = threading.get_ident(), []

    def job(report: Any) -> Any:
        threads.append(threading.get_ident())
        report("inside")
        yield "step"
        return "done"

    submit(job)
    assert worker.busy
    qtbot.waitUntil(lambda: bool(log.of("end")), timeout=LONG)
    assert log == [
        ("progress", "inside"),
        ("progress", "step"),
        ("result", "done"),
        ("end", "job"),
    ]
    assert threads != [main]
    assert not worker.busy


def test_latest_job_wins(qtbot: Any, log: Log, submit: Any, worker: Worker) -> None:
    going, release = threading.Event(), threading.Event()

    def blocked(report: Any) -> Any:
        going.set()
        yield "slow 0"
        release.wait(LONG)
        return "slow"

    submit(blocked, "slow")
    assert going.wait(10)
    for name in ("dropped", "last"):
        submit(steps(name), name)
    release.set()
    qtbot.waitUntil(lambda: "last" in log.of("end"), timeout=LONG)
    assert log.of("end") == ["slow", "dropped", "last"]
    assert log.of("result") == ["last"]
    assert log.of("progress") == ["last 0", "last 1", "last 2"]


def test_cancelled_job_delivers_only_its_end(
    qtbot: Any, log: Log, submit: Any, worker: Worker
) -> None:
    going, release = threading.Event(), threading.Event()

    def blocked(report: Any) -> Any:
        going.set()
        release.wait(10)
        yield "too late"
        return "too late"

    submit(blocked)
    assert going.wait(10)
    worker.cancel()
    assert not worker.busy
    assert log == [("end", "job")]
    release.set()
    submit(steps("next", 0), "next")
    qtbot.waitUntil(lambda: "next" in log.of("end"), timeout=LONG)
    assert log == [("end", "job"), ("result", "next"), ("end", "next")]


def test_cancel_drops_a_queued_result(
    qtbot: Any, log: Log, submit: Any, worker: Worker
) -> None:
    finished = threading.Event()

    def job(report: Any) -> Any:
        try:
            yield "step"
        finally:
            finished.set()
        return "result"

    submit(job)
    assert finished.wait(10)  # no event was processed here since
    worker.cancel()
    qtbot.wait(50)
    assert log == [("end", "job")]


def test_thread_continues_after_an_error(qtbot: Any, log: Log, submit: Any) -> None:
    def failing(report: Any) -> Any:
        yield "step"
        raise MemoryError("no memory left")

    def failing_at_once(report: Any) -> Any:
        raise ValueError("a sentence")

    submit(failing, "first")
    qtbot.waitUntil(lambda: "first" in log.of("end"), timeout=LONG)
    submit(failing_at_once, "second")
    qtbot.waitUntil(lambda: "second" in log.of("end"), timeout=LONG)
    submit(steps("third", 0), "third")
    qtbot.waitUntil(lambda: "third" in log.of("end"), timeout=LONG)
    assert log.of("error") == ["no memory left", "a sentence"]
    assert log.of("result") == ["third"]
    assert log[-1] == ("end", "third")


def test_cancel_interrupts_a_call_that_reports_progress(
    qtbot: Any, log: Log, submit: Any, worker: Worker
) -> None:
    going, raised = threading.Event(), threading.Event()

    def endless(report: Any) -> Any:
        yield "started"
        try:
            while True:
                report("still downloading")
                going.set()
                raised.wait(0.001)
        except Cancelled:
            raised.set()
            raise

    submit(endless)
    assert going.wait(10)
    worker.cancel()
    assert raised.wait(10)
    qtbot.wait(20)
    assert log.of("result") == log.of("error") == []
    assert log[-1] == ("end", "job")


def test_closing_ends_the_thread_silently(qtbot: Any, log: Log, submit: Any) -> None:
    before = set(threading.enumerate())
    worker = Worker()
    going = threading.Event()

    def endless(report: Any) -> Any:
        while True:
            going.set()
            yield "step"

    worker.submit(
        endless,
        on_progress=lambda _: None,
        on_result=log.note("result"),
        on_error=log.note("error"),
        on_end=lambda: log.note("end")("job"),
    )
    assert going.wait(10)
    assert len(set(threading.enumerate()) - before) == 1
    worker.close(10)
    assert not set(threading.enumerate()) - before
    assert not worker.busy
    qtbot.wait(20)
    assert not log
    worker.close(10)  # once more does no harm


def test_job_ends_when_its_callback_fails(qtbot: Any, log: Log, worker: Worker) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("cannot be shown")

    with qtbot.capture_exceptions() as exceptions:
        worker.submit(
            steps("job", 0),
            on_progress=log.note("progress"),
            on_result=refuse,
            on_error=log.note("error"),
            on_end=lambda: log.note("end")("job"),
        )
        qtbot.waitUntil(lambda: bool(log.of("end")), timeout=LONG)
    assert [kind for kind, *_ in exceptions] == [RuntimeError]
    assert not worker.busy


_LEAVES_EARLY = """
import threading
from qtpy.QtCore import QCoreApplication
import torch
from napari_sam.plugin.notifications import error_text
from napari_sam.plugin.background.worker import Worker

application = QCoreApplication([])
worker, started = Worker(), threading.Event()

def job(report):
    square = torch.rand(1200, 1200)
    for step in range(1000):
        started.set()
        square = torch.tanh(square @ square)
        yield step

nothing = lambda *_: None
worker.submit(
    job, on_progress=nothing, on_result=nothing, on_error=nothing, on_end=nothing
)
started.wait()
"""


@pytest.mark.parametrize("closed", [False, True])
def test_program_can_exit_while_a_job_runs(closed: bool) -> None:
    script = _LEAVES_EARLY + ("worker.close()" if closed else "")
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.returncode == 0, done.stderr


def test_the_thread_goes_on_after_a_job_that_exits(
    submit: Callable[..., None], log: Log, qtbot: Any
) -> None:
    def exits(report: Any) -> Iterator[Any]:
        yield 1
        sys.exit(3)

    def works(report: Any) -> Iterator[Any]:
        yield 2
        return "done"

    submit(exits)
    qtbot.waitUntil(lambda: bool(log.of("error")), timeout=LONG)
    assert "exit 3" in log.of("error")[0]
    submit(works)
    qtbot.waitUntil(lambda: log.of("result") == ["done"], timeout=LONG)


@pytest.mark.parametrize("error", [MemoryError(), AssertionError(), OSError("  ")])
def test_every_error_has_a_text(error: Exception) -> None:
    assert len(error_text(error)) > 20
    assert error_text(ValueError("Give 3.")) == "Give 3."
