"""Temporary files as killed processes leave them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_sam.files import ABANDONED_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def write_old_parts(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> list[Path]:
    """Write a temporary file into each folder, and go on two days later."""
    parts = [folder / ".napari-sam-abc.part" for folder in folders]
    for part in parts:
        part.write_bytes(b"half")
    later = time.time() + 2 * ABANDONED_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    return parts
