"""Territories: an object leaves the pixels of another one's prompt."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.images.stack import Stack
from napari_sam.masks.patch import MaskPatch
from napari_sam.volume.territories import Territories


def square(first: int, last: int) -> MaskPatch:
    mask = np.zeros((40, 40), bool)
    mask[first:last, first:last] = True
    return MaskPatch.from_mask(mask)


def territories(spacing: float = 1.0) -> Territories:
    """Make those of object 1 on slice 2, and of object 2 on slice 12."""
    made = Territories(Stack(np.zeros((20, 40, 40)), spacing=(spacing, 1, 1)))
    made.add(1, 2, square(10, 20))
    made.add(2, 12, square(10, 20))
    return made


def area(patch: MaskPatch) -> int:
    return int(np.count_nonzero(patch.mask))


def test_the_prompted_slice_belongs_to_its_object() -> None:
    mine, other = territories().outside(12, [1, 2], [square(8, 22), square(10, 20)])
    assert area(mine) == 14**2 - 10**2
    assert area(other) == 10**2


def test_the_nearer_prompt_decides_and_claims_shrink_with_distance() -> None:
    made = territories()
    kept = [area(made.outside(i, [1], [square(10, 20)])[0]) for i in range(2, 13)]
    assert kept[:5] == [100] * 5
    assert kept[6:] == sorted(kept[6:], reverse=True)
    assert kept[-1] == 0 < kept[6] < 100


@pytest.mark.parametrize("spacing", [2.0, 6.0])
def test_thick_slices_are_claimed_less_far(spacing: float) -> None:
    made = territories(spacing)
    assert area(made.outside(10, [1], [square(10, 20)])[0]) > area(
        territories().outside(10, [1], [square(10, 20)])[0]
    )


def test_masks_elsewhere_are_not_touched() -> None:
    patch = square(25, 35)
    assert territories().outside(12, [1], [patch])[0] is patch


def test_an_object_without_a_prompt_there_gives_way() -> None:
    (patch,) = territories().outside(12, [3], [square(10, 20)])
    assert not patch.logits.size
