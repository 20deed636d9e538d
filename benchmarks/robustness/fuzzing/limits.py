"""Limits of one example: memory, time, and what it may raise."""

from __future__ import annotations

import re
import signal
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari_sam
from napari_sam import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = 500_000_000
SECONDS = 2.0
_PACKAGE = str(Path(napari_sam.__file__).parent)
_DECLARED = (ValueError, OSError, ModuleNotFoundError)


class TooSlowError(BaseException):
    """An example took more than its processor time."""


def limit_memory(nbytes: int = MEMORY) -> None:
    """Let this process take only so many bytes more than now."""
    import resource

    status = Path("/proc/self/status").read_text()
    line = next(row for row in status.splitlines() if row.startswith("VmData"))
    limit = int(line.split()[1]) * 1024 + nbytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # A file that needs more is to be refused, as on a machine that has no more.
    memory.free_memory = lambda: nbytes  # type: ignore[assignment]


@contextmanager
def limited_time(seconds: float = SECONDS) -> Iterator[None]:
    """End a block after its processor time, which other processes do not use up."""

    def end(*_: Any) -> None:
        raise TooSlowError(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def is_sentence(text: str) -> bool:
    """Tell whether a message is one sentence of this package."""
    # Sentences begin with a capital, a value, a path, or an option as in "size=3: ...".
    begins = re.match(r"[A-Z0-9/\"'\[{]|[a-z_]+=|--axes ", text) is not None
    return begins and text.endswith((".", ".)", "?")) and "\n" not in text.strip()


def complaint(read: Callable[[], Any]) -> str:
    """Run an example; return what is wrong with it, or nothing."""
    try:
        with limited_time(), warnings.catch_warnings():
            warnings.simplefilter("error")
            # tifffile and Pillow warn of what they mend.
            warnings.filterwarnings("ignore", module="(tifffile|PIL|zarr|imageio)")
            # torch warns of protocols that it knows in part, and reads or refuses them.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            read()
    except _DECLARED as error:
        return _of_error(error)
    except (Exception, TooSlowError) as error:  # noqa: BLE001 - each is a fault
        return _where(error)
    return ""


def _of_error(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = frames[-1].filename.startswith(_PACKAGE)
    if isinstance(error, OSError) and error.errno is not None:
        return ""  # the system's own words, which name the file
    if not is_ours:
        return _where(error)
    return "" if is_sentence(str(error)) else f"no sentence: {error!s:.300}"


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(_PACKAGE)]
    place = (
        f"{ours[-1].filename.removeprefix(_PACKAGE)}:{ours[-1].lineno}" if ours else ""
    )
    return f"{type(error).__name__} at {place}: {error!s:.200}"
