"""Locks of images, between openers, processes and computers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from napari_sam.series.storage.lock import ImageLock, LockedError
from tests.helpers.discs import discs
from tests.helpers.series import open_images, save

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from napari_sam.series.storage.lock import ImageLock
lock = ImageLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Lock a file in another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    with process:
        process.send_signal(signal.SIGKILL)


def test_the_second_opener_reads_only(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif")
    save(series, "a.tif", discs())
    with series.edit("a.tif") as first, series.edit("a.tif") as second:
        assert not first.read_only
        assert str(os.getpid()) in second.read_only
        assert second.item.read_labels() is not None
        with pytest.raises(LockedError, match="read only"):
            second.set_status("done")
        with series.edit("b.tif") as other:  # the lock is of one image
            other.set_status("done")
        first.set_status("done")
    save(series, "a.tif", discs())
    assert not list((tmp_path / "out").glob("*.lock"))
    with pytest.raises(LockedError, match="closed"):
        first.set_status("new")


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    process = hold(path)
    try:
        content = json.loads(path.read_text())
        assert content["process"] == process.pid
        assert set(content) == {"host", "process", "user", "time"}
        with pytest.raises(LockedError, match=str(process.pid)):
            ImageLock(path)
    finally:
        end(process)
    assert path.exists()
    with ImageLock(path):
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"host": 3}'])
def test_a_damaged_lock_file_locks_nothing_for_ever(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "a.lock"
    path.write_text(content)
    os.utime(path, (0, 0))
    with ImageLock(path):
        pass


def test_a_lock_of_another_computer_counts_for_a_day(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text('{"host": "elsewhere", "user": "ada", "process": 7, "time": "now"}')
    with pytest.raises(LockedError, match=r"ada .*7 on elsewhere.* delete"):
        ImageLock(path)
    long_ago = time.time() - 25 * 60 * 60
    os.utime(path, (long_ago, long_ago))
    with ImageLock(path):
        pass


def test_without_a_lock_the_image_can_be_read(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif")
    save(series, "a.tif", discs())
    series["a.tif"].lock_path.mkdir()
    with series.edit("a.tif") as editor:
        assert "check the folder" in editor.read_only
        assert editor.item.read_labels() is not None
        with pytest.raises(LockedError):
            editor.set_status("done")
