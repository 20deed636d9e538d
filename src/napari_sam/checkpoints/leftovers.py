"""What interrupted downloads left in the cache folder."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.checkpoints.download import cache_folder
from napari_sam.checkpoints.sources import walk_folder

if TYPE_CHECKING:
    from pathlib import Path

# A download that runs writes more often than this.
_QUIET_SECONDS = 10 * 60


@dataclass(frozen=True, slots=True)
class Leftover:
    """Temporary folder of a download that did not end.

    Attributes
    ----------
    path : Path
        The folder.
    nbytes : int
        Size of its files.
    is_active : bool
        Whether it was changed in the last ten minutes: the download may still run.
    """

    path: Path
    nbytes: int
    is_active: bool


def find_leftovers() -> list[Leftover]:
    """List the temporary folders in the cache folder, in order of their names.

    Returns
    -------
    list of Leftover
        Empty where there are none, or no cache folder.
    """
    found = []
    for path in sorted(cache_folder().glob(".*.part")):
        files = list(walk_folder(path))
        newest = max((status.st_mtime for status in files), default=time.time())
        found.append(
            Leftover(
                path,
                sum(status.st_size for status in files),
                time.time() - newest < _QUIET_SECONDS,
            )
        )
    return found


def remove_leftovers() -> list[Leftover]:
    """Delete the temporary folders of downloads that no longer run.

    Returns
    -------
    list of Leftover
        Those that are gone.
    """
    quiet = [leftover for leftover in find_leftovers() if not leftover.is_active]
    for leftover in quiet:
        shutil.rmtree(leftover.path, ignore_errors=True)
    return [leftover for leftover in quiet if not leftover.path.exists()]
