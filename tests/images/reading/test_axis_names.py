"""Names of axes."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.reading.axis_names import check_axes, in_memory, name_axes

letters = st.text(string.ascii_uppercase, min_size=2, max_size=7)


@given(axes=letters)
def test_every_axis_gets_a_name_of_its_own(axes: str) -> None:
    named = name_axes(axes)
    assert len(named) == len(set(named)) == len(axes)
    assert not set("QI") & set(named)
    kept = [a for a, b in zip(axes, named, strict=True) if a == b]
    assert set(axes) - set("QI") == set(kept)
    assert name_axes(named) == named


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        ("QQ", "YX"),
        ("QQQ", "ZYX"),
        ("IYX", "ZYX"),
        ("QQYX", "TZYX"),
        ("QZYX", "TZYX"),
        ("QQQYX", "CTZYX"),
        ("QYXS", "ZYXS"),
        ("CQYX", "CZYX"),
        ("ZZYX", "TZYX"),
        ("QQQQYX", "ACTZYX"),
    ],
)
def test_unnamed_axes_become_z_then_t_then_c(axes: str, named: str) -> None:
    assert name_axes(axes) == named


@given(axes=letters)
def test_rows_columns_and_colour_come_last(axes: str) -> None:
    named = name_axes(axes)
    order = in_memory(named)
    assert sorted(order) == sorted(named)
    last = [name for name in "YXS" if name in named]
    assert order.endswith("".join(last))
    others = [name for name in named if name not in "YXS"]
    assert order.startswith("".join(others))


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ("YX", r"shape \(3, 24, 32\): name 3 axes, for instance --axes ZYX"),
        ("ZYXS", "name 3 axes"),
        ("ZZX", "a letter of its own"),
        ("1YX", "a letter of its own"),
        ("µYX", "a letter of its own"),
        ("TZX", "name them Y and X"),
        ("YSX", "S is colour and has length 3 or 4"),
    ],
)
def test_named_axes_must_fit(axes: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_axes(axes, (3, 24, 32))


def test_named_axes_are_capitals() -> None:
    assert check_axes("syx", (3, 24, 32)) == "SYX"
