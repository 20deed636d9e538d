"""Arrays in files of tasks."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal

from napari_sam.scale_out.jobs.array_file import (
    DamagedArraysError,
    read_arrays,
    write_arrays,
)

DTYPES = st.sampled_from(["bool", "u1", "i4", "i8", ">i2", "f4", "f8", "U3"])
ANY = DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0)))
NAMED = st.dictionaries(st.text(max_size=4), ANY, max_size=4)


def written(stored: dict[str, Any], compressed: bool = True) -> bytes:
    stream = BytesIO()
    write_arrays(stream, stored, compressed)
    return stream.getvalue()


@given(NAMED, st.booleans(), st.data())
def test_arrays_come_back(
    stored: dict[str, np.ndarray], compressed: bool, data: st.DataObject
) -> None:
    content = written(stored, compressed)
    found = read_arrays(BytesIO(content))
    assert list(found) == list(stored)
    for name, array in stored.items():
        assert found[name].dtype == array.dtype
        assert_array_equal(found[name], array)
        found[name][...] = array  # they can be changed
    some = data.draw(st.lists(st.sampled_from(list(stored)))) if stored else []
    assert read_arrays(BytesIO(content), some).keys() == set(some)


@pytest.mark.parametrize("compressed", [False, True])
def test_any_damage_is_found(compressed: bool) -> None:
    content = written({"a": np.arange(3, dtype=np.uint8), "b": True}, compressed)
    for place in range(len(content)):
        for damaged in (
            content[:place],
            content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :],
        ):
            with pytest.raises(DamagedArraysError):
                read_arrays(BytesIO(damaged))


def test_a_missing_array_and_objects_are_refused() -> None:
    with pytest.raises(DamagedArraysError, match="other"):
        read_arrays(BytesIO(written({"a": 1})), ["other"])
    with pytest.raises(TypeError, match="The array a has the type object"):
        written({"a": [None]})


def test_a_lack_of_memory_is_no_damage() -> None:
    class Stream(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise MemoryError

    with pytest.raises(MemoryError):
        read_arrays(Stream(written({"a": 1})))
