"""Interruption of the command line by SIGTERM, or by closing its terminal."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


# Windows has no SIGHUP.
_SIGNALS = [getattr(signal, n) for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n)]


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat what schedulers, shutdowns and closed terminals send as Ctrl+C.

    The work ends as after Ctrl+C: what is done is written. Signals that are ignored, as
    by `nohup`, stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = {n: h for n, h in before.items() if h not in (None, signal.SIG_IGN)}
    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
