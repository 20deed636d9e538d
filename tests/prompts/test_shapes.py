"""Conversion of shapes to prompts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.prompts.shapes import (
    bounding_box,
    ellipse_mask,
    points_along,
    polygon_mask,
)

SHAPE = (14, 17)
coordinates = st.floats(-6, 24, allow_subnormal=False, width=32).map(float)


def vertices(minimum: int, maximum: int) -> st.SearchStrategy[np.ndarray]:
    shapes = st.integers(minimum, maximum).map(lambda n: (n, 2))
    return hnp.arrays(float, shapes, elements=coordinates)


def on_plane(crop: tuple[tuple[int, int], np.ndarray] | None) -> np.ndarray:
    """Paint the crop into the plane."""
    mask = np.zeros(SHAPE, bool)
    if crop is not None:
        (row, col), part = crop
        assert part.any()
        target = mask[row : row + part.shape[0], col : col + part.shape[1]]
        assert target.shape == part.shape  # the crop lies on the plane
        target[:] = part
    return mask


def distance_to_edges(point: tuple[int, int], corners: np.ndarray) -> float:
    nearest = np.inf
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = end - start
        length = edge @ edge
        fraction = np.clip((point - start) @ edge / length, 0, 1) if length else 0
        nearest = min(nearest, float(np.linalg.norm(start + fraction * edge - point)))
    return nearest


def is_inside(point: tuple[int, int], corners: np.ndarray) -> bool:
    """Count the edges that a ray crosses."""
    inside = False
    for (r0, c0), (r1, c1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if (r0 > point[0]) != (r1 > point[0]):
            inside ^= point[1] < c0 + (point[0] - r0) * (c1 - c0) / (r1 - r0)
    return inside


@settings(max_examples=50)
@given(corners=vertices(3, 7))
def test_polygon_mask_has_the_pixels_with_centres_inside(
    corners: np.ndarray,
) -> None:
    mask = on_plane(polygon_mask(corners, SHAPE))
    for pixel in np.ndindex(*SHAPE):
        if distance_to_edges(pixel, corners) > 1e-3:
            assert mask[pixel] == is_inside(pixel, corners)


@given(
    centre=hnp.arrays(float, 2, elements=coordinates),
    sides=hnp.arrays(float, (2, 2), elements=st.floats(-12, 12)),
)
def test_ellipse_mask_has_the_pixels_with_centres_inside(
    centre: np.ndarray, sides: np.ndarray
) -> None:
    assume(abs(np.linalg.det(sides)) > 1e-2)
    first, second = sides / 2
    around = [-first - second, first - second, first + second, second - first]
    mask = on_plane(ellipse_mask(centre + around, SHAPE))
    # The ellipse is the circle of all cos(t) first + sin(t) second.
    for pixel in np.ndindex(*SHAPE):
        cos, sin = np.linalg.solve(np.array([first, second]).T, pixel - centre)
        if abs(radius := np.hypot(cos, sin) - 1) > 1e-6:
            assert mask[pixel] == (radius < 0)


def test_ellipse_in_a_square_is_a_circle() -> None:
    mask = on_plane(ellipse_mask(np.array([(1, 2), (1, 12), (11, 12), (11, 2)]), SHAPE))
    rows, cols = np.indices(SHAPE)
    np.testing.assert_array_equal(mask, (rows - 6) ** 2 + (cols - 7) ** 2 <= 25)


@pytest.mark.parametrize("make", [polygon_mask, ellipse_mask])
@pytest.mark.parametrize(
    "corners",
    [
        [(30, 3), (30, 9), (40, 9), (40, 3)],
        [(-9, 3), (-9, 9), (-2, 9), (-2, 3)],
        [(3.2, 3.2), (3.2, 3.8), (3.8, 3.8), (3.8, 3.2)],
        [(3.5, 1), (3.5, 1), (3.5, 9), (3.5, 9)],
    ],
    ids=["below", "above", "between centres", "a line"],
)
def test_shapes_without_pixels_have_no_mask(make: object, corners: list) -> None:
    assert callable(make)
    assert make(np.array(corners, float), SHAPE) is None


@pytest.mark.parametrize("make", [polygon_mask, ellipse_mask])
def test_shapes_around_the_plane_cover_it(make: object) -> None:
    corners = np.array([(-50, -50), (-50, 90), (80, 90), (80, -50)], float)
    assert callable(make)
    origin, mask = make(corners, SHAPE)
    assert origin == (0, 0)
    assert mask.shape == SHAPE
    assert mask.all()


@given(path=vertices(2, 6), count=st.integers(2, 9))
def test_points_along_have_equal_distances(path: np.ndarray, count: int) -> None:
    points = points_along(path, count)
    assert points.shape == (count, 2)
    np.testing.assert_allclose(points[0], path[0], atol=1e-9)
    np.testing.assert_allclose(points[-1], path[-1], atol=1e-9)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert (steps <= length / (count - 1) + 1e-9).all()


def test_points_along_a_line_and_a_corner() -> None:
    np.testing.assert_allclose(
        points_along(np.array([(0.0, 0.0), (8.0, 4.0)])),
        [(0, 0), (2, 1), (4, 2), (6, 3), (8, 4)],
    )
    corner = np.array([(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)])
    np.testing.assert_allclose(
        points_along(corner), [(0, 0), (2, 0), (4, 0), (4, 2), (4, 4)]
    )


def test_points_along_a_path_of_no_length() -> None:
    np.testing.assert_allclose(points_along(np.full((3, 2), 7.5)), np.full((5, 2), 7.5))


@given(corners=vertices(1, 6))
def test_bounding_box_is_tight(corners: np.ndarray) -> None:
    box = bounding_box(corners)
    assert (corners >= box[:2]).all()
    assert (corners <= box[2:]).all()
    for side, axis in zip(box, (0, 1, 0, 1), strict=True):
        assert side in corners[:, axis]
