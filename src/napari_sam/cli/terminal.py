"""The terminal: its signals end the work in order, and its streams cannot stop it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

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


class LenientStream:
    """A text stream whose errors are kept, so that results are written all the same.

    Letters that the stream cannot show are replaced.

    Parameters
    ----------
    stream : file object or None
        The stream that takes the text; None where the process has none.

    Attributes
    ----------
    failure : OSError or None
        The first error; what was printed after it is lost.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text as far as the stream takes it."""
        stream = self._stream
        if stream is not None and self.failure is None:
            encoding = getattr(stream, "encoding", None) or "utf-8"
            shown = text.encode(encoding, "backslashreplace").decode(encoding)
            self._try(lambda: stream.write(shown))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if it still takes text."""
        if self._stream is not None and self.failure is None:
            self._try(self._stream.flush)

    def problem(self) -> str | None:
        """Say that not all lines were printed; nothing where a pipe was closed."""
        self.flush()
        if self.failure is None or self.failure.errno == errno.EPIPE:
            return None
        why = self.failure.strerror
        return f"Not all lines could be printed ({why}): see the files."

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def _try(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def end(self) -> None:
        """Flush, and after an error let what is left in the buffer go nowhere."""
        self.flush()
        if self.failure is not None and self._stream is not None:
            # Python would fail again when it flushes the stream at its end.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


@contextmanager
def lenient_streams() -> Iterator[LenientStream]:
    """Let `print` write to lenient streams; return that of the results."""
    before = sys.stdout, sys.stderr
    streams = tuple(map(LenientStream, before))
    sys.stdout, sys.stderr = cast("Any", streams)
    try:
        yield streams[0]
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.end()
