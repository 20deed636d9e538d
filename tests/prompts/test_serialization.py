"""Prompts and masks as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from napari_sam.prompts.prompt import Prompt
from napari_sam.prompts.serialization import (
    mask_from_json,
    mask_to_json,
    prompt_from_json,
    prompt_to_json,
)

coordinates = st.floats(-1e6, 1e6)
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0))


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    points = draw(
        st.none()
        | hnp.arrays(
            float, st.tuples(st.integers(1, 5), st.just(2)), elements=coordinates
        )
    )
    labels = None
    if points is not None:
        labels = draw(hnp.arrays(int, len(points), elements=st.integers(0, 1)))
    box = draw(st.none() | hnp.arrays(float, (2, 2), elements=coordinates))
    mask = draw(st.none() | masks)
    origin = draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
    return Prompt(
        points,
        labels,
        None if box is None else np.sort(box, axis=0).ravel(),
        mask,
        (0, 0) if mask is None else origin,
    )


def through_json(value: Any) -> Any:
    again = json.loads(json.dumps(value, allow_nan=False))
    assert again == value  # nothing but plain types
    return again


@given(prompt=prompts())
def test_prompts_round_trip_through_json(prompt: Prompt) -> None:
    again = prompt_from_json(through_json(prompt_to_json(prompt)))
    assert again.kinds == prompt.kinds
    assert again.mask_origin == prompt.mask_origin
    for name in ("points", "labels", "box", "mask"):
        before, after = getattr(prompt, name), getattr(again, name)
        if before is not None:
            assert_array_equal(after, before)
            assert after.dtype == before.dtype


@given(mask=masks, origin=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_masks_round_trip_through_json(
    mask: np.ndarray, origin: tuple[int, int]
) -> None:
    entry = through_json(mask_to_json(mask, origin))
    again, first = mask_from_json(entry)
    assert_array_equal(again, mask)
    assert again.shape == mask.shape
    assert first == origin
    assert mask_to_json(again, first) == entry
    assert sum(entry["counts"]) == mask.size
    assert all(count > 0 for count in entry["counts"][1:-1])


def test_masks_are_run_lengths_outside_first() -> None:
    mask = np.array([[True, True, False], [False, False, True]])
    entry = mask_to_json(mask, (np.int64(3), np.int64(4)))  # type: ignore[arg-type]
    assert through_json(entry) == {
        "origin": [3, 4],
        "size": [2, 3],
        "counts": [0, 2, 3, 1],
    }


def test_logits_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="logits"):
        prompt_to_json(Prompt(mask=np.zeros((4, 4), np.float32)))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [1, 2],
        {"point": [[1, 2]]},
        {"points": {"row": 1}},
        {"points": "here"},
        {"box": [1, 2, 3]},
        {"box": [None] * 4},
        {"mask": [[True]]},
        {"mask": {"origin": [0, 0], "size": [2, 2]}},
        {"mask": {"origin": [0, 0], "size": [2, 2], "counts": [3]}},
        {"mask": {"origin": [0], "size": [2, 2], "counts": [4]}},
        {"mask": {"origin": [0, 0], "size": [4], "counts": [4]}},
        {"mask": {"origin": [0, 0], "size": [2, 2], "counts": [-1, 5]}},
        {"mask": {"origin": [0.5, 0], "size": [2, 2], "counts": [4]}},
    ],
)
def test_invalid_prompts_raise(entry: Any) -> None:
    with pytest.raises(ValueError, match=r": give [^:]*\.$"):
        prompt_from_json(entry)
