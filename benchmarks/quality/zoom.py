"""Objects of any size in planes of any size: IoU with zoom and without, and the cost.

Run ``python -m benchmarks.quality.zoom``; it takes half an hour on two CPU cores, a
few minutes with ``--quick``. Without parts all of them run: ``cells``, ``coins``,
``packaged``, ``cost``, ``pyramid``. Images are seeded and were not used to choose any
constant of the zoom.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.quality.cells import KINDS, Plane, cells, coins, packaged, pasted
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.steps import run_to_end
from napari_sam.prediction.zoom.options import ZoomHints
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.view import ImageView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.base import SegmentationResult

SEED = 7100
SIDES = (512, 1024, 2048, 4096, 8192)
DIAMETERS = (8, 15, 25, 40, 80, 300)
FULL = (slice(None), slice(None))


class Runner:
    """Answers prompts on planes; counts the encodings.

    Parameters
    ----------
    predictor : Predictor
        The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.encoded = 0
        embed = predictor.embed

        def count(*args: Any, **options: Any) -> Any:
            self.encoded += 1
            return embed(*args, **options)

        predictor.embed = count  # type: ignore[method-assign]

    def run(
        self,
        image: Any,
        prompts: dict[int, Prompt],
        zoom: Any,
        cache: EmbeddingCache,
        hints: ZoomHints | None = None,
    ) -> SegmentationResult:
        """Segment objects on a plane, or on the levels of a pyramid."""
        levels = image if isinstance(image, list) else [image]
        rgb = levels[0].ndim == 3
        limits = None if rgb else (0.0, 255.0)
        reader = PlaneReader(tuple(levels), rgb)
        view = ImageView(reader, IntensityMapping.display(), limits)
        request = PlaneRequest(
            view, FULL, prompts, zoom=zoom, hints=hints or ZoomHints()
        )
        return run_to_end(request.run(self.predictor, cache))

    def iou(
        self, plane: Plane, label: int, prompt: Prompt, zoom: Any, cache: Any
    ) -> float:
        """Return the IoU of the answer to one prompt."""
        result = self.run(plane.image, {1: prompt}, zoom, cache)
        found = result.predictions[0].patch
        return plane.iou(label, found.mask, found.region)


def prompts_of(plane: Plane, label: int, rng: np.random.Generator) -> dict[str, Prompt]:
    """Return a click anywhere well inside an object, and its tight box."""
    from scipy.ndimage import distance_transform_edt

    rows, cols = plane.box(label)
    box = (rows.start, cols.start, rows.stop - 1, cols.stop - 1)
    part = np.pad(plane.labels[rows, cols] == label, 1)
    depth = distance_transform_edt(part)
    inside = np.argwhere(depth >= 0.5 * depth.max())
    click = inside[rng.integers(len(inside))] - 1 + (rows.start, cols.start)
    return {"click": Prompt(points=[click]), "box": Prompt(box=box)}


def chosen_labels(plane: Plane, count: int, rng: np.random.Generator) -> list[int]:
    """Choose objects at random."""
    labels = [i for i, box in enumerate(plane.boxes, start=1) if box is not None]
    return [int(label) for label in rng.permutation(labels)[:count]]


def measure(
    runner: Runner, planes: Iterable[Plane], count: int, seed: int
) -> dict[tuple[str, str], list[float]]:
    """Return the IoUs of some objects of each plane, by prompt and zoom."""
    rng = np.random.default_rng(seed)
    found: dict[tuple[str, str], list[float]] = {}
    for plane in planes:
        cache = EmbeddingCache()
        for label in chosen_labels(plane, count, rng):
            for kind, prompt in prompts_of(plane, label, rng).items():
                for zoom in ("off", "auto"):
                    iou = runner.iou(plane, label, prompt, zoom, cache)
                    found.setdefault((kind, zoom), []).append(iou)
    return found


def row(ious: dict[tuple[str, str], list[float]]) -> str:
    """Format median IoU and share above 0.7 of a row of the table."""
    parts = []
    for kind in ("click", "box"):
        for zoom in ("off", "auto"):
            values = np.array(ious[kind, zoom])
            share = 100 * np.mean(values > 0.7)
            parts.append(f"{np.median(values):.2f}, {share:3.0f} %")
    return " | ".join(parts)


def cells_table(runner: Runner, count: int) -> None:
    """Print the table of cells of one size in planes of one size."""
    print("| plane | cell | click, off | click, auto | box, off | box, auto |")
    print("|---|---|---|---|---|---|")
    for side in SIDES:
        for diameter in DIAMETERS:
            if diameter * 1.7 > side:
                continue
            planes = (cells(side, diameter, kind, SEED) for kind in KINDS)
            ious = measure(runner, planes, count, SEED + diameter)
            print(f"| {side} | {diameter} | {row(ious)} |", flush=True)


