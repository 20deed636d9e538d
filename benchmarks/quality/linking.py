"""Linking of planes: split and merged objects.

Run ``python -m benchmarks.quality.linking``. The planes are those of the true labels
of `stacks.suite`, with random numbers in each plane; then some cross-sections are
dropped. An object counts as fair when its masks on neighbouring remaining planes
overlap by half of the smaller one; no fair object may be split or merged.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality import stacks
from napari_sam.automatic.linking import Linking, link_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 11
# Fraction of cross-sections that are dropped, never on two neighbouring planes.
DROPPED = 0.1
LEAST = 0.5


def shuffled(
    truth: NDArray[np.int32], rng: np.random.Generator, dropped: float
) -> NDArray[np.int32]:
    """Relabel each plane at random and drop some cross-sections inside of objects."""
    planes, left_out = np.zeros_like(truth), set()
    present = [set(np.unique(plane).tolist()) - {0} for plane in truth]
    for index, objects in enumerate(present):
        numbers = rng.permutation(len(objects)) + 1
        for label, number in zip(sorted(objects), numbers, strict=True):
            inside = 0 < index < len(truth) - 1 and all(
                label in present[side] for side in (index - 1, index + 1)
            )
            if inside and label not in left_out and rng.random() < dropped:
                left_out.add(label)
                continue
            left_out.discard(label)
            planes[index][truth[index] == label] = number
    return planes


def fair(truth: NDArray[np.int32], planes: NDArray[np.int32]) -> set[int]:
    """Return the objects with enough overlap between all successive cross-sections."""
    good = set()
    for label in np.unique(truth[truth > 0]).tolist():
        masks = (truth == label) & (planes > 0)
        left = np.flatnonzero(masks.any(axis=(1, 2)))
        steps = [
            (masks[a] & masks[b]).sum() >= LEAST * min(masks[a].sum(), masks[b].sum())
            for a, b in pairwise(left)
        ]
        if all(steps):
            good.add(label)
    return good


def faults(
    truth: NDArray[np.int32], planes: NDArray[np.int32], linked: NDArray[np.int32]
) -> tuple[int, int, int]:
    """Count the fair objects, and those that are split and merged."""
    there = (truth > 0) & (planes > 0)
    pairs = np.unique(np.stack([truth[there], linked[there]]), axis=1).T.tolist()
    good, split, merged = fair(truth, planes), 0, 0
    for label in good:
        mine = {b for a, b in pairs if a == label}
        split += len(mine) > 1
        merged += any(b in mine for a, b in pairs if a != label)
    return len(good), split, merged


def main() -> None:
    print(f"{'stack':<22}{'objects':>8}", end="")
    print("".join(f"{t:>8}{'split':>7}{'merged':>8}" for t in ("fair", "gaps")))
    for stack in stacks.suite():
        line = f"{stack.name:<22}{len(stack.objects):>8}"
        for dropped in (0.0, DROPPED):
            rng = np.random.default_rng([SEED, *stack.name.encode()])
            planes = shuffled(stack.truth, rng, dropped)
            linked = link_labels(planes, Linking(gap=1, min_slices=1))
            count, split, merged = faults(stack.truth, planes, linked)
            line += f"{count:>8}{split:>7}{merged:>8}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
