"""Encoded planes on disk: one file each, in half precision, within a limit of size."""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_MAX_BYTES = 4 * 2**30
_SUFFIX = ".npy"


class DiskCache:
    """Arrays under hashed keys, the latest used kept; several processes may share it.

    A file appears under its name only when it is complete, and damaged files are
    treated as missing, so that work that was cut short goes on where it stopped.

    Parameters
    ----------
    folder : str or Path
        Made when something is written.
    max_bytes : int
        Limit of all files together; the oldest go first.
    """

    def __init__(self, folder: str | Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(size for _, size, _ in self._files())

    def get(self, key: Any) -> NDArray[np.float16] | None:
        """Return the array under a key; None when there is none that can be read."""
        path = self._path(key)
        try:
            array: NDArray[np.float16] = np.load(path, allow_pickle=False)
            os.utime(path)  # used just now
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return array

    def put(self, key: Any, array: NDArray[np.float16]) -> None:
        """Keep an array; a disk that is full or read-only is no reason to stop."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                atomic_write(self._path(key), mode=0o600) as part,
                part.open("wb") as file,
            ):
                np.save(file, array, allow_pickle=False)
            self._shrink()

    def clear(self) -> None:
        """Delete all files of the cache; other files of the folder stay."""
        for _, _, path in self._files():
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        name = blake2b(repr(key).encode(), digest_size=20).hexdigest()
        return self.folder / f"{name}{_SUFFIX}"

    def _files(self) -> list[tuple[int, int, Path]]:
        """(last used, size, path) of each file, the oldest first."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            # Another process may have deleted it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        return sorted(found)

    def _shrink(self) -> None:
        files = self._files()
        held = sum(size for _, size, _ in files)
        for _, size, path in files[:-1]:
            if held <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            held -= size