def coins_table(runner: Runner, count: int) -> None:
    """Print the IoU of coins alone and pasted into large planes."""
    alone = coins()
    print("| coins | click, off | click, auto | box, off | box, auto |")
    print("|---|---|---|---|---|")
    for side in (0, 2048, 8192):
        plane = alone if not side else pasted(alone, side, SEED)[0]
        ious = measure(runner, [plane], count, SEED)
        means = " | ".join(
            f"{np.mean(ious[kind, zoom]):.3f}"
            for kind in ("click", "box")
            for zoom in ("off", "auto")
        )
        print(f"| {f'in {side} px' if side else 'alone'} | {means} |", flush=True)


def packaged_table(runner: Runner, count: int) -> None:
    """Print the IoU of objects of packaged images."""
    print("| image | click, off | click, auto | box, off | box, auto |")
    print("|---|---|---|---|---|")
    for name, plane in packaged().items():
        print(f"| {name} | {row(measure(runner, [plane], count, SEED))} |", flush=True)


def cost(runner: Runner, count: int) -> None:
    """Print how many windows are encoded for neighbouring objects and for clicks."""
    rng = np.random.default_rng(SEED)
    plane = cells(4096, 25, "bright", SEED)
    tile = plane
    middles = [(np.mean([(s.start, s.stop) for s in b], axis=1)) for b in plane.boxes]
    distances = np.hypot(*(np.array(middles) - np.array((3000, 3000))).T)
    neighbours = [int(i) + 1 for i in np.argsort(distances)[:count]]
    prompts = [prompts_of(tile, label, rng) for label in neighbours]
    for kind in ("box", "click"):
        cache, hints, counts = EmbeddingCache(), ZoomHints(), []
        for prompt in prompts:
            before = runner.encoded
            result = runner.run(tile.image, {1: prompt[kind]}, "auto", cache, hints)
            counts.append(runner.encoded - before)
            box = result.predictions[0].patch.box
            hints = ZoomHints(object_size=float((box[2:] - box[:2]).max() + 1))
        print(
            f"{count} neighbours by {kind}: {sum(counts)} encodings, the first "
            f"{counts[0]}, at most 2 for {100 * np.mean(np.array(counts) <= 2):.0f} %"
        )
    cache, counts = EmbeddingCache(), []
    for label in chosen_labels(tile, count, rng):
        prompt = prompts_of(tile, label, rng)["click"]
        before = runner.encoded
        runner.run(tile.image, {1: prompt}, "auto", cache)
        counts.append(runner.encoded - before)
    print(
        f"{count} clicks anywhere without hints: {np.mean(counts):.2f} encodings each, "
        f"at most 2 beyond the plane for {100 * np.mean(np.array(counts) <= 2):.0f} %"
    )


def pyramid(runner: Runner, side: int) -> None:
    """Print time and memory of a click on a pyramid of a large plane."""
    import zarr

    small = cells(1024, 25, "bright", SEED)
    label = chosen_labels(small, 1, np.random.default_rng(SEED))[0]
    click = prompts_of(small, label, np.random.default_rng(1))["click"]
    with tempfile.TemporaryDirectory() as folder:
        levels = []
        for number in range(7):
            shape = (side >> number,) * 2
            level = zarr.create_array(
                Path(folder) / str(number), shape=shape, chunks=(1024, 1024), dtype="u1"
            )
            reduced = small.image[:: 1 << number, :: 1 << number]
            strip = np.tile(reduced, (1, -(-shape[1] // reduced.shape[1])))
            for start in range(0, shape[0], len(reduced)):
                stop = min(start + len(reduced), shape[0])
                level[start:stop] = strip[: stop - start, : shape[1]]
            levels.append(level)
        runner.run(small.image, {1: click}, "auto", EmbeddingCache())
        for name, image, prompt in (
            ("1,024 px", small.image, click),
            (f"{side:,} px pyramid", levels, click.shifted((8 * 1024, 5 * 1024))),
        ):
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            times = []
            for _ in range(5):
                start_time = time.perf_counter()
                result = runner.run(image, {1: prompt}, "auto", EmbeddingCache())
                times.append(time.perf_counter() - start_time)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
            size = np.count_nonzero(result.predictions[0].patch.mask)
            print(
                f"click on {name}: {min(times):.2f} s, {grown / 1024:.0f} MB more, "
                f"{size} pixels of {np.count_nonzero(small.labels == label)}",
                flush=True,
            )


def main() -> None:
    """Run the parts that are named, or all."""
    parts = {
        "cells": lambda quick: cells_table(runner, 1 if quick else 4),
        "coins": lambda quick: coins_table(runner, 5 if quick else 50),
        "packaged": lambda quick: packaged_table(runner, 10 if quick else 50),
        "cost": lambda quick: cost(runner, 50),
        "pyramid": lambda quick: pyramid(runner, 30_000),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--quick", action="store_true", help="fewer objects")
    options = parser.parse_args()
    runner = Runner(load_model("lite_medsam"))
    for name in options.parts or parts:
        print(f"\n{name}", flush=True)
        parts[name](options.quick)


if __name__ == "__main__":
    main()
