"""A sign in the folder of a job that asks all who work on it to stop."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from napari_sam.files import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "stop.json"
_CHECK_SECONDS = 1.0


class JobStoppedError(RuntimeError):
    """A job was asked to stop; it goes on when it is run again."""


class StopSign:
    """Tells whether a job was asked to stop since this object was made.

    Who starts later goes on: nothing must be cleared away.

    Parameters
    ----------
    folder : Path
        Folder of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._seen, self._checked = self._read(), time.monotonic()

    def ask(self) -> None:
        """Ask all who work on the job now to stop after their task."""
        write_json(self._file, {"asked": uuid.uuid4().hex})

    def check(self) -> None:
        """Stop when that was asked.

        Raises
        ------
        JobStoppedError
            When it was. The file is read once a second at most.
        """
        now = time.monotonic()
        if now - self._checked < _CHECK_SECONDS:
            return
        self._checked = now
        if self._read() != self._seen:
            raise JobStoppedError(
                f"{self._file.parent} was asked to stop: run it again to go on."
            )

    def _read(self) -> object:
        try:
            return read_json(self._file)
        except (OSError, ValueError):
            return None
