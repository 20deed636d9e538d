"""All objects of a stack, found in 3D with a perfect head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.automatic.candidates import PlaneObjects, Thresholds
from napari_sam.automatic.instances.search import InstanceSource
from napari_sam.automatic.instances.stack_search import StackSearch
from napari_sam.automatic.instances.tiles import Tiles
from napari_sam.automatic.linking import Linking, link_planes
from napari_sam.images.window import Window
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.requests.from_arrays import automatic_stack_request
from tests.helpers.instances import InstancePredictor, OracleHead, disc_plane

if TYPE_CHECKING:
    from collections.abc import Iterable

INPUT = 64


def columns(planes: int = 6) -> np.ndarray:
    """Draw objects that are discs on every plane."""
    return np.stack([disc_plane((130, 160), 14, (6, 11), 4)] * planes)


def search(truth: np.ndarray, side: int = 80) -> list[PlaneObjects]:
    shape = truth.shape[1:]
    found = StackSearch(Tiles(shape, side, Window(0, 0, *shape)), INPUT)
    grid = WindowGrid(shape, INPUT // 2)
    sources = [InstanceSource(OracleHead(plane), grid, INPUT) for plane in truth]
    maps = [run_to_end(found.read_plane(source)) for source in sources]
    planes = run_to_end(found.split(maps))
    return [candidates.objects(Thresholds()) for candidates in planes]


def assert_same_objects(truth: np.ndarray, labels: np.ndarray) -> None:
    assert labels.max() == truth.max()
    for number in range(1, truth.max() + 1):
        mask = truth == number
        label = np.bincount(labels[mask]).argmax()
        both = (mask & (labels == label)).sum()
        assert both / (mask | (labels == label)).sum() > 0.8


def test_objects_continue_through_the_stack() -> None:
    truth = columns()
    assert_same_objects(truth, link_planes(search(truth)))


def test_blocks_share_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "napari_sam.automatic.instances.stack_search"
    for name, value in (("_VOXELS", 1), ("_LEAST_BLOCK", 40), ("_MARGIN", 30)):
        monkeypatch.setattr(f"{module}.{name}", value)
    truth = columns()
    assert_same_objects(truth, link_planes(search(truth)))


def test_parts_of_an_object_on_a_plane_stay_one() -> None:
    truth = np.zeros((8, 60, 80), np.int32)
    truth[4:, 20:32, 14:26] = truth[4:, 20:32, 50:62] = 1
    truth[:4, 20:32, 14:62] = 1
    labels = link_planes(search(truth))
    assert labels.max() == 1
    assert (labels[6] > 0).sum() > 0.9 * (truth[6] > 0).sum()


@pytest.mark.parametrize(("gap", "objects"), [(0, 2), (1, 1)])
def test_gaps_are_bridged(gap: int, objects: int) -> None:
    truth = np.zeros((9, 60, 60), np.int32)
    truth[:, 20:40, 20:40] = 1
    truth[4] = 0
    labels = link_planes(search(truth), Linking(gap=gap))
    assert labels.max() == objects
    assert labels[4].any() == bool(gap)


def test_touching_objects_of_successive_planes_are_not_joined_again() -> None:
    def plane(numbers: Iterable[int]) -> PlaneObjects:
        from napari_sam.masks.patch import MaskPatch

        patch = MaskPatch.from_mask(np.ones((5, 5), bool))
        return PlaneObjects((patch,), (0.9,), (9, 9), tuple(numbers))

    labels = link_planes([plane([number]) for number in (7, 7, 3, 3)])
    assert labels[:, 0, 0].tolist() in ([1, 1, 2, 2], [2, 2, 1, 1])


def test_very_large_stacks_are_split_plane_by_plane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = (200 * (columns() > 0)).astype(np.uint8)
    request = automatic_stack_request(stack, 0, (0, 255))
    in_3d = run_to_end(request.run(InstancePredictor(), EmbeddingCache()))
    assert all(c.number for plane in in_3d.candidates for c in plane.members)
    monkeypatch.setattr("napari_sam.requests.automatic_stack._MAX_MAP_BYTES", 1)
    by_plane = run_to_end(request.run(InstancePredictor(), EmbeddingCache()))
    assert not any(c.number for plane in by_plane.candidates for c in plane.members)
    assert_same_objects(by_plane.paint(stack.shape), in_3d.paint(stack.shape))


def test_stopping_keeps_the_planes_that_are_done() -> None:
    stack = (200 * (columns() > 0)).astype(np.uint8)
    request = automatic_stack_request(stack, 0, (0, 255))
    calls: list[int] = []

    def stopped() -> bool:
        calls.append(1)
        return len(calls) == 3

    result = run_to_end(request.run(InstancePredictor(), EmbeddingCache(), stopped))
    labels = result.paint(stack.shape)
    assert len(result.candidates) == 3
    assert labels[:3].any()
    assert not labels[3:].any()


def test_other_thresholds_need_no_model() -> None:
    stack = (200 * (columns() > 0)).astype(np.uint8)
    request = automatic_stack_request(stack, 0, (0, 255))
    result = run_to_end(request.run(InstancePredictor(), EmbeddingCache()))
    again = request.refinish(result)
    assert_array_equal(again.paint(stack.shape), result.paint(stack.shape))
