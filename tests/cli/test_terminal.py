"""Results are written, whatever becomes of the lines that are printed."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from tests.helpers.command_line import labels_of, run, write_stack
from tests.helpers.scenes import BALL, SMALL, lit

if TYPE_CHECKING:
    from pathlib import Path

BOX, STACK_BOX = "5,6,25,30", "7:5,6,25,30"
VERBS = {
    "segment": ("--index", "Z=7", "--box", BOX),
    "volume": ("--box", STACK_BOX),
    "everything": ("--index", "Z=7"),
}


class Broken(io.StringIO):
    """A stream that fails after some lines, as pipes and disks do."""

    encoding = "utf-8"

    def __init__(self, error: int, lines: int) -> None:
        super().__init__()
        self.error, self.lines = error, lines

    def write(self, text: str) -> int:
        self.lines -= text.count("\n")
        if self.lines < 0:
            raise OSError(self.error, "No space left on device")
        return super().write(text)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("lines", [0, 1])
@pytest.mark.usefixtures("world")
def test_results_are_written_though_nobody_reads_the_lines(
    verb: str, lines: int, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE, lines))
    assert run(verb, stack, *VERBS[verb]) == 0
    assert labels_of(stack).any()


@pytest.mark.usefixtures("world")
def test_a_full_disk_for_the_lines_is_told(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC, 0))
    assert run("segment", stack, *VERBS["segment"]) == 1
    assert labels_of(stack).any()
    told = "napari-sam: Not all lines could be printed (No space left on device)"
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("verb", ["info", "models", *VERBS])
def test_a_process_without_streams(
    verb: str, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdout", "stderr"):  # as of pythonw
        monkeypatch.setattr(sys, name, None)
    arguments = (stack, *VERBS[verb]) if verb in VERBS else ()
    assert run(verb, *arguments) == 0
    assert sys.stdout is sys.stderr is None
    assert run("segment", "missing.tif") == 1


@pytest.mark.usefixtures("world")
def test_letters_that_a_stream_cannot_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = write_stack(tmp_path, lit(BALL | SMALL)).rename(tmp_path / "µm é.tif")
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert run("segment", stack, *VERBS["segment"]) == 0
    assert rb"\xb5m \xe9_labels.tif" in ascii_only.buffer.getvalue()


def test_a_closed_pipe_of_a_process(tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[5:9, 5:9] = 1
    tifffile.imwrite(tmp_path / "a.tif", labels)
    command = [sys.executable, "-m", "napari_sam.cli", "export-labels"]
    command += [str(tmp_path / "a.tif"), "-o", str(tmp_path / "a.geojson")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, b"")
    assert (tmp_path / "a.geojson").is_file()
