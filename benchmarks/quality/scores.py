"""How well objects in stacks were found, as a whole and slice by slice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from stacks import BenchStack

    from napari_sam.volume.results import SliceResult, VolumeResult

    Labels = NDArray[np.int32]

# A slice is bad below this Dice.
GOOD = 0.7
# Found in the sense of SA50.
FOUND_IOU = 0.5
# States of a slice that ask the user to look.
FLAGS = frozenset({"doubtful", "stopped", "interpolated"})


def areas(truth: Labels, found: Labels, count: int) -> NDArray[np.int64]:
    """Pixels of truth, of result and of both, (3, Z, count + 1), by slice and id."""
    kept = np.where(found == truth, truth, 0)
    return np.stack(
        [
            [np.bincount(plane.ravel(), minlength=count + 1) for plane in labels]
            for labels in (truth, np.where(found <= count, found, 0), kept)
        ]
    )


def dice_of(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 |both| / (|truth| + |result|) along the first axis; 1 where both are empty."""
    truth, found, both = areas
    total = truth + found
    result: NDArray[np.float64] = np.where(
        total > 0, 2 * both / np.maximum(total, 1), 1.0
    )
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Of one result for one stack.

    Parameters
    ----------
    dice : ndarray
        Of every object, over all its voxels.
    slice_dice : ndarray
        (Z, objects).
    ids : list of int
        The objects.
    """

    dice: NDArray[np.float64]
    slice_dice: NDArray[np.float64]
    ids: list[int]

    @classmethod
    def of(cls, stack: BenchStack, labels: Labels) -> Quality:
        """Compare labels with the truth; objects have the ids of the truth."""
        ids = stack.objects
        counts = areas(stack.truth, labels, max(ids))[:, :, ids]
        return cls(dice_of(counts.sum(1)), dice_of(counts), ids)

    @property
    def mean(self) -> float:
        return float(self.dice.mean())

    @property
    def sa50(self) -> float:
        """Share of the objects whose IoU with the truth is 0.5 or more."""
        return float((self.dice / (2 - self.dice) >= FOUND_IOU).mean())


# ---------------------------------------------------------------- by slice


@dataclass(frozen=True, slots=True)
class Looked:
    """One object on one slice, as a user would check it.

    Parameters
    ----------
    stack, half : str
        Where.
    object_id, index : int
        Object and slice.
    status : str
        Of the slice; beyond the last one that was looked at, that of the last one.
    confidence, score : float
        Likewise: ours and the model's own.
    dice : float
        With the truth on this slice.
    beyond : bool
        Nobody looked at this slice, as the object had ended before.
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
        """Whether the user is asked to look."""
        return self.status in FLAGS

    def plain(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def looked_at(
    stack: BenchStack, out: VolumeResult, quality: Quality
) -> Iterator[Looked]:
    """All slices that hold an object in truth or result, prompted ones as well."""
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
            seen = known[nearest]
            yield Looked(
                stack.name,
                stack.half,
                object_id,
                index,
                seen.status,
                float(seen.confidence),
                float(seen.score),
                float(quality.slice_dice[index, column]),
                index not in known,
            )


@dataclass(frozen=True, slots=True)
class Flagging:
    """How well flags tell bad slices.

    Parameters
    ----------
    bad, good : int
        Slices with a Dice below `GOOD`, and the others.
    caught : float
        Share of the bad slices that are flagged.
    caught_seen : float
        The same without the slices beyond an object's end.
    alarms : float
        Share of the good slices that are flagged.
    auc : float
        Chance that a good slice has more confidence than a bad one, both looked at.
    """

    bad: int
    good: int
    caught: float
    caught_seen: float
    alarms: float
    auc: float

    @classmethod
    def of(cls, looked: Sequence[Looked]) -> Flagging:
        bad = np.array([entry.dice < GOOD for entry in looked], bool)
        flagged = np.array([entry.flagged for entry in looked], bool)
        seen = np.array([not entry.beyond for entry in looked], bool)
        confidence = np.array([entry.confidence for entry in looked])
        return cls(
            int(bad.sum()),
            int((~bad).sum()),
            _share(flagged[bad]),
            _share(flagged[bad & seen]),
            _share(flagged[~bad]),
            _auc(confidence[seen], ~bad[seen]),
        )


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if chosen.size else float("nan")


def _auc(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    count, rest = int(positive.sum()), int((~positive).sum())
    if not count or not rest:
        return float("nan")
    ranks = rankdata(values)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * rest))
