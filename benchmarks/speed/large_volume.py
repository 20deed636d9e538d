"""A large stack on disk: peak memory above the start, and time to cancel."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import napari_sam as ns
from benchmarks.speed.timing import Watch, clock
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.predictor import Predictor
from napari_sam.requests.from_arrays import stack_request

SHAPE = (512, 1024, 1024)  # uint16: 1 GB
ALLOWED = 2.0
CENTRE, REACH, RADIUS = 256, 12, 60
PLACES = ((300, 300), (300, 700), (700, 500))
DISC = len(PLACES) * np.pi * RADIUS**2
# Slice results after which the user cancels.
CANCELLED = 9


def write(path: Path) -> None:
    """Write a stack of three spindles in noise."""
    volume = np.lib.format.open_memmap(path, "w+", np.uint16, SHAPE)
    rng = np.random.default_rng(0)
    rows, cols = np.ogrid[: SHAPE[1], : SHAPE[2]]
    noise = rng.normal(600, 80, (4, *SHAPE[1:]))
    for index in range(SHAPE[0]):
        # Shift the noise, so that no plane is cached.
        plane = np.roll(noise[index % 4], 7 * index, axis=(0, 1))
        size = 1 - ((index - CENTRE) / (REACH + 0.5)) ** 2
        for row, col in PLACES if size > 0 else ():
            near = (rows - row) ** 2 + (cols - col) ** 2
            plane[near <= size * RADIUS**2] += 2400
        volume[index] = np.clip(plane, 0, 4000)
    volume.flush()


def prompts() -> dict[int, dict[int, ns.Prompt]]:
    edge = np.array([-1, -1, 1, 1]) * (RADIUS + 1)
    return {
        number: {CENTRE: ns.Prompt(box=np.array([*place, *place]) + edge)}
        for number, place in enumerate(PLACES, start=1)
    }


class RecordingPredictor(Predictor):
    """Predictor that records the planes it decodes."""

    def __init__(self, inner: Predictor) -> None:
        super().__init__(
            inner.model,
            name=inner.name,
            family=inner.family,
            prompts=inner.prompts,
            key=inner.key,
        )
        self.planes: set[str] = set()

    def predict_batch(self, embedding: Any, *args: Any, **options: Any) -> Any:
        """Record the plane, then answer as usual."""
        self.planes.add(embedding.plane_key)
        return super().predict_batch(embedding, *args, **options)


def cancel(volume: Any, predictor: Predictor) -> None:
    """Cancel in the middle, and measure how much runs until the work can stop."""
    watched = RecordingPredictor(predictor)
    slices = stack_request(volume, prompts()).iter_slices(watched, EmbeddingCache())
    propagation = iter(slices)
    seconds, checked = [], []
    for _ in range(CANCELLED):
        started = clock()
        next(propagation)
        seconds.append(clock() - started)
        checked.append(len(watched.planes))
        watched.planes.clear()
    started = clock()
    propagation.close()
    print(
        f"cancelled: at most {max(checked)} slice computed and {max(seconds):.2f} s "
        f"until the work stops, {clock() - started:.3f} s to end; allowed: 1 slice"
    )


def measure(path: Path) -> float:
    """Return the peak in GB above what the process held with the model loaded."""
    predictor = ns.load_model("lite_medsam")
    predictor.embed(np.zeros((64, 64), np.uint8))
    volume = np.load(path, mmap_mode="r")
    with Watch() as watch:
        out = ns.segment_volume(volume, prompts(), predictor)
    held = [result for result in out.slices if result.mask.any()]
    here = sum(int(r.mask.sum()) for r in held if r.index == CENTRE)
    true = sum(abs(i - CENTRE) <= REACH for i in range(SHAPE[0])) * len(PLACES)
    print(
        f"{len(out.slices)} slices of objects in {watch.seconds:.0f} s, {len(held)} "
        f"not empty, {true} true; area over truth {here / DISC:.2f}"
    )
    cancel(volume, predictor)
    return float(watch.megabytes) / 1e3


def large() -> None:
    """Measure in a separate process, so that writing the stack does not count."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.npy"
        context = multiprocessing.get_context("spawn")
        with context.Pool(1, maxtasksperchild=1) as pool:
            pool.apply(write, (path,))
            peak = pool.apply(measure, (path,))
    print(f"{SHAPE} uint16: {peak:.2f} GB above start, allowed {ALLOWED:.0f} GB")
