"""Which values become black and white, the same for all planes of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.images.intensity import IntensityMapping, for_channels
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.uint8 import to_uint8
from napari_sam.prediction.cache import EmbeddingCache
from tests.helpers.arrays import FULL, Recorder

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor

VOLUME = np.random.default_rng(4).normal(100, 30, (40, 12, 14)).astype(np.float32)
AT = (5, FULL, FULL)

DISPLAY = IntensityMapping.display()
FULL_RANGE = IntensityMapping.full()


def measured(mapping: IntensityMapping, data: Any, plane_index: Any = AT) -> Any:
    return mapping.contrast_limits(PlaneReader((data,)), plane_index, None)


@given(low=st.floats(-1e6, 1e6), high=st.floats(-1e6, 1e6))
def test_as_displayed_takes_what_the_viewer_shows(low: float, high: float) -> None:
    source = Recorder(VOLUME)
    assert DISPLAY.contrast_limits(PlaneReader((source,)), AT, (low, high)) == (
        low,
        high,
    )
    assert DISPLAY.contrast_limits(PlaneReader((source,)), AT, None) is None
    assert source.elements == 0


@given(centre=st.floats(-1e4, 1e4), width=st.floats(1e-3, 1e4))
def test_a_window_is_its_centre_and_width(centre: float, width: float) -> None:
    source = Recorder(VOLUME)
    window = IntensityMapping.window(centre, width)
    low, high = window.contrast_limits(PlaneReader((source,)), AT, (0.0, 1.0))  # type: ignore[misc]
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
    assert measured(FULL_RANGE, data) == (data.min(), data.max())
    found = measured(IntensityMapping.percentiles(low, high), data)
    expected = np.percentile(data.astype(float), (low, high))
    if expected[0] == expected[1]:  # a few bright pixels on a constant ground
        expected = data.min(), data.max()
    assert found == pytest.approx(tuple(expected))


def test_defaults_are_those_of_a_single_plane() -> None:
    plane = VOLUME[0]
    contrast_limits = measured(IntensityMapping.percentiles(), plane, (FULL, FULL))
    np.testing.assert_array_equal(to_uint8(plane, contrast_limits), to_uint8(plane))


@pytest.mark.parametrize("mapping", [IntensityMapping.percentiles(1, 99), FULL_RANGE])
@pytest.mark.parametrize("depth", [1, 16, 17, 40])
def test_no_more_than_16_planes_are_read_and_only_once(
    mapping: IntensityMapping, depth: int
) -> None:
    source = Recorder(VOLUME[:depth])
    reader = PlaneReader((source,))
    first = mapping.contrast_limits(reader, (0, FULL, FULL), None)
    assert len(source.planes) == min(depth, 16)
    for index in range(depth):
        assert mapping.contrast_limits(reader, (index, FULL, FULL), (0.0, 9.0)) == first
    assert len(source.planes) == min(depth, 16)


def test_limits_are_remembered_by_reader_mapping_and_plane() -> None:
    source = Recorder(VOLUME)
    reader = PlaneReader((source,))
    found = {
        mapping: mapping.contrast_limits(reader, AT, None)
        for mapping in (FULL_RANGE, *map(IntensityMapping.percentiles, (1, 5, 20)))
    }
    assert len(set(found.values())) == 4
    across = FULL_RANGE.contrast_limits(reader, (FULL, 3, FULL), None)
    assert across != found[FULL_RANGE]
    count = len(source.planes)
    for mapping, contrast_limits in found.items():
        assert mapping.contrast_limits(reader, AT, None) == contrast_limits
    assert len(source.planes) == count
    FULL_RANGE.contrast_limits(PlaneReader((source,)), AT, None)
    assert len(source.planes) == count + 16


def test_large_planes_measure_like_all_their_pixels() -> None:
    plane = np.random.default_rng(1).normal(0, 1, (1500, 1600))
    found = measured(IntensityMapping.percentiles(2, 98), plane, (FULL, FULL))
    assert found == pytest.approx(tuple(np.percentile(plane, (2, 98))), abs=0.03)
    plane[701, 903] = 50  # one pixel decides on the full range
    assert measured(FULL_RANGE, plane, (FULL, FULL))[1] == 50


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
    assert contrast_limits == for_channels(expected)
    seen = to_uint8(reader.read((0, 1, FULL, FULL)), contrast_limits)
    for colour in range(count):
        plane = seen if count == 1 else seen[..., colour]
        np.testing.assert_array_equal(
            plane, to_uint8(data[colour, 1], expected[colour])
        )
    if count == 2:
        assert not seen[..., 2].any()


def test_a_window_holds_for_every_channel() -> None:
    source = (VOLUME,)
    reader = PlaneReader(source, False, [Channel(source), Channel(source)])
    contrast_limits = IntensityMapping.window(100, 50).contrast_limits(reader, AT, None)
    assert contrast_limits == ((75, 125), (75, 125), (0, 1))


def test_colours_keep_their_balance() -> None:
    data = np.stack([VOLUME, VOLUME * 2, VOLUME * 3], axis=-1)[:9]
    reader = PlaneReader((Recorder(data, rgb=True),), rgb=True)
    assert FULL_RANGE.contrast_limits(reader, AT, None) == (data.min(), data.max())
    found = IntensityMapping.percentiles(5, 95).contrast_limits(reader, AT, None)
    assert found == pytest.approx(tuple(np.percentile(data, (5, 95))))


# -- difficult data ------------------------------------------------------------

MEASURING = [
    FULL_RANGE,
    IntensityMapping.percentiles(),
    IntensityMapping.percentiles(1, 90),
]


@pytest.mark.parametrize("mapping", MEASURING)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint16", "float16", "float64"])
def test_constant_data_are_black(mapping: IntensityMapping, dtype: str) -> None:
    data = np.full((3, 5, 6), 7 if dtype != "bool" else 0, dtype)
    assert not to_uint8(data[0], measured(mapping, data, (0, FULL, FULL))).any()


@pytest.mark.parametrize("mapping", MEASURING)
def test_nan_and_infinities_do_not_count(mapping: IntensityMapping) -> None:
    holes = VOLUME[:8].copy()
    holes[:, 2] = np.nan
    holes[:, 3], holes[:, 4] = np.inf, -np.inf
    rest = np.delete(VOLUME[:8], [2, 3, 4], axis=1)
    assert measured(mapping, holes) == pytest.approx(measured(mapping, rest))
    seen = to_uint8(holes[0], measured(mapping, holes))
    assert not seen[2:5].any()


@pytest.mark.parametrize("mapping", MEASURING)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_finite_is_black(mapping: IntensityMapping, value: float) -> None:
    data = np.full((3, 5, 6), value)
    assert not to_uint8(data[0], measured(mapping, data, (0, FULL, FULL))).any()
    data[2] = VOLUME[0, :5, :6]  # empty slices at one end
    assert to_uint8(data[2], measured(mapping, data, (0, FULL, FULL))).max() == 255


@pytest.mark.parametrize("mapping", MEASURING)
def test_a_few_bright_pixels_are_seen(mapping: IntensityMapping) -> None:
    data = np.zeros((4, 60, 60), np.uint16)
    data[1, 7, 8] = 900
    assert to_uint8(data[1], measured(mapping, data, (0, FULL, FULL)))[7, 8] == 255


@pytest.mark.parametrize("mapping", MEASURING)
def test_what_is_no_image_is_refused(mapping: IntensityMapping) -> None:
    with pytest.raises(ValueError, match="only real numbers"):
        measured(mapping, np.zeros((3, 5, 6), complex), (0, FULL, FULL))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: IntensityMapping("log"), "'log' is no intensity mapping"),  # type: ignore[arg-type]
        (lambda: IntensityMapping.percentiles(50, 50), "are no percentiles"),
        (lambda: IntensityMapping.percentiles(-1, 50), "are no percentiles"),
        (lambda: IntensityMapping.percentiles(1, 101), "are no percentiles"),
        (lambda: IntensityMapping.percentiles(float("nan"), 9), "are no percentiles"),
        (lambda: IntensityMapping.window(40, 0), "width .* must be above 0"),
        (lambda: IntensityMapping.window(40, -1), "width .* must be above 0"),
        (lambda: IntensityMapping.window(40, float("inf")), "finite"),
        (lambda: IntensityMapping.window(float("nan"), 1), "finite"),
    ],
)
def test_wrong_numbers_are_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


# -- part of an embedding's identity -------------------------------------------


def test_another_mapping_is_another_plane_and_another_embedding(
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
        contrast_limits = mapping.contrast_limits(reader, AT, (0.0, 255.0))
        planes.append(to_uint8(reader.read(AT), contrast_limits).tobytes())
        embeddings.append(cache.embed(tiny_sam, reader.read(AT), contrast_limits))
    assert len(set(planes)) == len(cache) == len(mappings)
    assert len({embedding.plane_key for embedding in embeddings}) == len(mappings)
    for mapping, embedding in zip(mappings, embeddings, strict=True):
        contrast_limits = mapping.contrast_limits(reader, AT, (0.0, 255.0))
        assert cache.embed(tiny_sam, reader.read(AT), contrast_limits) is embedding
