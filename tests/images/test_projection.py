"""Thick slices: several planes as one, as napari shows them."""

import numpy as np
import pytest

from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.projection import Projection, ProjectionMode

FULL = slice(None)
VOLUME = np.random.default_rng(0).integers(0, 255, (9, 6, 7), dtype=np.uint8)


def thick(before: float, after: float, mode: ProjectionMode = "mean") -> Projection:
    return Projection(mode, ((before, after), (0.0, 0.0), (0.0, 0.0)))


@pytest.mark.parametrize("mode", ["sum", "mean", "max", "min"])
def test_planes_are_combined(mode: ProjectionMode) -> None:
    reader = PlaneReader((VOLUME,), projection=thick(1, 2, mode))
    expected = getattr(np, mode)(VOLUME[3:7], axis=0)
    np.testing.assert_allclose(reader.read((4, FULL, FULL)), expected)


@pytest.mark.parametrize(
    ("before", "after", "first", "last"),
    [
        (0, 0, 4, 4),
        (1, 1, 3, 5),
        (0.4, 0.4, 4, 4),
        (1.4, 1.6, 3, 5),
        (20, 20, 0, 8),
        (0, 20, 4, 8),
    ],
)
def test_thickness_selects_the_planes_that_napari_shows(
    before: float, after: float, first: int, last: int
) -> None:
    indices = thick(before, after).indices((4, FULL, FULL), VOLUME.shape)
    assert [index[0] for index in indices] == list(range(first, last + 1))


def test_planes_at_the_ends_of_the_stack() -> None:
    reader = PlaneReader((VOLUME,), projection=thick(2, 2, "max"))
    np.testing.assert_array_equal(reader.read((0, FULL, FULL)), VOLUME[:3].max(axis=0))
    np.testing.assert_array_equal(reader.read((8, FULL, FULL)), VOLUME[6:].max(axis=0))


def test_channels_are_projected_each() -> None:
    other = 255 - VOLUME
    channels = [Channel((VOLUME,)), Channel((other,))]
    reader = PlaneReader((VOLUME,), channels=channels, projection=thick(1, 1))
    plane = reader.read((4, FULL, FULL))
    np.testing.assert_allclose(plane[..., 0], VOLUME[3:6].mean(axis=0))
    np.testing.assert_allclose(plane[..., 1], other[3:6].mean(axis=0))


def test_colours_stay_8_bits() -> None:
    colours = np.stack([VOLUME] * 3, axis=-1)
    reader = PlaneReader((colours,), rgb=True, projection=thick(1, 1))
    plane = reader.read_uint8((4, FULL, FULL), None, None)
    np.testing.assert_array_equal(plane[..., 0], np.rint(VOLUME[3:6].mean(axis=0)))


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="'median' is not a projection"):
        thick(1, 1, "median")
