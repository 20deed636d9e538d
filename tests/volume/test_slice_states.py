"""States of the slices of a stack, and the next doubtful one."""

import numpy as np
import pytest

from napari_sam.images.stack import Stack
from napari_sam.volume.results import (
    SliceResult,
    VolumeResult,
    next_doubtful,
    slice_states,
)


def of(*entries: tuple[int, int, str]) -> VolumeResult:
    logits = np.ones((1, 1), np.float16)
    slices = [
        SliceResult(n, i, 0.5, status, (0, 0), logits) for n, i, status in entries
    ]
    return VolumeResult(Stack(np.zeros((9, 4, 4))), tuple(slices))


def test_most_doubtful_object_decides_the_state_of_a_slice() -> None:
    volume = of(
        (1, 2, "stopped"),
        (1, 3, "propagated"),
        (2, 3, "doubtful"),
        (1, 4, "anchor"),
        (2, 4, "propagated"),
        (2, 5, "interpolated"),
        (1, 6, "stopped"),
    )
    assert slice_states(volume) == {3: "doubtful", 4: "anchor", 5: "interpolated"}


@pytest.mark.parametrize(
    ("index", "expected"), [(-1, 3), (3, 5), (4, 5), (5, 3), (8, 3)]
)
def test_next_doubtful_slice_wraps_around(index: int, expected: int) -> None:
    states = slice_states(of((1, 3, "doubtful"), (1, 4, "anchor"), (1, 5, "doubtful")))
    assert next_doubtful(states, index) == expected


def test_no_doubtful_slice() -> None:
    assert next_doubtful({4: "anchor"}, 0) is None
