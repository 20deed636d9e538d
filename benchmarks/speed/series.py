"""Open a series of many images, new and with all states.

`python -m benchmarks.speed.series --images 10000`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_sam.series.opening import open_series
from napari_sam.series.storage.state import ItemState


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), options.images)


def run(folder: Path, count: int) -> None:
    images = folder / "images"
    images.mkdir()
    tifffile.imwrite(images / "0.tif", np.zeros((8, 8), np.uint8))
    content = (images / "0.tif").read_bytes()
    for number in range(1, count):
        (images / f"{number}.tif").write_bytes(content)
    seconds = timed(images, folder / "out")
    print(f"{count} new images: {seconds:.2f} s")
    for item in open_series(folder / "out"):
        ItemState(status="done", classes={1: "cell"}).write(item.state_path, item.name)
        item.labels_path.write_bytes(content)
    seconds = timed(images, folder / "out")
    print(f"{count} images with states: {seconds:.2f} s")


def timed(images: Path, output: Path) -> float:
    """Open a series, count its statuses and list its problems; return the seconds."""
    start = time.perf_counter()
    series = open_series(images, output)
    assert sum(series.counts.values()) == len(series)
    assert not series.problems
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
