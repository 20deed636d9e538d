"""Leftovers of interrupted downloads are found, and deleted when nothing runs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from napari_sam.checkpoints.leftovers import find_leftovers, remove_leftovers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def leave(cache: Path, name: str, *, minutes_ago: float) -> Path:
    folder = cache / f".{name}.abc.part"
    folder.mkdir()
    (folder / name).write_bytes(bytes(1000))
    then = time.time() - 60 * minutes_ago
    for path in (folder / name, folder):
        os.utime(path, (then, then))
    return folder


def test_no_cache_folder_has_none(cache: Path) -> None:
    cache.rmdir()
    assert find_leftovers() == []


def test_sizes_and_whether_the_download_may_run(cache: Path) -> None:
    leave(cache, "old.pth", minutes_ago=60)
    leave(cache, "running.pth", minutes_ago=1)
    (cache / "complete.pth").write_bytes(b"weights")
    old, running = find_leftovers()
    assert old.nbytes >= 1000
    assert (old.is_active, running.is_active) == (False, True)


def test_only_quiet_ones_are_deleted(cache: Path) -> None:
    old = leave(cache, "old.pth", minutes_ago=60)
    running = leave(cache, "running.pth", minutes_ago=1)
    (cache / "complete.pth").write_bytes(b"weights")
    assert [leftover.path for leftover in remove_leftovers()] == [old]
    assert sorted(cache.iterdir()) == [running, cache / "complete.pth"]
