"""When two propagations would have changed each other's masks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.images.window import Window
from napari_sam.masks.patch import MaskPatch
from napari_sam.volume.footprint import Footprint, meeting_groups


def square(row: int, col: int, side: int = 10) -> MaskPatch:
    return MaskPatch((row, col), np.ones((side, side), np.float16))


def looked_for(*masks: tuple[int, MaskPatch], window: Window | None) -> Footprint:
    found = Footprint()
    for index, patch in masks:
        found.windows.add((index, window))
        found.add_mask(index, patch)
    return found


LEFT, RIGHT = Window(0, 0, 64, 64), Window(0, 32, 64, 64)


@pytest.mark.parametrize(
    ("index", "col", "window", "meets"),
    [
        (3, 60, RIGHT, False),
        (3, 60, LEFT, True),  # decoded together
        (4, 60, LEFT, False),  # on another slice
        (3, 25, RIGHT, True),  # the masks overlap by 5 columns
        (3, 30, RIGHT, False),  # they touch
        (4, 25, RIGHT, False),
    ],
)
def test_windows_and_masks(index: int, col: int, window: Window, meets: bool) -> None:
    one = looked_for((3, square(0, 20)), window=LEFT)
    other = looked_for((index, square(5, col)), window=window)
    assert one.meets(other) == other.meets(one) == meets
    assert meeting_groups([one, other]) == ([[0, 1]] if meets else [[0], [1]])


@pytest.mark.parametrize(("index", "meets"), [(4, True), (6, True), (9, False)])
def test_a_territory_reaches_over_slices(index: int, meets: bool) -> None:
    one, other = looked_for((index, square(0, 20)), window=LEFT), Footprint()
    other.add_territory(4, 2.5, square(0, 20))
    assert one.meets(other) == other.meets(one) == meets
    claims = Footprint()
    claims.add_territory(4, 2.5, square(0, 20))
    assert not claims.meets(other)  # two prompts alone change no mask


def test_a_slice_that_is_empty_for_one_only() -> None:
    one, other = Footprint(empty={3}), looked_for((3, square(0, 0)), window=LEFT)
    assert one.meets(other)
    other.empty.add(3)
    assert not one.meets(other)


def test_groups_are_joined_through_others() -> None:
    masks = [square(0, 0), square(0, 8), square(0, 16), square(0, 40)]
    windows = [Window(0, i, 64, 64) for i in range(4)]
    footprints = [
        looked_for((3, mask), window=window)
        for mask, window in zip(masks, windows, strict=True)
    ]
    assert meeting_groups(footprints) == [[0, 1, 2], [3]]
    assert meeting_groups([Footprint(), *footprints[:1], Footprint()]) == [
        [0],
        [1],
        [2],
    ]
    assert meeting_groups([]) == []
