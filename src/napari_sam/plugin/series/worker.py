"""The thread that reads and writes the files of a series, one job after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

THREAD = "napari-sam-series"


class FileWorker(QObject):
    """Runs jobs in their order on one thread; none is dropped, as saves are among them.

    Parameters
    ----------
    on_error : callable
        Takes the error of a job that has no function of its own for it.
    parent : QObject, optional
        Owner.
    """

    _ended = Signal(object, object)

    def __init__(
        self, on_error: Callable[[Exception], None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._on_error = on_error
        self._executor = ThreadPoolExecutor(1, THREAD)
        self._is_closed = False
        self._waiting = 0
        self._ended.connect(self._call, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether a job waits or runs."""
        return self._waiting > 0

    def submit(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Run a job after all before it.

        Parameters
        ----------
        work : callable
            Called on the thread; it must not touch layers or widgets.
        on_result : callable, optional
            Called with what it returns, on the main thread.
        on_error : callable, optional
            Called with its error, on the main thread.
        """
        self._waiting += 1

        def run() -> None:
            try:
                value, then = work(), on_result
            except Exception as error:  # noqa: BLE001 - told on the main thread
                value, then = error, on_error or self._on_error
            try:
                self._ended.emit(then, value)
            except RuntimeError:  # the window was closed, and this object with it
                return

        self._executor.submit(run)

    def close(self) -> None:
        """Let the jobs end, and call nobody any more. Python waits for them at exit."""
        self._is_closed = True
        self._executor.shutdown(wait=False)

    def _call(self, then: Callable[[Any], object] | None, value: Any) -> None:
        self._waiting -= 1
        if then is not None and not self._is_closed:
            then(value)
