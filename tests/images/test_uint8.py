"""Conversion of planes to 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.images.uint8 import data_limits, plane_key, row_blocks, to_uint8

INTEGERS = "int8 int16 uint16 int32 uint32 int64 uint64"
FLOATS = "float16 float32 float64"
DTYPES = ["bool", "uint8", *INTEGERS.split(), *FLOATS.split()]

planes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)
# Differences of larger numbers overflow.
magnitudes = {"float16": 6e4, "float32": 1e30, "float64": 1e100}


def values_of(dtype: str) -> st.SearchStrategy[Any] | None:
    if dtype not in magnitudes:
        return None
    maximum = float(np.array(magnitudes[dtype], dtype))
    width = np.dtype(dtype).itemsize * 8
    return st.floats(-maximum, maximum, width=width, allow_subnormal=False)


any_plane = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, planes, elements=values_of(dtype))
)


def ramp(dtype: str) -> np.ndarray:
    """256 evenly spaced values over maximum of the range of a dtype, as 16 x 16."""
    if dtype == "bool":
        return np.arange(256).reshape(16, 16) > 127
    if dtype in magnitudes:
        return np.linspace(-5e4, 5e4, 256).astype(dtype).reshape(16, 16)
    info = np.iinfo(dtype)
    values = [info.min + (info.max - info.min) * i // 255 for i in range(256)]
    return np.array(values, dtype).reshape(16, 16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_dtype_spans_0_to_255(dtype: str) -> None:
    plane = ramp(dtype)
    converted = to_uint8(plane)
    assert converted.dtype == np.uint8
    assert converted.shape == plane.shape
    assert converted.min() == 0
    assert converted.max() == 255
    assert (np.diff(converted.ravel().astype(int)) >= 0).all()
    if dtype != "bool":
        np.testing.assert_allclose(converted.ravel(), np.arange(256), atol=2)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", ">f4"])
def test_byte_order_does_not_matter(dtype: str) -> None:
    expected = to_uint8(np.arange(64.0).reshape(8, 8))
    converted = to_uint8(np.arange(64).reshape(8, 8).astype(dtype))
    np.testing.assert_array_equal(converted, expected)


def test_8_bit_planes_are_unchanged(rng: np.random.Generator) -> None:
    plane = rng.integers(50, 90, (5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(plane), plane)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 5), (4, 5)),
        ((4, 5, 1), (4, 5)),
        ((4, 5, 3), (4, 5, 3)),
        ((4, 5, 4), (4, 5, 3)),
        ((1, 1), (1, 1)),
        ((1, 9), (1, 9)),
        ((9, 3), (9, 3)),
    ],
)
def test_shapes(
    rng: np.random.Generator,
    dtype: str,
    shape: tuple[int, ...],
    expected: tuple[int, ...],
) -> None:
    plane = (rng.random(shape) * 100).astype(dtype)
    assert to_uint8(plane).shape == expected


def test_alpha_is_dropped(rng: np.random.Generator) -> None:
    rgba = rng.integers(0, 256, (4, 5, 4), dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(rgba), rgba[..., :3])


def test_float_rgb_within_1_is_scaled_by_255(rng: np.random.Generator) -> None:
    rgb = rng.uniform(0.2, 0.6, (6, 7, 3))
    np.testing.assert_array_equal(to_uint8(rgb), np.rint(rgb * 255))


def test_float_rgb_beyond_1_uses_percentiles(rng: np.random.Generator) -> None:
    converted = to_uint8(rng.uniform(0, 4000, (20, 20, 3)))
    assert converted.min() == 0
    assert converted.max() == 255


def test_lists_are_converted() -> None:
    assert to_uint8([[0, 1], [2, 3]], (0, 3)).tolist() == [[0, 85], [170, 255]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("limits", [None, (10.0, 20.0)])
def test_nan_and_infinities_become_black(
    dtype: str, bad: float, limits: tuple[float, float] | None
) -> None:
    plane = np.linspace(10, 20, 100).reshape(10, 10).astype(dtype)
    expected = to_uint8(plane, limits)
    plane[5, 5] = bad
    converted = to_uint8(plane, limits)
    assert converted[5, 5] == 0
    others = np.arange(100).reshape(10, 10) != 55
    difference = converted[others].astype(int) - expected[others]
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_planes_without_finite_values_become_black(bad: float) -> None:
    assert not to_uint8(np.full((3, 4), bad)).any()


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d not in ("bool", "uint8")])
@pytest.mark.parametrize("value", [0, 7])
def test_constant_planes_become_black(dtype: str, value: int) -> None:
    assert not to_uint8(np.full((3, 4), value, dtype)).any()


def test_a_few_bright_pixels_become_white() -> None:
    plane = np.zeros((100, 100), np.uint16)
    plane[50, 50] = 1000
    converted = to_uint8(plane)
    assert converted[50, 50] == 255
    assert np.count_nonzero(converted) == 1


def test_extremes_of_half_precision() -> None:
    plane = np.array([[-65504, 65504]], np.float16)
    assert to_uint8(plane).tolist() == [[0, 255]]


def test_limits_become_0_and_255() -> None:
    plane = np.array([[99, 100, 150, 200, 201]], np.uint16)
    assert to_uint8(plane, (100, 200)).tolist() == [[0, 0, 128, 255, 255]]


def test_limits_apply_to_8_bits() -> None:
    plane = np.array([[0, 10, 20, 255]], np.uint8)
    assert to_uint8(plane, (10, 20)).tolist() == [[0, 0, 255, 255]]


def test_equal_limits_give_black() -> None:
    assert not to_uint8(np.arange(6).reshape(2, 3), (3, 3)).any()


def test_small_differences_of_large_counts_are_kept() -> None:
    plane = np.array([[2**31, 2**31 + 1, 2**31 + 2]], np.uint32)
    assert to_uint8(plane, (2**31, 2**31 + 2)).tolist() == [[0, 128, 255]]


@given(plane=any_plane)
def test_order_of_values_is_kept(plane: np.ndarray) -> None:
    converted = to_uint8(plane)
    order = np.argsort(plane, axis=None, kind="stable")
    assert (np.diff(converted.ravel()[order].astype(int)) >= 0).all()


@given(plane=any_plane)
def test_the_input_is_not_changed(plane: np.ndarray) -> None:
    plane.flags.writeable = False
    before = plane.copy()
    to_uint8(plane)
    to_uint8(plane, (0, 1))
    np.testing.assert_array_equal(plane, before)


@given(plane=any_plane)
def test_data_limits_are_finite_and_increasing(plane: np.ndarray) -> None:
    low, high = data_limits(plane)
    assert np.isfinite([low, high]).all()
    assert low <= high
    np.testing.assert_array_equal(to_uint8(plane, (low, high)), to_uint8(plane))


@given(plane=any_plane)
def test_conversion_is_idempotent(plane: np.ndarray) -> None:
    once = to_uint8(plane)
    np.testing.assert_array_equal(to_uint8(once), once)


def test_data_limits_by_dtype() -> None:
    ones = np.ones((4, 4))
    assert data_limits(ones.astype(bool)) == (0, 1)
    assert data_limits(ones.astype(np.uint8)) == (0, 255)
    assert data_limits(ones * 5) == (5, 5)
    assert data_limits(ones * np.nan) == (0, 0)


def test_data_limits_are_percentiles(rng: np.random.Generator) -> None:
    plane = rng.normal(1000, 50, (200, 200))
    plane[0, :3] = 1e6  # hot pixels
    low, high = data_limits(plane)
    assert (low, high) == pytest.approx(np.percentile(plane, [0.5, 99.5]))
    assert high < 1200


def test_data_limits_of_a_volume_use_all_planes() -> None:
    volume = np.arange(100, dtype=np.uint16)[:, None, None] * np.ones((1, 200, 200))
    low, high = data_limits(volume.astype(np.uint16))
    assert low <= 2
    assert high >= 97


def test_data_limits_of_a_large_plane_are_close(rng: np.random.Generator) -> None:
    plane = rng.gamma(2, 100, (2500, 2500)).astype(np.float32)
    exact = np.percentile(plane, [0.5, 99.5])
    assert data_limits(plane) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((3, 3), complex),
        np.zeros((3, 3), object),
        np.array([["a", "b"]]),
        np.zeros((3, 3), "datetime64[s]"),
        np.zeros((3, 3), [("a", int)]),
    ],
    ids=["complex", "object", "str", "datetime", "structured"],
)
def test_other_dtypes_are_refused(plane: np.ndarray) -> None:
    with pytest.raises(ValueError, match="only real numbers can be segmented"):
        to_uint8(plane)


@pytest.mark.parametrize(
    "shape", [(), (5,), (5, 5, 2), (5, 5, 5), (2, 5, 5, 3), (3, 5, 5)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"The image has shape .*: give one plane"):
        to_uint8(np.zeros(shape))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 5, 3)])
def test_empty_planes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        to_uint8(np.zeros(shape))


@pytest.mark.parametrize("limits", [(2, 1), (np.nan, 1), (0, np.inf)])
def test_invalid_limits_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="are not two increasing numbers"):
        to_uint8(np.zeros((3, 3)), limits)


def test_limits_of_each_channel(rng: np.random.Generator) -> None:
    rgb = rng.integers(0, 4000, (6, 7, 3), dtype=np.uint16)
    limits = [(0, 4000), (100, 900), (7, 7)]
    converted = to_uint8(rgb, limits)
    for channel, pair in enumerate(limits):
        np.testing.assert_array_equal(
            converted[..., channel], to_uint8(rgb[..., channel], pair)
        )
    np.testing.assert_array_equal(converted, to_uint8(rgb, np.array(limits)))


@pytest.mark.parametrize("limits", [(0, 255), [(0, 255)] * 3])
def test_8_bits_with_full_limits_are_not_copied(limits: Any) -> None:
    plane = np.zeros((4, 5, 3), np.uint8)
    assert to_uint8(plane, limits) is plane


@pytest.mark.parametrize(
    ("shape", "limits"),
    [
        ((3, 4), [(0, 1)] * 3),
        ((3, 4, 3), [(0, 1)] * 2),
        ((3, 4, 3), (0, 1, 2)),
        ((3, 4), 5),
    ],
)
def test_limits_of_other_shapes_are_refused(
    shape: tuple[int, ...], limits: Any
) -> None:
    with pytest.raises(ValueError, match=r"contrast limits have shape .*: give \(low,"):
        to_uint8(np.zeros(shape), limits)


def test_invalid_limits_of_a_channel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2\.0, 1\.0\) are not two increasing"):
        to_uint8(np.zeros((3, 3, 3)), [(0, 1), (2, 1), (0, 1)])


# -- blocks of rows ---------------------------------------------------------


def convert_at_once(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    """Convert all rows at once, in the precision that the dtype needs."""
    values = plane.astype(np.float64 if plane.dtype.itemsize > 2 else np.float32)
    values = np.where(np.isfinite(values), values, values.dtype.type(low))
    values = (values - low) * (255 / (high - low))
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "uint8"])
@pytest.mark.parametrize("shape", [(37, 11), (9, 5, 3), (9, 5, 4), (1, 300), (300, 1)])
def test_conversion_in_blocks_equals_conversion_at_once(
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    dtype: str,
    shape: tuple[int, ...],
) -> None:
    plane = (rng.random(shape) * 200 + 20).astype(dtype)
    if dtype.startswith("float"):
        plane[rng.random(shape) < 0.1] = np.nan
        plane[rng.random(shape) < 0.1] = np.inf
    expected = convert_at_once(plane[..., :3] if len(shape) == 3 else plane, 30.5, 180)
    at_once = to_uint8(plane)
    monkeypatch.setattr("napari_sam.images.uint8._BLOCK_VALUES", 50)
    np.testing.assert_array_equal(to_uint8(plane, (30.5, 180)), expected)
    np.testing.assert_array_equal(to_uint8(plane), at_once)
    if len(shape) == 3:
        each = to_uint8(plane, [(30.5, 180)] * 3)
        np.testing.assert_array_equal(each, expected)


@pytest.mark.parametrize("shape", [(10, 4), (1, 9), (7, 1), (5, 2, 3), (3, 100)])
def test_blocks_cover_every_row_once(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr("napari_sam.images.uint8._BLOCK_VALUES", 8)
    rows = [row for block in row_blocks(shape) for row in range(shape[0])[block]]
    assert rows == list(range(shape[0]))


# -- plane keys --------------------------------------------------------------


def test_plane_keys_depend_on_shape_and_pixels(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = rng.integers(0, 256, (6, 4), dtype=np.uint8)
    changed = pixels.copy()
    changed[3, 3] ^= 1
    key = plane_key(pixels)
    assert plane_key(pixels.copy(order="F")) == key
    others = [changed, pixels.reshape(4, 6), pixels[..., None].repeat(3, -1)]
    assert len({plane_key(one) for one in [pixels, *others]}) == 4
    monkeypatch.setattr("napari_sam.images.uint8._BLOCK_VALUES", 8)
    assert plane_key(pixels) == key
