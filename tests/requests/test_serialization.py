"""Plane indices as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.requests.serialization import index_from_json, index_to_json

FULL = slice(None)

indices = st.lists(st.integers(0, 99) | st.just(FULL), max_size=5).map(tuple)


@given(plane_index=indices)
def test_plane_indices_survive_json(plane_index: Any) -> None:
    entry = index_to_json(plane_index)
    assert index_from_json(json.loads(json.dumps(entry))) == plane_index


def test_numpy_integers_become_plain_ones() -> None:
    entry = index_to_json((np.int64(3), FULL))  # type: ignore[arg-type]
    assert json.loads(json.dumps(entry)) == [3, None]
