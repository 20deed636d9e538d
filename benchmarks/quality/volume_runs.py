"""Runs of the volume benchmark: one stack through ours and the peer's algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_sam as ns
from benchmarks.quality import peer
from benchmarks.quality.corrections import (
    Correction,
    between,
    elsewhere,
    near,
    strays,
    worst_slices,
)
from benchmarks.quality.scores import Quality, SliceCheck, check_slices
from benchmarks.quality.stacks import SEED, TWENTY, BenchStack, suite
from benchmarks.speed.timing import Watch, clock
from napari_sam.images.stack import Stack
from napari_sam.masks.morphology import innermost
from napari_sam.masks.patch import mask_to_box
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.disk_cache import DiskCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.quality.peer import Setting
    from napari_sam.prediction.predictor import Embedding, Predictor
    from napari_sam.volume.results import VolumeResult

    Prompts = dict[int, dict[int, ns.Prompt]]

ONE, TWO = (0.5,), (0.25, 0.75)
# Range of how far outside the sides of a box are drawn by hand, in pixels.
HAND = (-1.0, 2.0)
MEMORY = 8 * 2**30
# Slices that are encoded again for timing when all are cached.
TIMED = 2


# ------------------------------------------------------------------ prompts


def prompts_of(stack: BenchStack, fractions: Sequence[float]) -> Prompts:
    """Return a box for each object at these fractions of its slices."""
    found: Prompts = {}
    for object_id in stack.objects:
        mask = stack.truth == object_id
        slices = np.flatnonzero(mask.any((1, 2)))
        chosen = {int(slices[int(fraction * len(slices))]) for fraction in fractions}
        rng = np.random.default_rng([SEED, object_id, *stack.name.encode()])
        boxes = {index: mask_to_box(mask[index]) for index in sorted(chosen)}
        found[object_id] = {
            index: ns.Prompt(box=box + rng.uniform(*HAND, 4) * (-1, -1, 1, 1))
            for index, box in boxes.items()
            if box is not None
        }
    return found


def clicks_of(stack: BenchStack) -> Prompts:
    """Return a click deep inside each object, on its middle slice."""
    found: Prompts = {}
    for object_id in stack.objects:
        mask = stack.truth == object_id
        slices = np.flatnonzero(mask.any((1, 2)))
        index = int(slices[int(ONE[0] * len(slices))])
        found[object_id] = {index: ns.Prompt(points=[innermost(mask[index])])}
    return found


# ---------------------------------------------------------------- one stack


@dataclass(frozen=True, eq=False)
class Run:
    """Result of one propagation through one stack.

    Parameters
    ----------
    quality : Quality
        Comparison with the truth.
    seconds, megabytes : float
        Time, and peak memory above that at the start.
    """

    quality: Quality
    seconds: float
    megabytes: float

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return {
            "dice": self.quality.dice.tolist(),
            "sa50": self.quality.sa50,
            "seconds": self.seconds,
            "megabytes": self.megabytes,
            "slices": [self.quality.true, self.quality.missed, self.quality.beyond],
        }


@dataclass(eq=False)
class Measured:
    """All measurements on one stack."""

    stack: BenchStack
    encoding: float
    one: Run
    two: Run
    click: Run
    checked: list[SliceCheck]
    peers: dict[Setting, Run] = field(default_factory=dict)
    peer_two: Run | None = None
    correction: Correction | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        stack = self.stack
        peers = {str(setting): run.to_json() for setting, run in self.peers.items()}
        fixed = self.correction
        return {
            "name": stack.name,
            "half": stack.half,
            "spacing": stack.spacing,
            "encoding": self.encoding,
            "one": self.one.to_json(),
            "two": self.two.to_json(),
            "click": self.click.to_json(),
            "peers": peers,
            "peer_two": None if self.peer_two is None else self.peer_two.to_json(),
            "correction": None if fixed is None else vars(fixed),
            "slices": [entry.to_json() for entry in self.checked],
        }


class Bench:
    """The model and its embeddings, for all stacks.

    Parameters
    ----------
    predictor : Predictor
        Answers both sides.
    folder : Path, optional
        Keeps embeddings between runs.
    """

    def __init__(self, predictor: Predictor, folder: Path | None) -> None:
        self.predictor, self.unrestricted = predictor, peer.unrestricted(predictor)
        disk = None if folder is None else DiskCache(folder)
        self.cache = EmbeddingCache(MEMORY, disk)

    def embeddings(self, stack: BenchStack) -> list[Embedding]:
        """Encode all slices, as `segment_volume` does."""
        planes = Stack(stack.image)
        limits, size = planes.contrast_limits(), self.predictor.input_size
        return [
            self.cache.embed(
                self.predictor,
                planes.read_plane(index, size),
                limits,
                plane_shape=planes.plane_shape,
            )
            for index in range(len(planes))
        ]

    def encoding(self, stack: BenchStack) -> float:
        """Return the seconds for encoding one slice."""
        planes = stack.image[:: max(1, len(stack.image) // TIMED)][:TIMED]
        started = clock()
        for plane in planes:
            self.predictor.embed(plane)
        return (clock() - started) / len(planes)

    def ours(
        self, stack: BenchStack, prompts: Prompts, **options: Any
    ) -> tuple[VolumeResult, Run]:
        """Run the public function."""
        options = {"cache": self.cache, "spacing": stack.spacing, **options}
        with Watch() as watch:
            out = ns.segment_volume(stack.image, prompts, self.predictor, **options)
            labels = out.labels
        quality = Quality.of(stack, labels)
        return out, Run(quality, watch.seconds, watch.megabytes)

    def peer(self, stack: BenchStack, prompts: Prompts, setting: Setting) -> Run:
        """Run the peer's algorithm."""
        embeddings = self.embeddings(stack)
        with Watch() as watch:
            labels = peer.segment(embeddings, prompts, self.unrestricted, setting)
        return Run(Quality.of(stack, labels), watch.seconds, watch.megabytes)

    def correct(
        self, stack: BenchStack, prompts: Prompts, out: VolumeResult, before: Quality
    ) -> Correction:
        """Give the true mask on the worst slice of each object."""
        worst = worst_slices(stack, prompts, before)
        masks = {i: {index: stack.truth[index] == i} for i, index in worst.items()}
        fixed, run = self.ours(stack, prompts, masks=masks, previous=out)
        free = {i: between(worst[i], prompts[i], len(stack.image)) for i in worst}
        given = {i: [*prompts[i], index] for i, index in worst.items()}
        return Correction(
            before.mean,
            run.quality.mean,
            elsewhere(stack, out.labels, given),
            elsewhere(stack, fixed.labels, given),
            near(stack, out.labels, worst, free),
            near(stack, fixed.labels, worst, free),
            fixed.recomputed,
            sum(len(slices) - 1 for slices in free.values()),
            strays(out, fixed, free),
        )

    def measure(
        self, stack: BenchStack, settings: Sequence[Setting], correct: bool
    ) -> Measured:
        """Run ours with one and two prompted slices, the peer with each setting."""
        one, two = prompts_of(stack, ONE), prompts_of(stack, TWO)
        self.embeddings(stack)
        encoding = self.encoding(stack)
        out, first = self.ours(stack, one)
        _, second = self.ours(stack, two)
        _, clicked = self.ours(stack, clicks_of(stack))
        checked = list(check_slices(stack, out, first.quality))
        measured = Measured(stack, encoding, first, second, clicked, checked)
        for setting in settings:
            measured.peers[setting] = self.peer(stack, one, setting)
        if correct:
            measured.correction = self.correct(stack, one, out, first.quality)
        return measured

    def twenty(self) -> tuple[float, float]:
        """Measure seconds for one object and for all twenty, encoding included."""
        (stack,) = suite(only=TWENTY)
        prompts = prompts_of(stack, ONE)
        extents = [(stack.truth == i).any((1, 2)).sum() for i in stack.objects]
        longest = stack.objects[int(np.argmax(extents))]
        seconds = []
        for wanted in ({longest: prompts[longest]}, prompts):
            _, run = self.ours(stack, wanted, cache=EmbeddingCache(MEMORY))
            seconds.append(run.seconds)
        return seconds[0], seconds[1]
