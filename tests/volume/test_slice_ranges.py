"""Slice ranges between prompted slices, and changes of prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.results import PropagationOptions
from napari_sam.volume.slice_ranges import slice_ranges
from napari_sam.volume.stack_prompts import PromptedSlices, prompted_slices

BOX = Prompt(box=(2, 2, 9, 9))
END = Prompt(points=[(5, 5)], labels=[0])


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({5: BOX}, [(0, 4, None, 5), (6, 9, 5, None)]),
        ({0: BOX}, [(1, 9, 0, None)]),
        ({9: BOX}, [(0, 8, None, 9)]),
        ({2: BOX, 6: BOX}, [(0, 1, None, 2), (3, 5, 2, 6), (7, 9, 6, None)]),
        ({4: BOX, 5: BOX}, [(0, 3, None, 4), (6, 9, 5, None)]),
        ({5: BOX, 8: END}, [(0, 4, None, 5), (6, 7, 5, None)]),
        ({5: BOX, 4: END}, [(6, 9, 5, None)]),
        # An end between two prompted slices: no direction passes it.
        (
            {2: BOX, 5: END, 8: BOX},
            [(0, 1, None, 2), (3, 4, 2, None), (6, 7, None, 8), (9, 9, 8, None)],
        ),
    ],
)
def test_slice_ranges_of_an_object(
    prompts: dict[int, Prompt], expected: list[tuple[int | None, ...]]
) -> None:
    prompted = prompted_slices({1: prompts}, {})[1]
    ranges = slice_ranges(1, prompted, 10, PropagationOptions())
    assert [(r.first, r.last, r.below, r.above) for r in ranges] == expected


def test_slice_ranges_respect_first_and_last() -> None:
    prompted = prompted_slices({1: {5: BOX}}, {})[1]
    ranges = slice_ranges(1, prompted, 10, PropagationOptions(first=3, last=7))
    assert [list(r.slices) for r in ranges] == [[3, 4], [6, 7]]


def test_any_change_of_a_prompt_is_detected() -> None:
    def prompted(**change: Any) -> PromptedSlices:
        values = {"points": [(5, 5)], "labels": [1], "box": (2, 2, 9, 9), **change}
        return prompted_slices({1: {4: Prompt(**values)}}, {})[1]

    first = prompted()
    assert first.same_on(prompted(), 4)
    assert first.same_on(prompted(), 5)  # neither has a prompt there
    for change in (
        {"points": [(5, 6)]},
        {"box": (2, 2, 9, 8)},
        {"points": None, "labels": None},
        {"mask": np.ones((3, 3), bool)},
    ):
        assert not first.same_on(prompted(**change), 4)
