"""Kill a process that saves an image of a series, many times, and read its files.

`python -m benchmarks.robustness.killed_series --kills 200`
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_sam.series.opening import open_series

NAME = "plane.tif"

SAVE = """
import sys
import numpy as np
from napari_sam.records.record import new_record
from napari_sam.series.opening import open_series

series = open_series(sys.argv[1])
item = series["plane.tif"]
used = item.read().used
labels = item.read_labels()
labels = np.zeros(used.shape, np.int32) if labels is None else labels.astype(np.int32)
print("ready", flush=True)
with series.edit("plane.tif") as editor:
    while True:
        new = int(labels.max()) + 1
        labels.flat[new] = new
        editor.save(labels, used, record=new_record(), classes={new: "cell"})
        print(new, flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), options.kills, options.side)


def run(folder: Path, kills: int, side: int) -> None:
    images, output = folder / "images", folder / "out"
    images.mkdir()
    tifffile.imwrite(images / NAME, np.zeros((side, side), np.uint8))
    open_series(images, output)
    chance, reported, missing = random.Random(0), 0, 0
    for kill in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE, str(output)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the saving process failed"
            time.sleep(chance.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
            lines = process.communicate()[0].split()
        reported = max([reported, *map(int, lines)])
        series = open_series(output)
        item = series[NAME]
        assert not series.problems, (kill, series.problems)
        labels = item.read_labels()
        found = 0 if labels is None else int(labels.max())
        item.read_record()
        missing += found < reported
        assert found in (reported, reported + 1), (kill, reported, found)
        reported = found
    print(f"{kills} kills, {reported} saves reported, {missing} of them missing")


if __name__ == "__main__":
    main()
