"""Label grids, compared with a loop over the pixels of the labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from napari_sam.masks.label_grid import LabelGrid
from napari_sam.masks.painting import ObjectPlaneMask

FULL = slice(None)


@dataclass(frozen=True)
class Case:
    """Labels, an image, and an object on a plane of it."""

    grid: LabelGrid
    image: tuple[int, ...]
    piece: ObjectPlaneMask


def nearest(position: float) -> int:
    return int(np.floor(np.round(position, 6) + 0.5))


def expected_pixels(case: Case) -> np.ndarray:
    """Find the label pixels that show the object, one by one."""
    grid, piece = case.grid, case.piece
    painted = np.zeros(case.image, bool)
    painted[piece.plane_index][piece.region] = piece.mask
    count = grid.shared_ndim
    leading = piece.plane_index[: len(case.image) - count]
    result = np.zeros(grid.shape, bool)
    for pixel in product(*(range(size) for size in grid.shape)):
        if pixel[: len(pixel) - count] != grid.extra:
            continue
        own = pixel[len(pixel) - count :]
        there = grid.matrix[:-1, :-1] @ own + grid.matrix[:-1, -1]
        index = tuple(nearest(value) for value in there)
        sizes = case.image[len(case.image) - count :]
        if all(0 <= i < size for i, size in zip(index, sizes, strict=True)):
            # Along axes that the labels lack, the index is that of the piece.
            result[pixel] = painted[leading + index]
    return result


def placed_pixels(case: Case) -> np.ndarray:
    result = np.zeros(case.grid.shape, bool)
    for part in case.grid.place(case.piece):
        assert part.object_id == case.piece.object_id
        assert part.mask.any()
        target = result[part.plane_index][part.region]
        assert target.shape == part.mask.shape  # within the labels
        assert not target.any()
        target |= part.mask
    return result


scales = st.sampled_from([-2.0, -1.0, -0.5, 0.25, 1 / 3, 0.5, 1.0, 1.5, 2.0, 3.0])
offsets = st.sampled_from([-2.5, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, 7.0])


@st.composite
def plane_matrices(draw: st.DrawFn) -> np.ndarray:
    """A 2 x 2 matrix of scales, flips, a shear and a rotation."""
    angle = draw(st.sampled_from([0, 0, 90, 180]) | st.floats(-180, 180))
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rotation = np.array([[cos, -sin], [sin, cos]])
    shear = np.array([[1, draw(st.sampled_from([0.0, 0.0, 0.5, -1.0]))], [0, 1]])
    return rotation @ shear @ np.diag([draw(scales), draw(scales)])


@st.composite
def cases(draw: st.DrawFn, rotated: bool = True) -> Case:
    image = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6))
    labels = draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=7))
    count = min(len(image), len(labels))
    # The plane has axes that both have.
    plane = sorted(draw(st.permutations(range(count)))[:2])
    matrix = np.eye(count + 1)
    matrix[:-1, :-1] = np.diag([draw(scales) for _ in range(count)])
    matrix[:-1, -1] = [draw(offsets) for _ in range(count)]
    if rotated:
        matrix[np.ix_(plane, plane)] = draw(plane_matrices())
    leading = labels[: len(labels) - count]
    extra = tuple(draw(st.integers(0, size - 1)) for size in leading)
    rows_cols = [axis + len(image) - count for axis in plane]
    plane_index = tuple(
        FULL if axis in rows_cols else draw(st.integers(0, size - 1))
        for axis, size in enumerate(image)
    )
    height, width = (image[axis] for axis in rows_cols)
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    mask = draw(
        hnp.arrays(
            bool,
            st.tuples(st.integers(1, height - row), st.integers(1, width - col)),
        )
    )
    grid = LabelGrid(labels, len(image), matrix, extra)
    return Case(grid, image, ObjectPlaneMask(3, plane_index, (row, col), mask))


@settings(max_examples=200)
@given(case=cases())
def test_label_pixels_show_the_image_pixel_at_their_centre(
    case: Case,
) -> None:
    assert case.grid.is_aligned(case.piece.plane_index)
    assert_array_equal(placed_pixels(case), expected_pixels(case))


@given(case=cases(rotated=False))
def test_covers_when_any_label_pixel_shows_the_plane(case: Case) -> None:
    plane_index = case.piece.plane_index
    size = tuple(
        side
        for side, e in zip(case.image, plane_index, strict=True)
        if isinstance(e, slice)
    )
    everything = Case(
        case.grid,
        case.image,
        ObjectPlaneMask(1, plane_index, (0, 0), np.ones(size, bool)),
    )
    assert case.grid.covers(plane_index, size) == expected_pixels(everything).any()


@given(case=cases())
def test_planes_that_are_not_covered_get_no_pixels(case: Case) -> None:
    plane_index = case.piece.plane_index
    rows, cols = (
        side
        for side, e in zip(case.image, plane_index, strict=True)
        if isinstance(e, slice)
    )
    if not case.grid.covers(plane_index, (rows, cols)):
        assert not expected_pixels(case).any()
        assert case.grid.place(case.piece) == []


@given(case=cases())
def test_count_outside_counts_centres_beyond_the_labels(
    case: Case,
) -> None:
    grid, piece = case.grid, case.piece
    count, first = grid.shared_ndim, len(case.image) - grid.shared_ndim
    sizes = np.array(grid.shape[len(grid.shape) - count :])
    axes = [a for a in range(count) if isinstance(piece.plane_index[first + a], slice)]
    matrix = grid.matrix[np.ix_(axes, axes)]
    shows_plane = all(
        any(
            nearest(grid.matrix[a, a] * i + grid.matrix[a, -1])
            == piece.plane_index[first + a]
            for i in range(sizes[a])
        )
        for a in range(count)
        if a not in axes
    )
    beyond = 0
    for pixel in np.argwhere(piece.mask) + piece.origin:
        there = np.linalg.solve(matrix, pixel - grid.matrix[axes, -1]).round(6)
        inside = ((there >= -0.5) & (there < sizes[axes] - 0.5)).all()
        beyond += not (inside and shows_plane)
    assert grid.count_outside(piece) == beyond


@given(case=cases(), same=st.booleans(), shifts=st.lists(offsets, max_size=4))
def test_many_pieces_are_placed_as_one_by_one(
    case: Case, same: bool, shifts: list[float]
) -> None:
    grid = LabelGrid.same(case.grid.shape) if same else case.grid
    if same and len(case.image) != len(grid.shape):
        return
    pieces = [case.piece] + [
        replace(case.piece, object_id=4, origin=(int(shift), int(2 * shift)))
        for shift in shifts
    ]
    placed, outside = grid.place_all(pieces)
    assert outside == sum(grid.count_outside(piece) for piece in pieces)
    expected = [part for piece in pieces for part in grid.place(piece)]
    painted = np.zeros((2, *grid.shape), int)
    for canvas, parts in zip(painted, (placed, expected), strict=True):
        for part in parts:
            canvas[part.plane_index][part.region] += part.object_id * part.mask
    assert_array_equal(*painted)


@given(case=cases())
def test_json_round_trip(case: Case) -> None:
    entry = json.loads(json.dumps(case.grid.to_json()))
    again = LabelGrid.from_json(entry)
    assert again.to_json() == case.grid.to_json()
    assert (again.shape, again.extra) == (case.grid.shape, case.grid.extra)
    assert again.image_ndim == case.grid.image_ndim
    assert_array_equal(again.matrix, case.grid.matrix)
    assert_array_equal(
        placed_pixels(Case(again, case.image, case.piece)), placed_pixels(case)
    )


@given(case=cases())
def test_same_grid_leaves_the_object_unchanged(case: Case) -> None:
    same = Case(LabelGrid.same(case.image), case.image, case.piece)
    assert same.grid.is_aligned(case.piece.plane_index)
    assert same.grid.count_outside(case.piece) == 0
    assert_array_equal(placed_pixels(same), expected_pixels(same))
    assert placed_pixels(same).sum() == case.piece.mask.sum()


# -- examples ------------------------------------------------------------------


def grid_of(
    shape: tuple[int, ...], image: tuple[int, ...], *scale: float, **offset: float
) -> LabelGrid:
    matrix = np.diag([*scale, 1.0])
    matrix[:-1, -1] = list(offset.values()) or 0
    return LabelGrid(shape, len(image), matrix)


SQUARE = np.ones((4, 6), bool)


def test_finer_labels_get_all_pixels_of_each_image_pixel() -> None:
    grid = grid_of((20, 24), (10, 12), 0.5, 0.5, row=-0.25, col=-0.25)
    (part,) = grid.place(ObjectPlaneMask(1, (FULL, FULL), (2, 3), SQUARE))
    assert part.origin == (4, 6)
    assert_array_equal(part.mask, np.ones((8, 12)))


def test_one_plane_of_the_image_is_several_of_finer_labels() -> None:
    grid = grid_of((12, 8, 8), (4, 8, 8), 1 / 3, 1, 1, z=-1 / 3, row=0, col=0)
    parts = grid.place(ObjectPlaneMask(1, (2, FULL, FULL), (2, 2), SQUARE))
    assert [part.plane_index[0] for part in parts] == [6, 7, 8]


def test_planes_between_coarser_label_planes_are_outside() -> None:
    grid = grid_of((3, 8, 8), (9, 8, 8), 3, 1, 1, z=1, row=0, col=0)
    for index, inside in ((0, False), (1, True), (2, False), (4, True)):
        piece = ObjectPlaneMask(1, (index, FULL, FULL), (2, 2), SQUARE)
        assert grid.covers(piece.plane_index, (8, 8)) == inside
        assert bool(grid.place(piece)) == inside
        assert grid.count_outside(piece) == (0 if inside else SQUARE.sum())


def test_flipped_labels_get_the_mirror_image() -> None:
    mask = np.array([[True, True, False], [True, False, False]])
    matrix = np.array([[-1.0, 0, 9], [0, 1, 0], [0, 0, 1]])
    grid = LabelGrid((10, 12), 2, matrix)
    (part,) = grid.place(ObjectPlaneMask(1, (FULL, FULL), (2, 3), mask))
    assert part.origin == (6, 3)
    assert_array_equal(part.mask, mask[::-1, :2])


def test_labels_beside_the_image_do_not_cover_it() -> None:
    for row, reached in ((9, True), (10, False), (9.5, False), (-4, True), (-5, False)):
        grid = grid_of((5, 12), (10, 12), 1, 1, row=row, col=0)
        assert grid.covers((FULL, FULL), (10, 12)) == reached


def rotated(*axes: int) -> LabelGrid:
    """Rotate two of three axes by 20 degrees."""
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    matrix = np.eye(4)
    matrix[np.ix_(axes, axes)] = [[cos, -sin], [sin, cos]]
    return LabelGrid((5, 6, 7), 3, matrix)


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_labels_rotated_in_the_plane_are_aligned(axes: tuple[int, int]) -> None:
    for plane in ((0, 1), (0, 2), (1, 2)):
        plane_index = tuple(FULL if axis in plane else 1 for axis in range(3))
        assert rotated(*axes).is_aligned(plane_index) == (plane == axes)


def test_labels_without_rows_or_columns_are_not_aligned() -> None:
    grid = LabelGrid.same((6, 7))
    flat = LabelGrid((6, 7), 3, grid.matrix)
    assert flat.is_aligned((2, FULL, FULL))
    assert not flat.is_aligned((FULL, 2, FULL))
    line = LabelGrid((7,), 2, np.eye(2))
    assert not line.is_aligned((FULL, FULL))


def test_sheared_axes_other_than_the_plane_are_not_aligned() -> None:
    matrix = np.eye(5)
    matrix[0, 1] = 0.5  # time is sheared along depth, the plane is untouched
    grid = LabelGrid((3, 4, 5, 6), 4, matrix)
    assert not grid.is_aligned((0, 0, FULL, FULL))
    assert grid.is_aligned((FULL, FULL, 0, 0))


@pytest.mark.parametrize("error", [1e-9, -1e-9])
def test_rounding_errors_of_transforms_are_ignored(error: float) -> None:
    grid = grid_of((10, 12), (10, 12), 1, 1, row=0.5 + error, col=-0.5 + error)
    (part,) = grid.place(ObjectPlaneMask(1, (FULL, FULL), (2, 3), SQUARE))
    assert part.origin == (1, 3)
    assert_array_equal(part.mask, SQUARE)


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": [[1.0, 0.0], [0.0, 1.0]]},
        {"matrix": [[1.0, 0.0, 0.0], [0.0], [0.0, 0.0, 1.0]]},
        {"matrix": [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]},
        {"extra": [1]},
        {"image_ndim": 1},
    ],
)
def test_damaged_grids_are_refused(change: dict[str, Any]) -> None:
    entry = LabelGrid.same((4, 5)).to_json()
    assert LabelGrid.from_json(entry).shape == (4, 5)
    with pytest.raises(ValueError, match=r"^The grid of the labels is damaged"):
        LabelGrid.from_json({**entry, **change})
