"""All objects of a plane, found window by window with a perfect head."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import relabel_sequential

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.instances.search import InstanceSource, search_instances
from napari_sam.automatic.search import SearchOptions
from napari_sam.prediction.zoom.grid import WindowGrid
from tests.helpers.instances import OracleHead, disc_plane

INPUT = 64


def found_labels(
    head: OracleHead, options: SearchOptions, region: np.ndarray | None = None
) -> np.ndarray:
    grid = WindowGrid(head.labels.shape, INPUT // 2)
    source = InstanceSource(head, grid, INPUT)
    *_, last = search_instances(source, options, region)
    return last.candidates.objects(Thresholds()).labels


def matched(truth: np.ndarray, found: np.ndarray) -> list[int]:
    """Return how many labels have an IoU of 0.7 with each object."""
    counts = []
    for number in range(1, truth.max() + 1):
        mask = truth == number
        hits = 0
        for label in np.unique(found[mask]):
            if label:
                union = (mask | (found == label)).sum()
                hits += (mask & (found == label)).sum() / union > 0.7
        counts.append(hits)
    return counts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("zoom", [2, 2.7, 3.4, 5])
def test_every_object_is_found_once_whatever_the_windows(
    seed: int, zoom: float
) -> None:
    truth = disc_plane((170, 200), 22, (5, 11), seed)
    found = found_labels(OracleHead(truth), SearchOptions(zoom=zoom))
    assert matched(truth, found) == [1] * truth.max()
    assert found.max() == truth.max()


def test_blocks_share_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = disc_plane((170, 200), 22, (5, 11), 7)
    whole = found_labels(OracleHead(truth), SearchOptions(zoom=3))
    monkeypatch.setattr("napari_sam.automatic.instances.search._BLOCK", 50)
    monkeypatch.setattr("napari_sam.automatic.instances.search._MARGIN", 40)
    blocks = found_labels(OracleHead(truth), SearchOptions(zoom=3))
    assert matched(whole, blocks) == [1] * whole.max()
    assert blocks.max() == whole.max()


def test_small_objects_are_looked_for_in_smaller_windows() -> None:
    truth = disc_plane((512, 512), 60, (4, 6), 1)
    head = OracleHead(truth, smallest=7)
    found = found_labels(head, SearchOptions())
    assert matched(truth, found) == [1] * truth.max()


def test_large_objects_need_the_plane_alone() -> None:
    truth = disc_plane((300, 300), 5, (40, 60), 2)
    head = OracleHead(truth)
    found = found_labels(head, SearchOptions())
    assert matched(truth, found) == [1] * truth.max()
    assert sum(window is None for window in head.asked) >= 1
    assert len(head.asked) <= 5


def test_large_objects_among_small_ones_are_found_whole() -> None:
    truth = disc_plane((512, 512), 50, (4, 6), 1)
    rows, cols = np.mgrid[:512, :512]
    for number, centre in enumerate([(150, 150), (340, 300)], start=51):
        near = np.hypot(rows - centre[0], cols - centre[1])
        truth[np.isin(truth, np.unique(truth[near < 64]))] = 0
        truth[near < 60] = number
    truth = relabel_sequential(truth)[0]
    source = InstanceSource(
        OracleHead(truth, smallest=7), WindowGrid(truth.shape, INPUT // 2), INPUT
    )
    *_, last = search_instances(source, SearchOptions(), side=64)
    found = last.candidates.objects(Thresholds()).labels
    assert matched(truth, found) == [1] * truth.max()
    assert found.max() == truth.max()


def test_objects_too_large_for_the_plane_as_a_window_are_found() -> None:
    truth = disc_plane((200, 230), 3, (55, 70), 2)
    head = OracleHead(truth, largest=35)
    found = found_labels(head, SearchOptions())
    assert matched(truth, found) == [1] * truth.max()


def test_large_objects_in_a_region_need_no_more_than_its_surroundings() -> None:
    truth = disc_plane((800, 800), 60, (25, 30), 4)
    region = np.zeros(truth.shape, bool)
    region[300:420, 350:480] = True
    head = OracleHead(truth)
    found_labels(head, SearchOptions(), region)
    assert all(window is not None and window.side < 500 for window in head.asked)


def test_a_known_diameter_needs_no_trial() -> None:
    truth = disc_plane((300, 300), 30, (5, 6), 2)
    head = OracleHead(truth)
    found_labels(head, SearchOptions(object_diameter=11))
    assert len(set(head.asked)) == len(head.asked)


def test_without_zoom_the_plane_is_seen_once() -> None:
    head = OracleHead(disc_plane((200, 200), 4, (30, 40), 2))
    found_labels(head, SearchOptions(zoom="off"))
    assert head.asked == [None]


def test_a_region_limits_windows_and_objects() -> None:
    truth = disc_plane((400, 400), 60, (6, 9), 4)
    region = np.zeros(truth.shape, bool)
    region[20:120, 250:380] = True
    head = OracleHead(truth)
    found = found_labels(head, SearchOptions(zoom=4), region)
    inside = np.bincount(truth.ravel(), weights=region.ravel())
    sizes = np.bincount(truth.ravel())
    expected = (inside > 0.5 * sizes)[1:].sum()
    assert found.max() == expected
    assert all(window is not None and window.row < 150 for window in head.asked)


def test_a_plane_without_objects_has_none() -> None:
    truth = np.zeros((300, 300), np.int32)
    assert not found_labels(OracleHead(truth), SearchOptions()).any()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"zoom": 0.5}, "zoom"),
        ({"object_diameter": 0.0}, "object_diameter=0.0"),
        ({"method": "magic"}, "'magic'"),
    ],
)
def test_wrong_options_are_named(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SearchOptions(**options)
