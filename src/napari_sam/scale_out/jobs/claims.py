"""Claims on tasks, so that processes that share a job do not do the same work.

A claim is a file that only one process can create. It is never needed for a correct
result: tasks may be repeated.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

from napari_sam.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

# Holders touch their claim this often; one that is older than this has no holder.
_TOUCH_SECONDS, _ABANDONED_SECONDS = 20.0, 300.0


class Claims:
    """The claims of this process in a folder; one is held at a time.

    The claim of a process that has ended on this computer is void at once, that of
    another computer after five minutes without a sign of life.

    Parameters
    ----------
    folder : Path
        Folder of the claims; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: Path | None = None
        self._ended = Event()
        self._thread = Thread(target=self._touch, daemon=True, name="napari-sam claims")

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._ended.set()

    def take(self, name: str) -> bool:
        """Claim something; False when another process holds it."""
        path = self.folder / name
        if self._create(path):
            return True
        if not _is_held(path):
            path.unlink(missing_ok=True)
            return self._create(path)
        return False

    def is_taken(self, name: str) -> bool:
        """Tell whether another process holds a claim."""
        path = self.folder / name
        return path != self._held and _is_held(path)

    def release(self) -> None:
        """Give back the claim that is held, if any."""
        path, self._held = self._held, None
        if path is not None:
            path.unlink(missing_ok=True)

    def held_by_others(self) -> list[str]:
        """Describe the processes that hold claims."""
        found = []
        for path in sorted(self.folder.glob("*")):
            if path != self._held and _is_held(path):
                holder = _holder(path)
                found.append(f"process {holder.get('process')} on {holder.get('host')}")
        return list(dict.fromkeys(found))

    def _create(self, path: Path) -> bool:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as file:
            json.dump({"host": socket.gethostname(), **_this_process()}, file)
        self._held = path
        return True

    def _touch(self) -> None:
        """Show that the holder lives."""
        while not self._ended.wait(_TOUCH_SECONDS):
            path = self._held
            if path is not None:
                with suppress(OSError):
                    os.utime(path)


def _this_process() -> dict[str, Any]:
    import psutil

    return {"process": os.getpid(), "started": psutil.Process().create_time()}


def _holder(path: Path) -> dict[str, Any]:
    """Return what a claim says; nothing while it is written, or when it is gone."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_held(path: Path) -> bool:
    """Tell whether the holder of a claim may still work on it."""
    import psutil

    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    holder = _holder(path)
    if holder.get("host") == socket.gethostname():
        try:
            started = psutil.Process(int(holder["process"])).create_time()
        except (psutil.Error, KeyError, ValueError):
            return False
        return bool(started == holder.get("started"))
    return age < _ABANDONED_SECONDS
