"""Which slices are walked, and which are known from an earlier result."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.results import PropagationOptions
from napari_sam.volume.slice_ranges import slice_ranges
from napari_sam.volume.stack_prompts import prompted_slices

BOX = Prompt(box=(2, 2, 9, 9))
END = Prompt(points=[(5, 5)], labels=[0])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({5: BOX}, [(0, 4, None, 5), (6, 9, 5, None)]),
        ({0: BOX}, [(1, 9, 0, None)]),
        ({9: BOX}, [(0, 8, None, 9)]),
        ({2: BOX, 6: BOX}, [(0, 1, None, 2), (3, 5, 2, 6), (7, 9, 6, None)]),
        ({4: BOX, 5: BOX}, [(0, 3, None, 4), (6, 9, 5, None)]),
        ({5: BOX, 8: END}, [(0, 4, None, 5), (6, 7, 5, None)]),
        ({5: BOX, 4: END}, [(6, 9, 5, None)]),
        # An end between two anchors: neither walk passes it.
        (
            {2: BOX, 5: END, 8: BOX},
            [(0, 1, None, 2), (3, 4, 2, None), (6, 7, None, 8), (9, 9, 8, None)],
        ),
    ],
)
def test_the_spans_of_an_object(
    given: dict[int, Prompt], expected: list[tuple[int | None, ...]]
) -> None:
    anchors = prompted_slices({1: given}, {})[1]
    spans = slice_ranges(1, anchors, 10, PropagationOptions())
    found = [(s.first, s.last, s.below, s.above) for s in spans]
    assert found == expected


def test_spans_keep_to_the_range() -> None:
    anchors = prompted_slices({1: {5: BOX}}, {})[1]
    spans = slice_ranges(1, anchors, 10, PropagationOptions(first=3, last=7))
    assert [list(s.slices) for s in spans] == [[3, 4], [6, 7]]


def test_anchors_are_the_same_only_when_all_of_them_is() -> None:
    def anchors(**change: object) -> object:
        given = {"points": [(5, 5)], "labels": [1], "box": (2, 2, 9, 9), **change}
        return prompted_slices({1: {4: Prompt(**given)}}, {})[1]

    first = anchors()
    assert first.same_at(anchors(), 4)
    assert first.same_at(anchors(), 5)  # nothing is said of that slice
    for change in (
        {"points": [(5, 6)]},
        {"box": (2, 2, 9, 8)},
        {"points": None, "labels": None},
        {"mask": np.ones((3, 3), bool)},
    ):
        assert not first.same_at(anchors(**change), 4)
