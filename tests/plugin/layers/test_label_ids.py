"""Labels in use are known without scanning large layers at every stroke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.masks.painting import PixelChanges
from napari_sam.plugin.layers.label_ids import LabelIds, join_regions, label_regions

if TYPE_CHECKING:
    from napari.layers import Labels

CORNER = (slice(0, 4), slice(0, 4))


@pytest.fixture
def labels() -> Labels:
    layer = ViewerModel().add_labels(np.zeros((20, 30), int))
    layer.data[0, 0] = 5
    return layer


@pytest.fixture
def large(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> Labels:
    """The same layer, as if scanning it took long."""
    for name in ("_FAST_SCAN_SIZE", "_SLOW_SCAN_SIZE"):
        monkeypatch.setattr(f"napari_sam.plugin.layers.label_ids.{name}", 100)
    return labels


@pytest.fixture
def medium(large: Labels, monkeypatch: pytest.MonkeyPatch) -> Labels:
    """The same layer, as if scanning it could be felt."""
    monkeypatch.setattr("napari_sam.plugin.layers.label_ids._SLOW_SCAN_SIZE", 10**6)
    return large


def write(labels: Labels, label: int, row: int, col: int) -> None:
    labels.data_setitem((np.array([row]), np.array([col])), np.array([label]))


class Scans:
    """Counts the scans of a layer for its largest label."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        module = "napari_sam.plugin.layers.label_ids"

        def counted(data: Any) -> int:
            self.count += 1
            return int(data.max()) + 1

        monkeypatch.setattr(f"{module}.next_free_label", counted)


@pytest.mark.parametrize("size", ["labels", "medium", "large"])
def test_next_free_label_follows_painting(
    size: str, request: pytest.FixtureRequest
) -> None:
    labels = request.getfixturevalue(size)
    ids = LabelIds()
    assert ids.next_free(labels) == 6
    write(labels, 6, 1, 1)
    assert ids.next_free(labels) == 7
    labels.selected_label = 40
    labels.paint((3, 3), 40)
    labels.selected_label = 2
    assert ids.next_free(labels) == 41
    labels.fill((10, 10), 60)
    assert ids.next_free(labels) == 61
    labels.data = np.full((20, 30), 50)
    assert ids.next_free(labels) == 51


@pytest.mark.parametrize("size", ["labels", "medium"])
def test_label_of_an_undone_write_is_free_again(
    size: str, request: pytest.FixtureRequest
) -> None:
    labels = request.getfixturevalue(size)
    ids = LabelIds()
    ids.next_free(labels)
    write(labels, 6, 1, 1)
    labels.undo()
    assert ids.next_free(labels) == 6
    labels.redo()
    assert ids.next_free(labels) == 7


def test_undo_in_a_large_layer_never_gives_a_used_label(large: Labels) -> None:
    ids = LabelIds()
    ids.next_free(large)
    write(large, 6, 1, 1)
    large.undo()
    large.redo()
    assert ids.next_free(large) == 7


def test_layer_is_scanned_once(large: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    scans, ids = Scans(monkeypatch), LabelIds()
    for label in range(6, 10):
        assert ids.next_free(large) == label
        write(large, label, 1, label)
    assert scans.count == 1


def test_rescan_finds_what_was_written_directly(medium: Labels) -> None:
    ids = LabelIds()
    assert ids.next_free(medium) == 6
    medium.data[3, 3] = 9
    ids.rescan(medium)
    assert ids.next_free(medium) == 10
    assert ids.contains(medium, 9, CORNER)


def test_rescan_keeps_a_label_that_may_be_redone(medium: Labels) -> None:
    ids = LabelIds()
    ids.next_free(medium)
    write(medium, 6, 1, 1)
    medium.undo()
    ids.rescan(medium)
    medium.redo()
    assert ids.next_free(medium) == 7


def test_new_layer_is_not_scanned(
    large: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans, ids = Scans(monkeypatch), LabelIds()
    large.data[:] = 0
    ids.add_empty(large)
    assert ids.next_free(large) == 1
    assert scans.count == 0


def test_label_is_found_in_its_region(labels: Labels) -> None:
    assert LabelIds().contains(labels, 5, CORNER)


def test_label_is_found_outside_its_region(labels: Labels) -> None:
    ids = LabelIds()
    labels.data[:4, :4] = 0
    assert not ids.contains(labels, 5, CORNER)
    write(labels, 5, 15, 15)
    assert ids.contains(labels, 5, CORNER)


def test_absent_label_is_found_again_after_redo(labels: Labels) -> None:
    ids = LabelIds()
    write(labels, 9, 2, 2)
    labels.undo()
    assert not ids.contains(labels, 9, CORNER)
    labels.redo()
    assert ids.contains(labels, 9, CORNER)


@pytest.mark.parametrize("size", ["labels", "medium", "large"])
def test_rescan_finds_an_absent_label_that_was_written_directly(
    size: str, request: pytest.FixtureRequest
) -> None:
    labels, ids = request.getfixturevalue(size), LabelIds()
    assert not ids.contains(labels, 9, CORNER)
    labels.data[15, 15] = 9
    ids.rescan(labels)
    assert ids.contains(labels, 9, CORNER)


def test_label_selected_in_a_large_layer_counts_as_used(large: Labels) -> None:
    large.selected_label = 20
    assert LabelIds().next_free(large) == 21


@pytest.mark.parametrize("size", ["labels", "medium"])
def test_selected_label_of_a_smaller_layer_is_free(
    size: str, request: pytest.FixtureRequest
) -> None:
    labels = request.getfixturevalue(size)
    labels.selected_label = 20
    assert LabelIds().next_free(labels) == 6


def test_regions_bound_the_changed_pixels_of_each_label() -> None:
    indices = np.array([1, 4, 2, 7]), np.array([3, 3, 8, 0])
    regions = label_regions(PixelChanges(indices, np.array([2, 2, 9, 9]), 0))
    assert regions == {
        2: (slice(1, 5), slice(3, 4)),
        9: (slice(2, 8), slice(0, 9)),
    }


def test_regions_are_those_of_pixels_in_any_order(rng: np.random.Generator) -> None:
    indices = tuple(rng.integers(0, 30, (3, 400)))
    values = np.repeat(rng.integers(1, 6, 80), 5)
    regions = label_regions(PixelChanges(indices, values, 0))
    assert regions == {
        label: tuple(
            slice(axis[values == label].min(), axis[values == label].max() + 1)
            for axis in indices
        )
        for label in set(values.tolist())
    }


def test_no_changes_have_no_regions() -> None:
    nowhere = (np.empty(0, int),) * 2
    assert label_regions(PixelChanges(nowhere, np.empty(0, int), 0)) == {}


def test_joined_region_holds_both() -> None:
    plane = (4, slice(None), slice(None))
    box = (slice(2, 4), slice(1, 5), slice(0, 9))
    assert join_regions(plane, box) == (slice(2, 5), slice(None), slice(None))
    assert join_regions(None, box) == box
