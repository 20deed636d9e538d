"""Fingerprints of image files, to find those that changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.files import hash_file
from napari_sam.series.storage.state import Fingerprint

if TYPE_CHECKING:
    from pathlib import Path


def fingerprint_of(path: Path, before: Fingerprint | None = None) -> Fingerprint | None:
    """Compute the fingerprint of an image file; None of a folder.

    The content is not read again where size and time are as `before`.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    if path.is_dir():
        return None
    state = path.stat()
    if before and (state.st_size, state.st_mtime_ns) == (before.size, before.modified):
        return before
    return Fingerprint(state.st_size, state.st_mtime_ns, hash_file(path, "sha256"))


def has_changed(path: Path, before: Fingerprint | None) -> bool:
    """Tell whether the content of an image file differs from its fingerprint.

    The content is read only where size and time leave a doubt: copies of folders get
    other times.
    """
    if before is None or not path.is_file():
        return False
    state = path.stat()
    if state.st_size != before.size:
        return True
    if state.st_mtime_ns == before.modified:
        return False
    return hash_file(path, "sha256") != before.hash
