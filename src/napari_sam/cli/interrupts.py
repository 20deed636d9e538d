"""Interruptions of the command line: Ctrl+C from the first moment, and SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def run() -> int:
    """Run `napari-sam`; the entry point, which imports the rest."""
    try:
        from napari_sam.cli.main import main
    except KeyboardInterrupt:
        print("napari-sam: interrupted.", file=sys.stderr)  # noqa: T201
        return 130
    return main()


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which schedulers and shutdowns send, as Ctrl+C.

    The work ends as after Ctrl+C: what is done is written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
