"""Scores of segmented stacks, by object and by slice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.quality.stacks import BenchStack
    from napari_sam.volume.results import SliceResult, VolumeResult

    Labels = NDArray[np.int32]

# A slice is bad below this Dice.
GOOD = 0.7
# IoU from which an object counts as found in SA50.
FOUND_IOU = 0.5
# Statuses of slices that the user should check.
FLAGS = frozenset({"doubtful", "stopped", "interpolated"})


def areas(truth: Labels, found: Labels, count: int) -> NDArray[np.int64]:
    """Count pixels of truth, result and both: (3, Z, count + 1), by slice and id."""
    kept = np.where(found == truth, truth, 0)
    return np.stack(
        [
            [np.bincount(plane.ravel(), minlength=count + 1) for plane in labels]
            for labels in (truth, np.where(found <= count, found, 0), kept)
        ]
    )


def dice_of(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute Dice along the first axis; 1 where truth and result are empty."""
    truth, found, both = areas
    total = truth + found
    result: NDArray[np.float64] = np.where(
        total > 0, 2 * both / np.maximum(total, 1), 1.0
    )
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Dice of one result for one stack.

    Parameters
    ----------
    dice : ndarray
        Of every object, over all its voxels.
    slice_dice : ndarray
        (Z, objects).
    ids : list of int
        Object ids.
    true, missed, beyond : int
        Slices of the objects in truth; those of them without a mask; and those with a
        mask beyond the ends.
    """

    dice: NDArray[np.float64]
    slice_dice: NDArray[np.float64]
    ids: list[int]
    true: int = 0
    missed: int = 0
    beyond: int = 0

    @classmethod
    def of(cls, stack: BenchStack, labels: Labels) -> Quality:
        """Compare labels with the truth, which has the same object ids."""
        ids = stack.objects
        counts = areas(stack.truth, labels, max(ids))[:, :, ids]
        truth, found = counts[0] > 0, counts[1] > 0
        ends = (truth, truth & ~found, found & ~truth)
        numbers = (int(np.count_nonzero(slices)) for slices in ends)
        return cls(dice_of(counts.sum(1)), dice_of(counts), ids, *numbers)

    @property
    def mean(self) -> float:
        return float(self.dice.mean())

    @property
    def sa50(self) -> float:
        """Fraction of the objects with an IoU of at least 0.5."""
        return float((self.dice / (2 - self.dice) >= FOUND_IOU).mean())


# ---------------------------------------------------------------- by slice


@dataclass(frozen=True, slots=True)
class SliceCheck:
    """Result of one object on one slice, as a user would check it.

    Parameters
    ----------
    stack, half : str
        Name and half of the stack.
    object_id, index : int
        Object and slice.
    status : str
        Of the slice; beyond the last computed slice, the status of that one.
    confidence, score : float
        Likewise: ours and the model's predicted IoU.
    dice : float
        With the truth on this slice.
    beyond : bool
        The slice was not computed, as the object had ended before.
    """

    stack: str
    half: str
    object_id: int
    index: int
    status: str
    confidence: float
    score: float
    dice: float
    beyond: bool

    @property
    def flagged(self) -> bool:
        """Whether the slice is shown to the user as doubtful."""
        return self.status in FLAGS

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)


def check_slices(
    stack: BenchStack, out: VolumeResult, quality: Quality
) -> Iterator[SliceCheck]:
    """Return all slices with an object in truth or result, prompted slices included."""
    results: dict[int, dict[int, SliceResult]] = {i: {} for i in quality.ids}
    for result in out.slices:
        results[result.object_id][result.index] = result
    held = (stack.truth > 0) | (out.labels > 0)
    for column, object_id in enumerate(quality.ids):
        known = results[object_id]
        for index in np.flatnonzero(held.any((1, 2))).tolist():
            here = (stack.truth[index], out.labels[index])
            if not any((plane == object_id).any() for plane in here):
                continue
            nearest = min(max(index, min(known)), max(known))
            computed = known[nearest]
            yield SliceCheck(
                stack.name,
                stack.half,
                object_id,
                index,
                computed.status,
                float(computed.confidence),
                float(computed.score),
                float(quality.slice_dice[index, column]),
                index not in known,
            )


@dataclass(frozen=True, slots=True)
class Flagging:
    """How well flags detect bad slices.

    Parameters
    ----------
    bad, good : int
        Slices with a Dice below `GOOD`, and the others.
    caught : float
        Fraction of the bad slices that are flagged.
    caught_computed : float
        The same without the slices beyond an object's end.
    alarms : float
        Fraction of the good slices that are flagged.
    auc : float
        Probability that a computed good slice has a higher confidence than a bad one.
    """

    bad: int
    good: int
    caught: float
    caught_computed: float
    alarms: float
    auc: float

    @classmethod
    def of(cls, checked: Sequence[SliceCheck]) -> Flagging:
        bad = np.array([entry.dice < GOOD for entry in checked], bool)
        flagged = np.array([entry.flagged for entry in checked], bool)
        computed = np.array([not entry.beyond for entry in checked], bool)
        confidence = np.array([entry.confidence for entry in checked])
        return cls(
            int(bad.sum()),
            int((~bad).sum()),
            _fraction(flagged[bad]),
            _fraction(flagged[bad & computed]),
            _fraction(flagged[~bad]),
            auc(confidence[computed], ~bad[computed]),
        )


def _fraction(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if chosen.size else float("nan")


def auc(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive value is above another one."""
    count, rest = int(positive.sum()), int((~positive).sum())
    if not count or not rest:
        return float("nan")
    ranks = rankdata(values)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * rest))
