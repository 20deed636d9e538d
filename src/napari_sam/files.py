"""Atomic writes, file hashes, JSON files and texts of file errors."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


MEGABYTE = 1_000_000
ABANDONED_SECONDS = 24 * 60 * 60
"""Age of temporary files and folders that belong to no running process."""
_PART_PREFIX = ".napari-sam-"
_listed: dict[str, float] = {}  # when folders were listed for such files
# A full disk, an exceeded quota, a file that is too large for the file system.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_QUOTED = re.compile(r"\(os error (\d+)\)")
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")  # of NumPy


@contextmanager
def atomic_write(path: Path, suffix: str = "", mode: int = 0o644) -> Iterator[Path]:
    """Write a temporary file and rename it to `path` when it is complete.

    An error during the write leaves an existing file at `path` as it was. The temporary
    file is hidden; those of killed processes are removed after a day, see
    `remove_abandoned`.

    Parameters
    ----------
    path : Path
        Final name of the file, in an existing folder.
    suffix : str
        Ending of the temporary name, for writers that depend on it.
    mode : int
        Permissions of the file.

    Yields
    ------
    Path
        The temporary file, in the same folder.

    Raises
    ------
    OSError
        When the disk is full; the message names the folder.
    """
    remove_abandoned(path.parent)
    with _naming_full_disks(path):
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=_PART_PREFIX, suffix=f".part{suffix}"
        )
        os.close(handle)
        try:
            yield Path(temporary)
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def _naming_full_disks(path: Path) -> Iterator[None]:
    """Say in one sentence that a file does not fit on its disk."""
    try:
        yield
    except Exception as error:
        # Libraries have errors of their own, which quote the system's.
        quoted = _QUOTED.search(str(error))
        code = int(quoted[1]) if quoted else getattr(error, "errno", None)
        if _CUT_SHORT.search(str(error)):
            code = errno.ENOSPC
        if code not in _FULL:
            raise
        free = shutil.disk_usage(path.parent).free / MEGABYTE
        full = OSError(
            f"{path.name} does not fit on the disk of the folder "
            f"{path.parent.resolve()}, where {free:,.0f} MB are free: free some space, "
            "or choose another folder."
        )
        full.errno = code  # for callers that end all their work then
        raise full from error


def remove_abandoned(*folders: Path) -> None:
    """Remove the temporary files of killed processes, unchanged for a day.

    A process lists each folder once a day: jobs write thousands of files into one.

    Parameters
    ----------
    *folders : Path
        Folders without their sub-folders; those that cannot be listed are left out.
    """
    now = time.time()
    for folder in folders:
        name = os.path.abspath(folder)
        if now - _listed.get(name, -inf) < ABANDONED_SECONDS:
            continue
        _listed[name] = now
        with suppress(OSError), os.scandir(name) as entries:
            for part in [e for e in entries if e.name.startswith(_PART_PREFIX)]:
                _remove_older(part, now - ABANDONED_SECONDS)


def _remove_older(part: os.DirEntry[str], oldest: float) -> None:
    with suppress(OSError):  # another process may remove it, too
        if part.is_file(follow_symlinks=False) and part.stat().st_mtime < oldest:
            os.unlink(part.path)


def hash_file(path: Path, algorithm: str) -> str:
    """Compute the hash of a file, for example "sha256:79d8...".

    Parameters
    ----------
    path : Path
        The file.
    algorithm : str
        A name that pooch knows, such as "sha256" or "xxh128".

    Raises
    ------
    ValueError
        When the algorithm is unknown.
    """
    import pooch

    return f"{algorithm}:{pooch.file_hash(str(path), algorithm)}"


def verify(path: Path, expected: str) -> bool:
    """Tell whether a file has the expected hash, for example "xxh128:fe92..."."""
    return hash_file(path, expected.partition(":")[0]) == expected.lower()


def check_file(path: str | Path) -> None:
    """Refuse a path of no file, in a sentence.

    Raises
    ------
    OSError
        When there is nothing, or a folder.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it.")
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no file {path}: check the path.")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ValueError
        When the file is not JSON.
    OSError
        When there is no file, or it cannot be read.
    """
    check_file(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of the encoding or of JSON
        raise ValueError(f"{path} is not JSON ({error}).") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file with sorted keys and indentation, as transformers does."""
    with atomic_write(path) as part:
        text = json.dumps(values, indent=2, sort_keys=True)
        part.write_text(text + "\n", encoding="utf-8")


@contextmanager
def refusing_damage(name: str | Path, cure: str) -> Iterator[None]:
    """Turn what is raised on values of the wrong kind into one sentence.

    For code that makes objects of what a file says, and of nothing else.

    Parameters
    ----------
    name : str or Path
        Subject of the sentence, such as the file.
    cure : str
        What to do, such as "restore the file".

    Raises
    ------
    ValueError
        In place of errors of type, key, attribute and arithmetic.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # LinAlgError is a ValueError of NumPy.
        what = first_line(error)
        reason = f"{what} is missing" if isinstance(error, KeyError) else what
        raise ValueError(f"{name} is damaged ({reason}): {cure}.") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error message, for use inside a sentence."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0].rstrip(" .")[:200] or type(error).__name__
