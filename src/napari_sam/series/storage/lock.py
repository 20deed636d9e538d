"""Locks of images, so that one process at a time writes the files of an image."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from napari_sam.files import first_line
from napari_sam.series.storage.state import user_name

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_ABANDONED_SECONDS = 24 * 60 * 60  # of a lock of another computer
_ATTEMPTS = 5
# Where Windows locks a byte: behind the content, which others may read.
_OFFSET = 2**30


class LockedError(PermissionError):
    """Another process has locked the image."""


class ImageLock:
    """A lock file, held until it is closed.

    The operating system frees the lock of a process that ends in any way, so that a
    file that is left behind locks nothing. The file names computer, process, user and
    time for those who find it. A file of another computer, whose locks may not be seen
    here, counts for a day.

    Parameters
    ----------
    path : Path
        The lock file, in an existing folder.

    Raises
    ------
    LockedError
        When another process, or another opener of this process, holds the lock.
    OSError
        When the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        for _ in range(_ATTEMPTS):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if self._take(handle):
                    self._handle: int | None = handle
                    return
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # the file was removed before it was locked
        raise LockedError(f"{path} changes all the time: try again.")

    def _take(self, handle: int) -> bool:
        """Lock the file and write who holds it; False when it was removed since."""
        holder = _read(handle)
        if _is_abroad(holder) and time.time() - os.fstat(handle).st_mtime < (
            _ABANDONED_SECONDS
        ):
            raise LockedError(self._sentence(holder))
        if not _lock(handle):
            raise LockedError(self._sentence(_read(handle)))
        try:
            if not os.path.samestat(os.fstat(handle), os.stat(self.path)):
                return False
        except FileNotFoundError:
            return False
        content = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "user": user_name(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, (json.dumps(content) + "\n").encode())
        return True

    def _sentence(self, holder: dict[str, Any]) -> str:
        who = holder.get("user") or "another user"
        where = f"process {holder.get('process', '?')} on {holder.get('host', '?')}"
        return (
            f"The image is opened by {who} ({where}, since {holder.get('time', '?')}): "
            f"it can be read only. If that process has ended, delete {self.path}."
        )

    def close(self) -> None:
        """Free the lock and remove its file."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        if sys.platform == "win32":  # it removes no open files
            os.close(handle)
            _remove(self.path)
        else:
            _remove(self.path)
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return  # the next process opened it to wait: it locks nothing


def _read(handle: int) -> dict[str, Any]:
    """Return what a lock file says; nothing when it is empty or damaged."""
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        content = json.loads(os.read(handle, 4096) or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_abroad(holder: dict[str, Any]) -> bool:
    here = socket.gethostname()
    return bool(holder.get("host", here) != here)


def _lock(handle: int) -> bool:
    """Lock a file without waiting; False when another has locked it."""
    if sys.platform == "win32":
        os.lseek(handle, _OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    else:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise OSError(
                f"The folder cannot lock files ({first_line(error)}): write to another "
                "one."
            ) from error
    return True
