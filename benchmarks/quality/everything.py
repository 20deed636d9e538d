"""Automatic segmentation with the default model: recall, precision, IoU and cost.

Run ``python -m benchmarks.quality.everything [NAME] [--before] [--pictures FOLDER]``;
NAME is part of the name of a kind. An object is found when a label has an IoU above 0.5
with it. ``--before`` measures the search by prompts as well. Cost is the number of
windows that were encoded, and the time over that of their encoding.

The reference for coins is Otsu's threshold, closed by 3 x 3, with objects over 100
pixels; it misses two of the 24 coins, which touch the border of the image, so they
count as extra here. The other kinds are seeded; no constant was chosen on them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage import data, filters, io, measure, morphology, segmentation

from benchmarks.quality.everything_kinds import KINDS
from napari_sam.api.planes import everything
from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.search import SearchOptions
from napari_sam.prediction.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor

SEED = 21
FOUND = 0.5


@dataclass(frozen=True)
class Row:
    """Counts and cost of one image."""

    objects: int
    labels: int
    found: int
    iou: float
    encodings: int
    ratio: float

    @property
    def recall(self) -> float:
        return self.found / max(self.objects, 1)

    @property
    def precision(self) -> float:
        return self.found / max(self.labels, 1)

    def __str__(self) -> str:
        return (
            f"{self.recall:.2f}, {self.precision:.2f}, {self.iou:.2f}, "
            f"{self.encodings} ({self.ratio:.1f})"
        )


def images() -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int32]]]:
    """Yield the name, the image and the labels of each row."""
    for kind in KINDS:
        yield kind.name, *kind.make(SEED)
    image = data.coins()
    bright = morphology.closing(image > filters.threshold_otsu(image), np.ones((3, 3)))
    labels = measure.label(segmentation.clear_border(bright))
    large = np.bincount(labels.ravel()) > 100
    large[0] = False
    yield "coins", image, (np.cumsum(large) * large)[labels].astype(np.int32)


def compare(found: NDArray[np.int32], truth: NDArray[np.int32]) -> tuple[int, float]:
    """Return the number of objects that were found, and the mean IoU of these."""
    count = int(found.max()) + 1
    pairs = truth.astype(np.int64) * count + found
    table = np.bincount(pairs.ravel(), minlength=(truth.max() + 1) * count)
    table = table.reshape(-1, count)
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    ious = (table / np.maximum(union, 1))[1:, 1:]
    matches = ious[ious > FOUND]
    return len(matches), float(matches.mean()) if len(matches) else 0.0


class Runner:
    """Segments images; counts encodings and their time."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self._embed = predictor, predictor.embed
        self.encodings, self.seconds = 0, 0.0
        predictor.embed = self._count  # type: ignore[method-assign]

    def _count(self, *args: Any, **options: Any) -> Any:
        started = time.perf_counter()
        embedding = self._embed(*args, **options)
        self.seconds += time.perf_counter() - started
        self.encodings += 1
        return embedding

    def run(
        self, image: NDArray[np.uint8], truth: NDArray[np.int32], options: SearchOptions
    ) -> tuple[Row, NDArray[np.int32]]:
        """Segment an image; return its row and the labels."""
        self.encodings, self.seconds = 0, 0.0
        started = time.perf_counter()
        *_, last = everything(image, self.predictor, options=options)
        labels = last.candidates.objects(Thresholds()).labels
        ratio = (time.perf_counter() - started) / self.seconds
        found, iou = compare(labels, truth)
        row = Row(
            int(truth.max()), int(labels.max()), found, iou, self.encodings, ratio
        )
        return row, labels


def write_picture(
    path: Path, image: NDArray[np.uint8], labels: NDArray[np.int32]
) -> None:
    """Write the image with the outlines of the labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = segmentation.mark_boundaries(image, labels, color=(1, 0.7, 0))
    io.imsave(path, (picture * 255).astype(np.uint8), check_contrast=False)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--before", action="store_true", help="also search by prompts")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    runner = Runner(load_model("lite_medsam"))
    methods = {"instance head": SearchOptions()}
    if arguments.before:
        methods["search by prompts"] = SearchOptions(method="prompts")
    print("recall, precision, IoU of matches, encodings (time over theirs)")
    print(f"| image | objects | {' | '.join(methods)} |")
    print("|---|---|" + "---|" * len(methods))
    rows: dict[str, list[Row]] = {method: [] for method in methods}
    for name, image, truth in images():
        if arguments.name not in name:
            continue
        cells = []
        for method, options in methods.items():
            row, labels = runner.run(image, truth, options)
            rows[method].append(row)
            cells.append(str(row))
            if arguments.pictures is not None:
                file = f"{name} {method}.png".replace(" ", "-").replace(",", "")
                write_picture(arguments.pictures / file, image, labels)
        print(f"| {name} | {truth.max()} | {' | '.join(cells)} |", flush=True)
    means = [
        ", ".join(
            f"{np.mean([getattr(row, what) for row in found]):.2f}"
            for what in ("recall", "precision", "iou")
        )
        for found in rows.values()
    ]
    print(f"| mean | | {' | '.join(means)} |")


if __name__ == "__main__":
    main()
