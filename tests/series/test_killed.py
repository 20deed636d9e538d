"""A process that is killed while it saves leaves readable files."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.series.opening import open_series
from tests.helpers.series import open_images

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 4

# Saves the image again and again, each time with one object more.
SAVE = """
import sys
import numpy as np
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.series.opening import open_series

series = open_series(sys.argv[1])
item = series["a.tif"]
shape = item.read().used.shape
labels = item.read_labels()
labels = np.zeros(shape, np.int32) if labels is None else labels.astype(np.int32)
print("ready", flush=True)
with series.edit("a.tif") as editor:
    while True:
        new = labels.max() + 1
        labels.flat[new] = new
        editor.save(labels, ImageFile(labels, "YX"), classes={int(new): "cell"})
        print(new, flush=True)
"""


def test_killed_at_any_moment_every_file_is_readable(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    open_images(tmp_path, "a.tif")
    saved = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE, str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        numbers = process.communicate()[0].split()
        saved = max([saved, *map(int, numbers)])
        series = open_series(tmp_path / "out")
        item = series["a.tif"]
        assert not series.problems
        labels = item.read_labels()
        found = 0 if labels is None else int(labels.max())
        assert saved <= found <= saved + 1  # nothing that was reported is missing
        saved = found
        if found:
            assert item.status == "started"
            assert np.array_equal(np.unique(labels), np.arange(found + 1))
        with series.edit("a.tif") as editor:
            assert not editor.read_only
    assert saved > 0
