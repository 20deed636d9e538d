"""Hashes of files: what was published, and what a file has."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
