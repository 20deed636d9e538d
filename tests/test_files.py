"""Atomic writes, file hashes and JSON files."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest

from napari_sam.files import (
    ABANDONED_SECONDS,
    atomic_write,
    read_json,
    refusing_damage,
    verify,
    write_json,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path, ".txt") as part:
        assert part.suffix == ".txt"
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_complete_write_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "expected",
    [
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "xxh128:06b05ab6733a618578af5f94892f3950",
    ],
)
def test_verify_compares_published_hashes(expected: str, tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert verify(path, expected)
    path.write_bytes(b"abd")
    assert not verify(path, expected)


def test_verify_refuses_unknown_algorithms(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    with pytest.raises(ValueError, match="'crc7'"):
        verify(tmp_path / "abc", "crc7:900150983cd24fb0d6963f7d28e17f72")


def test_json_round_trip(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2.5, None]})
    assert read_json(tmp_path / "a.json") == {"b": 1, "a": [2.5, None]}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00"])
def test_damaged_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_parts_of_killed_processes_go_after_a_day(tmp_path: Path) -> None:
    old, new = time.time() - 2 * ABANDONED_SECONDS, time.time()
    for name, age in [
        (".napari-sam-x1.part.tif", old),
        (".napari-sam-x2.part", new),
        (".napari-sam-own", new),
        ("cells.part.tif", old),
        ("tmpabc.part", old),
    ]:
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (age, age))
    (tmp_path / ".napari-sam-folder").mkdir()
    with atomic_write(tmp_path / "a.txt") as part:
        assert part.name.startswith(".")
        part.write_text("whole")
    names = {path.name for path in tmp_path.iterdir()}
    assert ".napari-sam-x1.part.tif" not in names
    assert len(names) == 6


def test_a_folder_is_listed_once_for_many_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: listed.append(path) or scandir(path)
    )
    for number in range(5):
        write_json(tmp_path / f"{number}.json", {})
    assert len(listed) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        OSError("1000 requested and 24 written"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(OSError, match=r"^a\.bin does not fit on the disk"),
        atomic_write(tmp_path / "a.bin"),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_a_write_are_left(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="another"),
        atomic_write(tmp_path / "a.bin"),
    ):
        raise RuntimeError("another")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        read_json(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none"):
        read_json(tmp_path / "none")


def test_errors_of_values_become_a_sentence() -> None:
    with (
        pytest.raises(ValueError, match=r"^a is damaged \('x' is missing\): get it\.$"),
        refusing_damage("a", "get it"),
    ):
        {}["x"]
    with (
        pytest.raises(ValueError, match=r"^own$"),
        refusing_damage("a", "get it"),
    ):
        raise ValueError("own")
