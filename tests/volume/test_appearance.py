"""Appearance: masks end at the border in the image, and follow the user's box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter

from napari_sam.masks.patch import mask_iou
from napari_sam.volume.appearance import UNKNOWN, Appearance, View

SHAPE, CENTRE, RADIUS = (60, 70), (28, 33), 14


def disc(radius: float, centre: tuple[float, float] = CENTRE) -> np.ndarray:
    """Return a disc on the plane, bool."""
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    inside: np.ndarray = np.hypot(rows - centre[0], cols - centre[1]) <= radius
    return inside


def cone(radius: float, slope: float = 0.5) -> np.ndarray:
    """Return logits that are 0 at a radius, and fall outwards."""
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    distance = np.hypot(rows - CENTRE[0], cols - CENTRE[1])
    return (slope * (radius - distance)).astype(np.float32)


def image(level: float = 100.0, noise: float = 0.0) -> np.ndarray:
    """Return a blurred disc, with noise."""
    rng = np.random.default_rng(4)
    light = gaussian_filter(level * disc(RADIUS).astype(float), 1.5) + 20
    return (light + rng.normal(0, noise, SHAPE) if noise else light).astype(np.float32)


def view(
    logits: np.ndarray, gray: np.ndarray | None = None, radius: float = RADIUS
) -> View:
    box = np.array([*np.subtract(CENTRE, radius), *np.add(CENTRE, radius)], float)
    return View((0, 0), logits, image() if gray is None else gray, box)


def mask_of(appearance: Appearance, seen: View) -> np.ndarray:
    full = np.zeros(SHAPE, bool)
    patch = appearance.mask(seen)
    full[patch.region] = patch.mask
    return full


@pytest.mark.parametrize("found", [8, 10, 12])
@pytest.mark.parametrize("noise", [0.0, 10.0])
def test_a_mask_of_the_core_grows_to_the_border(found: int, noise: float) -> None:
    seen = view(cone(found), image(noise=noise))
    appearance = Appearance.first(seen, is_users_box=True)
    assert appearance.threshold < 0
    truth = disc(RADIUS)
    assert mask_iou(seen.logits > 0, truth) < 0.75
    assert mask_iou(mask_of(appearance, seen), truth) > 0.9


def test_a_loose_box_is_not_filled() -> None:
    seen = view(cone(RADIUS), radius=1.4 * RADIUS)
    appearance = Appearance.first(seen, is_users_box=True)
    assert mask_iou(mask_of(appearance, seen), disc(RADIUS)) > 0.9


def test_without_contrast_the_mask_of_the_model_is_kept() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(100, 30, SHAPE).astype(np.float32)
    appearance = Appearance.first(view(cone(RADIUS), noise), is_users_box=True)
    assert appearance.trust == 0
    assert appearance.threshold >= -0.5


def test_a_mask_that_ends_at_the_border_is_kept() -> None:
    logits = cone(RADIUS)
    assert_array_equal(mask_of(UNKNOWN, view(logits)), logits > 0)


def test_a_much_brighter_neighbour_is_left_out() -> None:
    gray = image(level=30) + 400 * disc(7, (28, 47)).astype(np.float32)
    logits = np.maximum(cone(RADIUS), 1.0 * disc(6, (28, 46))).astype(np.float32)
    appearance = Appearance(contrast=30.0, trust=1.0)
    found = mask_of(appearance, view(logits, gray, radius=1.6 * RADIUS))
    bright = disc(6, (28, 47)) & ~disc(RADIUS)
    assert (found & bright).sum() < 0.2 * bright.sum()
    assert (found & disc(RADIUS - 4, (28, 30))).sum() > 0.9 * disc(RADIUS - 4).sum()


def test_an_object_that_fades_shrinks() -> None:
    appearance = Appearance.first(view(cone(RADIUS)), is_users_box=True)
    logits = cone(RADIUS, slope=0.1)
    areas = [
        np.count_nonzero(mask_of(appearance, view(logits, image(level))))
        for level in (100, 60, 30)
    ]
    assert areas[0] > areas[1] > areas[2]


def test_dark_objects_are_measured_like_bright_ones() -> None:
    bright = Appearance.first(view(cone(10)), is_users_box=True)
    dark = Appearance.first(view(cone(10), -image()), is_users_box=True)
    assert dark.threshold == bright.threshold
    assert dark.contrast == pytest.approx(-bright.contrast, rel=0.05)


@given(
    found=st.integers(1, 25),
    level=st.floats(-200, 200),
    radius=st.floats(2, 40),
    threshold=st.floats(-4, 0),
    trust=st.floats(0, 1),
)
def test_masks_stay_near_their_box(
    found: int, level: float, radius: float, threshold: float, trust: float
) -> None:
    seen = view(cone(found), image(level, noise=3.0), radius)
    found_mask = mask_of(Appearance(threshold, 50.0, trust), seen)
    rows, cols = np.nonzero(found_mask)
    room = max(1.0, 0.1 * (2 * radius + 1))
    for places, centre in ((rows, CENTRE[0]), (cols, CENTRE[1])):
        assert (np.abs(places - centre) <= radius + room).all()


def test_contrast_follows_slowly_and_never_changes_sign() -> None:
    appearance = Appearance(contrast=100.0, trust=1.0)
    assert appearance.updated(60, 0.25).contrast == pytest.approx(90)
    assert appearance.updated(-60, 0.25) == appearance


@given(
    small=st.floats(-50, 50),
    large=st.floats(-50, 50),
    trust=st.tuples(*2 * [st.floats(0, 1)]),
)
def test_a_small_cross_section_is_seen_with_the_contrast_of_a_larger_one(
    small: float, large: float, trust: tuple[float, float]
) -> None:
    start, other = Appearance(-1, small, trust[0]), Appearance(0, large, trust[1])
    found = start.of_clearer(other)
    assert found.threshold == start.threshold
    # Never fainter, and never dark where it is bright.
    assert abs(found.contrast) >= abs(small)
    assert found.contrast * small >= 0
    if small * large > 0:
        assert abs(found.contrast) == max(abs(small), abs(large))
