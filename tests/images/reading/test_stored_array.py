"""Views of stored arrays are what numpy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.images.reading.stored_array import StoredArray
from napari_sam.memory import NotEnoughMemoryError


@settings(max_examples=50)
@given(st.data())
def test_views_are_those_of_numpy(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    expected = np.arange(np.prod(shape)).reshape(shape)
    view = StoredArray.whole(expected)
    for _ in range(data.draw(st.integers(0, 3))):
        order = data.draw(st.permutations(range(expected.ndim)))
        view, expected = view.transpose(order), expected.transpose(order)
        if expected.ndim > 2 and data.draw(st.booleans()):
            axis = data.draw(st.integers(0, expected.ndim - 1))
            index = data.draw(st.integers(0, expected.shape[axis] - 1))
            view, expected = view.at(axis, index), expected.take(index, axis)
    assert (view.shape, view.ndim) == (expected.shape, expected.ndim)
    assert view.dtype == expected.dtype
    assert_array_equal(np.asarray(view), expected)
    key = tuple(
        data.draw(st.slices(size) | st.integers(0, size - 1)) for size in expected.shape
    )
    count = data.draw(st.integers(0, len(key)))
    assert_array_equal(view[key[:count]], expected[key[:count]])
    assert_array_equal(view[..., key[-1]], expected[..., key[-1]])


def test_parts_larger_than_the_memory_are_refused_in_a_sentence() -> None:
    class TooLarge:
        shape, dtype, ndim = (2, 3, 4), np.dtype("u1"), 3

        def __getitem__(self, _: Any) -> Any:
            raise MemoryError

    stored = StoredArray(TooLarge(), (None,) * 3, (0, 1, 2))
    with pytest.raises(NotEnoughMemoryError, match="does not fit into the memory"):
        stored[0]
