"""Schemas of JSON: what fits, and the first place that does not."""

from __future__ import annotations

from typing import Any

import pytest

from napari_sam.checks.schema import misfit

SCHEMA = {
    "format": int,
    "size?": (None, float),
    "objects": {str: [{"region": [[int, int]], "name": str}]},
}
GOOD = {"format": 1, "objects": {"1": [{"region": [[0, 3], [2, 4]], "name": "a"}]}}


@pytest.mark.parametrize(
    "value",
    [GOOD, {**GOOD, "size": None}, {**GOOD, "size": 2}, {**GOOD, "more": [1, "x"]}],
)
def test_values_that_fit(value: Any) -> None:
    assert misfit(value, SCHEMA) is None


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ([], "its start"),
        ({}, "'format'"),
        ({**GOOD, "format": True}, "'format'"),
        ({**GOOD, "format": 2**70}, "'format'"),
        ({**GOOD, "size": float("nan")}, "'size'"),
        ({**GOOD, "objects": [1]}, "'objects'"),
        ({**GOOD, "objects": {"1": [{}]}}, "'objects', '1', 'region'"),
        (
            {**GOOD, "objects": {"1": [{"region": [[1]], "name": "a"}]}},
            "'objects', '1', 'region'",
        ),
        (
            {**GOOD, "objects": {"1": [{"region": [], "name": 3}]}},
            "'objects', '1', 'name'",
        ),
    ],
)
def test_places_that_do_not_fit(value: Any, place: str) -> None:
    assert misfit(value, SCHEMA) == place
