"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


MEGABYTE = 1_000_000


@contextmanager
def atomic_write(path: Path, ending: str = "", mode: int = 0o644) -> Iterator[Path]:
    """Give a file beside `path` to write to, which takes its name at the end.

    When writing fails, whatever lay under the name before is untouched.

    Parameters
    ----------
    path : Path
        What the file will be called; its folder exists.
    ending : str
        Of the name until then, for writers that go by it.
    mode : int
        Who may read and write it.
    """
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=f".part{ending}")
    os.close(handle)
    try:
        yield Path(part)
        os.chmod(part, mode)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def verify(path: Path, expected: str) -> bool:
    """Tell whether a file has the hash it should have.

    Parameters
    ----------
    path : pathlib.Path
        The file, read as a whole.
    expected : str
        Algorithm and digest, as in "sha256:79d8..." or "xxh128:fe92...".

    Returns
    -------
    bool
        Whether the digests agree.

    Raises
    ------
    ValueError
        If the algorithm is neither sha256 nor xxh128.
    """
    return hash_file(path, expected.partition(":")[0]) == expected.lower()


def hash_file(path: Path, algorithm: str) -> str:
    """Hash a file, as in "sha256:79d8..."; `algorithm` is sha256 or xxh128."""
    with path.open("rb") as file:
        if algorithm == "sha256":
            digest = hashlib.file_digest(file, "sha256")
        elif algorithm == "xxh128":
            import xxhash

            digest = hashlib.file_digest(file, xxhash.xxh128)
        else:
            raise ValueError(
                f"Unknown hash algorithm {algorithm!r}; write the hash as "
                "'sha256:...' or 'xxh128:...'."
            )
    return f"{algorithm}:{digest.hexdigest()}"


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ValueError
        When the file is not JSON.
    OSError
        When it cannot be read.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding or of JSON
        raise ValueError(f"{path} is not JSON ({error}).") from error


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file as transformers does, whole or not at all."""
    with atomic_write(file) as part:
        part.write_text(
            json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
