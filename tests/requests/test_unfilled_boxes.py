"""A mask that leaves most of its box empty is told, with object and slice."""

from __future__ import annotations

import numpy as np
import pytest

import napari_sam as ns
from napari_sam.requests.unfilled_boxes import unfilled_boxes_warnings
from napari_sam.volume.results import SliceResult, Status


def result(
    object_id: int, shape: tuple[int, int], status: Status = "anchor", index: int = 4
) -> SliceResult:
    """Return a mask that starts at the first pixel of the box of `prompts`."""
    logits = np.ones(shape, np.float16)
    return SliceResult(object_id, index, 0.9, status, (10, 20), logits)


def prompts(*object_ids: int) -> dict[int, dict[int, ns.Prompt]]:
    return {n: {4: ns.Prompt(box=(10, 20, 29, 59))} for n in object_ids}


def test_masks_that_fill_their_box_say_nothing() -> None:
    results = [result(1, (20, 40)), result(2, (16, 30)), result(3, (14, 28))]
    assert unfilled_boxes_warnings(prompts(1, 2, 3), results) == ()


@pytest.mark.parametrize("status", ["propagated", "doubtful", "interpolated"])
def test_only_prompted_slices_count(status: Status) -> None:
    assert unfilled_boxes_warnings(prompts(1), [result(1, (5, 5), status)]) == ()
    assert unfilled_boxes_warnings(prompts(1), [result(1, (5, 5), index=3)]) == ()


def test_clicks_have_no_box_to_fill() -> None:
    clicked = {1: {4: ns.Prompt(points=[(12, 22)])}}
    assert unfilled_boxes_warnings(clicked, [result(1, (5, 5))]) == ()


def test_empty_masks_are_told_elsewhere() -> None:
    assert unfilled_boxes_warnings(prompts(1), [result(1, (0, 0))]) == ()


def test_objects_and_slices_are_named() -> None:
    (sentence,) = unfilled_boxes_warnings(prompts(7), [result(7, (5, 5))])
    assert "object 7 on slice 4:" in sentence


def test_a_few_are_named_and_the_others_counted() -> None:
    ids = range(1, 7)
    (sentence,) = unfilled_boxes_warnings(
        prompts(*ids), [result(n, (5, 5)) for n in ids for _ in range(2)]
    )
    assert "object 1 on slice 4, object 2 on slice 4" in sentence
    assert "and 3 more:" in sentence
