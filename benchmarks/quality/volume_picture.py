"""Picture of a blurred nucleus through a stack: the truth, ours and the peer's.

Run ``python -m benchmarks.quality.volume_picture FILE.png``. The object is that whose
Dice is the median of its stack, which calibrated nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from skimage import io, segmentation

import napari_sam as ns
from benchmarks.quality import peer
from benchmarks.quality.stacks import suite
from benchmarks.quality.volume_runs import ONE, Bench, prompts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

STACK = "blurred: small, b"
# Enlargement, room around the object in pixels, and the number of slices.
LARGER, ROOM, SLICES = 8, 6, 9


def row(
    image: NDArray[np.uint16], mask: NDArray[np.bool_], slices: list[int]
) -> NDArray[np.float64]:
    """Return slices side by side with the outline of a mask."""
    low, high = np.percentile(image, (1, 99.8))
    tiles = []
    for index in slices:
        grey = np.clip((image[index] - low) / (high - low), 0, 1)
        large = np.kron(mask[index], np.ones((LARGER, LARGER), int))
        picture = segmentation.mark_boundaries(
            np.kron(grey, np.ones((LARGER, LARGER))), large, (1, 0.7, 0), mode="inner"
        )
        tiles.append(np.pad(picture, ((0, 3), (0, 3), (0, 0)), constant_values=1))
    return np.concatenate(tiles, axis=1)


def main(path: Path) -> None:
    """Write the picture."""
    (stack,) = suite(only=STACK)
    bench = Bench(ns.load_model("lite_medsam"), None)
    prompts = prompts_of(stack, ONE)
    out, run = bench.ours(stack, prompts)
    setting = peer.PUBLISHED[-1]
    theirs = peer.segment(bench.embeddings(stack), prompts, bench.unrestricted, setting)
    dice = run.quality.dice
    column = int(np.argsort(dice)[len(dice) // 2])
    object_id = run.quality.ids[column]
    truth = stack.truth == object_id
    rows, cols = (np.flatnonzero(truth.any(axes)) for axes in ((0, 2), (0, 1)))
    crop = tuple(slice(max(i[0] - ROOM, 0), i[-1] + ROOM + 1) for i in (rows, cols))
    extent = np.flatnonzero(truth.any((1, 2)))
    ends = max(extent[0] - 1, 0), min(extent[-1] + 1, len(truth) - 1)
    slices = np.unique(np.linspace(*ends, SLICES).round().astype(int)).tolist()
    image = stack.image[:, crop[0], crop[1]]
    found = [truth, out.labels == object_id, theirs == object_id]
    picture = [row(image, mask[:, crop[0], crop[1]], slices) for mask in found]
    pixels = (np.concatenate(picture) * 255).astype(np.uint8)
    io.imsave(path, pixels, check_contrast=False)
    print(f"object {object_id}, Dice {dice[column]:.2f}; rows: truth, ours, {setting}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
