"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def written_whole(path: Path, ending: str = "", mode: int = 0o644) -> Iterator[Path]:
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
