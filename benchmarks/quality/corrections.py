"""Correction of stacks: the effect of one true mask for each object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.scores import Quality
from benchmarks.quality.stacks import BenchStack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from napari_sam.volume.results import VolumeResult


@dataclass(frozen=True, eq=False)
class Correction:
    """Scores before and after the true masks were given.

    Parameters
    ----------
    before, after : float
        Mean Dice of the objects.
    others_before, others_after : float
        The same without the slices whose mask was given.
    near_before, near_after : float
        The same on the other slices between the prompted slices next to the corrected
        one.
    recomputed, allowed : int
        Pairs of object and slice that were computed again, and those between the
        corrected slice and the prompted slices next to it.
    strays : int
        Pairs elsewhere whose mask changed.
    """

    before: float
    after: float
    others_before: float
    others_after: float
    near_before: float
    near_after: float
    recomputed: int
    allowed: int
    strays: int

    @property
    def regained(self) -> float:
        """Share of the Dice missing near the corrected slices that came back."""
        missing = 1 - self.near_before
        return (self.near_after - self.near_before) / missing if missing else 1.0


def worst_slices(
    stack: BenchStack, prompts: Mapping[int, Mapping[int, object]], quality: Quality
) -> dict[int, int]:
    """Return {object id: slice with the lowest Dice} over slices with the object."""
    worst = {}
    for column, object_id in enumerate(quality.ids):
        holds = (stack.truth == object_id).any((1, 2))
        holds[list(prompts[object_id])] = False
        dice = np.where(holds, quality.slice_dice[:, column], np.inf)
        if holds.any():
            worst[object_id] = int(dice.argmin())
    return worst


def between(index: int, prompted: Iterable[int], length: int) -> list[int]:
    """Return the slices between the prompted slices next to `index`."""
    low = max((a for a in prompted if a < index), default=-1)
    high = min((a for a in prompted if a > index), default=length)
    return list(range(low + 1, high))


def near(
    stack: BenchStack,
    labels: NDArray[np.int32],
    worst: Mapping[int, int],
    free: Mapping[int, Iterable[int]],
) -> float:
    """Return the mean Dice of objects on the free slices but the corrected ones."""
    every = set(range(len(stack.image)))
    rest = {i: sorted(every.difference(free[i]) | {worst[i]}) for i in worst}
    return elsewhere(stack, labels, rest)


def elsewhere(
    stack: BenchStack, labels: NDArray[np.int32], given: Mapping[int, Iterable[int]]
) -> float:
    """Return the mean Dice of objects without the slices whose mask was given."""
    truth, found = stack.truth.copy(), labels.copy()
    for object_id, indices in given.items():
        for index in indices:
            for kept in (truth[index], found[index]):
                kept[kept == object_id] = 0
    rest = BenchStack(stack.name, stack.image, truth, stack.spacing, stack.half)
    return Quality.of(rest, found).mean


def strays(
    before: VolumeResult, after: VolumeResult, free: dict[int, list[int]]
) -> int:
    """Count masks that changed outside of the corrected slice ranges."""
    known = {(r.object_id, r.index): r for r in before.slices}
    count = 0
    for now in after.slices:
        was = known.get((now.object_id, now.index))
        if was is not None and now.index not in free.get(now.object_id, ()):
            same = was.origin == now.origin and np.array_equal(was.mask, now.mask)
            count += not same
    return count
