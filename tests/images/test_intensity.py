"""Contrast limits by intensity mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.images.intensity import IntensityMapping, limits_for_channels
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.uint8 import to_uint8
from napari_sam.prediction.cache import EmbeddingCache
from tests.helpers.arrays import FULL, Recorder

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor

VOLUME = np.random.default_rng(4).normal(100, 30, (40, 12, 14)).astype(np.float32)
PLANE = (5, FULL, FULL)

DISPLAY = IntensityMapping.display()
FULL_RANGE = IntensityMapping.full()


def limits_of(mapping: IntensityMapping, data: Any, plane_index: Any = PLANE) -> Any:
    return mapping.contrast_limits(PlaneReader((data,)), plane_index, None)


@given(low=st.floats(-1e6, 1e6), high=st.floats(-1e6, 1e6))
def test_display_uses_the_displayed_limits(low: float, high: float) -> None:
    source = Recorder(VOLUME)
    assert DISPLAY.contrast_limits(PlaneReader((source,)), PLANE, (low, high)) == (
        low,
        high,
    )
    assert DISPLAY.contrast_limits(PlaneReader((source,)), PLANE, None) is None
    assert source.elements == 0


@given(centre=st.floats(-1e4, 1e4), width=st.floats(1e-3, 1e4))
def test_window_has_its_centre_and_width(centre: float, width: float) -> None:
    source = Recorder(VOLUME)
    window = IntensityMapping.window(centre, width)
    low, high = window.contrast_limits(PlaneReader((source,)), PLANE, (0.0, 1.0))  # type: ignore[misc]
    assert (low + high) / 2 == pytest.approx(centre, abs=1e-6)
    assert high - low == pytest.approx(width, abs=1e-6)
    assert source.elements == 0


@given(
    data=hnp.arrays(np.float32, (6, 5, 4), elements=st.floats(-1e6, 1e6, width=32)),
    low=st.floats(0, 49),
    high=st.floats(51, 100),
)
def test_percentiles_and_full_range_of_small_volumes_are_exact(
    data: np.ndarray, low: float, high: float
) -> None:
    assert limits_of(FULL_RANGE, data) == (data.min(), data.max())
    limits = limits_of(IntensityMapping.percentiles(low, high), data)
    expected = np.percentile(data.astype(float), (low, high))
    if expected[0] == expected[1]:  # a few bright pixels on a constant background
        expected = data.min(), data.max()
    assert limits == pytest.approx(tuple(expected))


def test_default_percentiles_equal_those_of_to_uint8() -> None:
    plane = VOLUME[0]
    contrast_limits = limits_of(IntensityMapping.percentiles(), plane, (FULL, FULL))
    np.testing.assert_array_equal(to_uint8(plane, contrast_limits), to_uint8(plane))


@pytest.mark.parametrize("mapping", [IntensityMapping.percentiles(1, 99), FULL_RANGE])
@pytest.mark.parametrize("depth", [1, 16, 17, 40])
def test_up_to_16_planes_are_read_once(mapping: IntensityMapping, depth: int) -> None:
    source = Recorder(VOLUME[:depth])
    reader = PlaneReader((source,))
    first = mapping.contrast_limits(reader, (0, FULL, FULL), None)
    assert len(source.planes) == min(depth, 16)
    for index in range(depth):
        assert mapping.contrast_limits(reader, (index, FULL, FULL), (0.0, 9.0)) == first
    assert len(source.planes) == min(depth, 16)


def test_limits_are_stored_by_mapping_and_plane_axes() -> None:
    source = Recorder(VOLUME)
    reader = PlaneReader((source,))
    by_mapping = {
        mapping: mapping.contrast_limits(reader, PLANE, None)
        for mapping in (FULL_RANGE, *map(IntensityMapping.percentiles, (1, 5, 20)))
    }
    assert len(set(by_mapping.values())) == 4
    across = FULL_RANGE.contrast_limits(reader, (FULL, 3, FULL), None)
    assert across != by_mapping[FULL_RANGE]
    count = len(source.planes)
    for mapping, contrast_limits in by_mapping.items():
        assert mapping.contrast_limits(reader, PLANE, None) == contrast_limits
    assert len(source.planes) == count
    FULL_RANGE.contrast_limits(PlaneReader((source,)), PLANE, None)
    assert len(source.planes) == count + 16


def test_limits_of_large_planes_are_close_to_exact() -> None:
    plane = np.random.default_rng(1).normal(0, 1, (1500, 1600))
    limits = limits_of(IntensityMapping.percentiles(2, 98), plane, (FULL, FULL))
    assert limits == pytest.approx(tuple(np.percentile(plane, (2, 98))), abs=0.03)
    plane[701, 903] = 50  # one pixel sets the full range
    assert limits_of(FULL_RANGE, plane, (FULL, FULL))[1] == 50


# -- channels and colour -------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_channel_has_its_own_limits(count: int) -> None:
    factors = [1, 100, -10]
    data = np.stack([VOLUME[:4] * f for f in factors])
    source = (data,)
    chosen = [Channel(source, 0, i) for i in range(count)]
    reader = PlaneReader(source, False, chosen)
    contrast_limits = FULL_RANGE.contrast_limits(reader, (0, 1, FULL, FULL), None)
    expected = [(data[i].min(), data[i].max()) for i in range(count)]
    assert contrast_limits == limits_for_channels(expected)
    converted = to_uint8(reader.read((0, 1, FULL, FULL)), contrast_limits)
    for colour in range(count):
        plane = converted if count == 1 else converted[..., colour]
        np.testing.assert_array_equal(
            plane, to_uint8(data[colour, 1], expected[colour])
        )
    if count == 2:
        assert not converted[..., 2].any()


def test_window_applies_to_every_channel() -> None:
    source = (VOLUME,)
    reader = PlaneReader(source, False, [Channel(source), Channel(source)])
    contrast_limits = IntensityMapping.window(100, 50).contrast_limits(
        reader, PLANE, None
    )
    assert contrast_limits == ((75, 125), (75, 125), (0, 1))


def test_rgb_has_one_pair_of_limits() -> None:
    data = np.stack([VOLUME, VOLUME * 2, VOLUME * 3], axis=-1)[:9]
    reader = PlaneReader((Recorder(data, rgb=True),), rgb=True)
    assert FULL_RANGE.contrast_limits(reader, PLANE, None) == (data.min(), data.max())
    limits = IntensityMapping.percentiles(5, 95).contrast_limits(reader, PLANE, None)
    assert limits == pytest.approx(tuple(np.percentile(data, (5, 95))))


# -- difficult data ------------------------------------------------------------

MEASURING = [
    FULL_RANGE,
    IntensityMapping.percentiles(),
    IntensityMapping.percentiles(1, 90),
]


@pytest.mark.parametrize("mapping", MEASURING)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint16", "float16", "float64"])
def test_constant_data_become_black(mapping: IntensityMapping, dtype: str) -> None:
    data = np.full((3, 5, 6), 7 if dtype != "bool" else 0, dtype)
    assert not to_uint8(data[0], limits_of(mapping, data, (0, FULL, FULL))).any()


@pytest.mark.parametrize("mapping", MEASURING)
def test_nan_and_infinities_are_ignored(mapping: IntensityMapping) -> None:
    holes = VOLUME[:8].copy()
    holes[:, 2] = np.nan
    holes[:, 3], holes[:, 4] = np.inf, -np.inf
    rest = np.delete(VOLUME[:8], [2, 3, 4], axis=1)
    assert limits_of(mapping, holes) == pytest.approx(limits_of(mapping, rest))
    converted = to_uint8(holes[0], limits_of(mapping, holes))
    assert not converted[2:5].any()


@pytest.mark.parametrize("mapping", MEASURING)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_without_finite_values_become_black(
    mapping: IntensityMapping, value: float
) -> None:
    data = np.full((3, 5, 6), value)
    assert not to_uint8(data[0], limits_of(mapping, data, (0, FULL, FULL))).any()
    data[2] = VOLUME[0, :5, :6]  # empty slices at one end
    assert to_uint8(data[2], limits_of(mapping, data, (0, FULL, FULL))).max() == 255


@pytest.mark.parametrize("mapping", MEASURING)
def test_a_few_bright_pixels_become_white(mapping: IntensityMapping) -> None:
    data = np.zeros((4, 60, 60), np.uint16)
    data[1, 7, 8] = 900
    assert to_uint8(data[1], limits_of(mapping, data, (0, FULL, FULL)))[7, 8] == 255


@pytest.mark.parametrize("mapping", MEASURING)
def test_complex_data_are_refused(mapping: IntensityMapping) -> None:
    with pytest.raises(ValueError, match="only real numbers"):
        limits_of(mapping, np.zeros((3, 5, 6), complex), (0, FULL, FULL))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: IntensityMapping("log"), "'log' is not an intensity mapping"),  # type: ignore[arg-type]
        (lambda: IntensityMapping.percentiles(50, 50), "are not percentiles"),
        (lambda: IntensityMapping.percentiles(-1, 50), "are not percentiles"),
        (lambda: IntensityMapping.percentiles(1, 101), "are not percentiles"),
        (lambda: IntensityMapping.percentiles(float("nan"), 9), "are not percentiles"),
        (lambda: IntensityMapping.window(40, 0), "width above 0"),
        (lambda: IntensityMapping.window(40, -1), "width above 0"),
        (lambda: IntensityMapping.window(40, float("inf")), "finite"),
        (lambda: IntensityMapping.window(float("nan"), 1), "finite"),
    ],
)
def test_invalid_rules_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


# -- embeddings -----------------------------------------------------------------


def test_each_mapping_has_its_own_embedding(
    tiny_sam: Predictor,
) -> None:
    cache, reader = EmbeddingCache(), PlaneReader((VOLUME,))
    mappings = [
        DISPLAY,
        FULL_RANGE,
        IntensityMapping.percentiles(),
        IntensityMapping.percentiles(10, 90),
        IntensityMapping.window(100, 40),
        IntensityMapping.window(100, 80),
    ]
    planes, embeddings = [], []
    for mapping in mappings:
        contrast_limits = mapping.contrast_limits(reader, PLANE, (0.0, 255.0))
        planes.append(to_uint8(reader.read(PLANE), contrast_limits).tobytes())
        embeddings.append(cache.embed(tiny_sam, reader.read(PLANE), contrast_limits))
    assert len(set(planes)) == len(cache) == len(mappings)
    assert len({embedding.plane_key for embedding in embeddings}) == len(mappings)
    for mapping, embedding in zip(mappings, embeddings, strict=True):
        contrast_limits = mapping.contrast_limits(reader, PLANE, (0.0, 255.0))
        assert cache.embed(tiny_sam, reader.read(PLANE), contrast_limits) is embedding
