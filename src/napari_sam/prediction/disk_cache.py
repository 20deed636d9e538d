"""Cache of arrays on disk, one file an array, limited in size."""

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
    """Least-recently-used cache of arrays in a folder.

    Several processes may share a folder: files are written atomically, and damaged
    files count as missing.

    Parameters
    ----------
    folder : str or Path
        Created by the first `put`.
    max_bytes : int, optional
        Limit for all files together; none when None. The least recently used are
        deleted first.
    """

    def __init__(
        self, folder: str | Path, max_bytes: int | None = DEFAULT_MAX_BYTES
    ) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes

    def get(self, key: Any) -> NDArray[np.float16] | None:
        """Return the array of a key, or None when it is missing or damaged."""
        path = self._path(key)
        try:
            # Mapped first, a header cannot ask for more memory than the file holds.
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            array: NDArray[np.float16] = np.array(mapped)
            os.utime(path)  # mark as recently used
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 - whatever NumPy raises on a damaged file
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return array

    def put(self, key: Any, array: NDArray[np.float16]) -> None:
        """Write an array; a full or read-only disk is ignored."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                atomic_write(self._path(key), mode=0o600) as part,
                part.open("wb") as file,
            ):
                np.save(file, array, allow_pickle=False)
            self._shrink()

    def _path(self, key: Any) -> Path:
        name = blake2b(repr(key).encode(), digest_size=20).hexdigest()
        return self.folder / f"{name}{_SUFFIX}"

    def _files(self) -> list[tuple[int, int, Path]]:
        """List (time of last use, size, path), the least recently used first."""
        files = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            # Another process may delete the file meanwhile.
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                files.append((stat.st_mtime_ns, stat.st_size, path))
        return sorted(files)

    def _shrink(self) -> None:
        if self.max_bytes is None:
            return
        files = self._files()
        total = sum(size for _, size, _ in files)
        for _, size, path in files[:-1]:
            if total <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
