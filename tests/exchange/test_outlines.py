"""Outlines along the edges of pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from shapely import contains_xy
from shapely.geometry import Polygon

from napari_sam.exchange.outlines import signed_area, trace_labels
from tests.helpers.label_planes import annulus, label_planes


@given(labels=label_planes())
def test_polygons_are_valid_and_cover_the_pixels(labels: np.ndarray) -> None:
    rows, cols = np.indices(labels.shape) + 0.5
    found = []
    for outline in trace_labels(labels):
        found.append(outline.label)
        covered = np.zeros(labels.shape, int)
        for exterior, *holes in outline.polygons:
            polygon = Polygon(exterior, holes)
            assert polygon.is_valid
            covered += contains_xy(polygon, rows, cols)
        assert np.array_equal(covered, labels == outline.label)
    assert found == sorted(set(labels.ravel().tolist()) - {0})


def test_exteriors_run_clockwise_and_holes_the_other_way() -> None:
    (outline, _) = trace_labels(annulus())
    areas = [[signed_area(ring) for ring in part] for part in outline.polygons]
    assert areas == [[49, -25], [1], [1]]


def test_only_corners_are_kept() -> None:
    (outline,) = trace_labels(np.ones((300, 400), np.uint8))
    assert outline.polygons[0][0].tolist() == [[0, 0], [0, 400], [300, 400], [300, 0]]


def test_a_plane_without_labels() -> None:
    assert list(trace_labels(np.zeros((3, 4), int))) == []
