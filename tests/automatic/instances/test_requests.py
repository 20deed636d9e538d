"""Everything by an instance head, in scripts, sessions, records and on stacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.automatic.search import SearchOptions, search_method_text
from napari_sam.masks.label_grid import LabelGrid
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.records.describe import describe_all
from napari_sam.records.record import add_entries, new_record
from napari_sam.records.replay import replay
from napari_sam.requests.from_arrays import (
    automatic_plane_request,
    automatic_stack_request,
)
from tests.helpers.discs import DISCS, PLANE, SHAPE, discs, same_objects
from tests.helpers.instances import InstancePredictor, disc_plane
from tests.helpers.sessions import written


class SmallInstancePredictor(InstancePredictor):
    """Looks at planes in windows of 32 pixels and more."""

    input_size = 64
    smallest_window = 32


def test_objects_are_found_without_a_prompt() -> None:
    model = InstancePredictor()
    same_objects(ns.segment_everything(PLANE, model), discs())
    assert not model.received
    assert "all of them at once" in search_method_text(model.prompt_support)


@pytest.mark.parametrize(
    "options", [SearchOptions(method="prompts"), SearchOptions(crop_n_layers=1)]
)
def test_the_search_by_prompts_remains(options: SearchOptions) -> None:
    model = InstancePredictor()
    same_objects(ns.segment_everything(PLANE, model, options=options), discs())
    assert model.received
    assert not model.windows


def test_annotations_have_the_keys_of_segment_anything() -> None:
    *_, last = ns.everything(PLANE, InstancePredictor())
    objects = last.candidates.objects(ns.Thresholds())
    assert len(objects.annotations) == len(DISCS)
    for number, one in enumerate(objects.annotations, start=1):
        mask = objects.labels == number
        assert_array_equal(one["segmentation"], mask)
        assert one["area"] == mask.sum()
        x, y, width, height = one["bbox"]
        rows, cols = np.nonzero(mask)
        assert (x, y) == (cols.min(), rows.min())
        assert (width, height) == (np.ptp(cols) + 1, np.ptp(rows) + 1)
        ((x, y),) = one["point_coords"]
        assert mask[int(y), int(x)]
        assert 0 <= one["predicted_iou"] <= 1
        assert 0 <= one["stability_score"] <= 1
        assert one["crop_box"] == [0, 0, SHAPE[1], SHAPE[0]]


@pytest.mark.parametrize("with_region", [False, True])
def test_a_record_replays_to_the_same_labels(with_region: bool) -> None:
    model = SmallInstancePredictor()
    plane = (200 * (disc_plane((150, 180), 30, (4, 9), 3) > 0)).astype(np.uint8)
    region = None
    if with_region:
        region = np.zeros(plane.shape, bool)
        region[20:100, 30:140] = True
    request = automatic_plane_request(plane, (0, 255), region=region)
    result = run_to_end(request.run(model, EmbeddingCache()))
    labels = result.paint(plane.shape)
    assert labels.any()
    shared = {
        "image": {"name": "discs", "path": None},
        "grid": LabelGrid.same(plane.shape).to_json(),
        "dtype": "int32",
        "policy": "keep",
        "replaced": [],
        "region": [[0, side] for side in plane.shape],
    }
    ids = {number: number for number in result.scores}
    entries = describe_all(request, result, ids, model.key, shared)
    record = add_entries(new_record(), entries, {}, labels)
    assert_array_equal(replay(record, plane, model), labels)


def test_all_planes_of_a_stack_are_seen_in_the_same_windows() -> None:
    model = SmallInstancePredictor()
    plane = 200 * (disc_plane((130, 130), 25, (4, 6), 5) > 0)
    stack = np.stack([np.zeros_like(plane), plane, plane]).astype(np.uint8)
    labels = ns.segment_everything_volume(stack, model, contrast_limits=(0, 255))
    assert labels.max() == 25
    assert_array_equal(labels[1], labels[2])
    sides = {window.side for window in model.windows if window is not None}
    assert model.windows.count(None) <= 1
    last = model.windows[-len(model.windows) // 4 :]
    assert len({window.side for window in last if window is not None}) == 1
    assert sides


def test_stopping_keeps_the_blocks_that_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_sam.automatic.instances.search._BLOCK", 64)
    monkeypatch.setattr("napari_sam.automatic.instances.search._MARGIN", 20)
    truth = disc_plane((256, 256), 40, (4, 6), 5)
    plane = (200 * (truth > 0)).astype(np.uint8)
    request = automatic_plane_request(plane, (0, 255), options=SearchOptions(zoom=8.0))
    calls: list[int] = []

    def stopped() -> bool:
        calls.append(1)
        return len(calls) > 40

    model = SmallInstancePredictor()
    result = run_to_end(request.run(model, EmbeddingCache(), stopped))
    assert 0 < len(result.scores) < 40
    for piece in result.pieces:
        found = np.unique(truth[piece.region][piece.mask])
        assert len(found[found > 0]) == 1


def test_stopping_in_a_block_keeps_its_windows() -> None:
    truth = disc_plane((256, 256), 40, (4, 6), 5)
    plane = (200 * (truth > 0)).astype(np.uint8)
    options = SearchOptions(zoom=4.0)
    request = automatic_plane_request(plane, (0, 255), options=options)
    calls: list[int] = []

    def stopped() -> bool:
        calls.append(1)
        return len(calls) == 10

    result = run_to_end(
        request.run(SmallInstancePredictor(), EmbeddingCache(), stopped)
    )
    assert 5 < len(result.scores) < 35


def test_zoom_and_diameter_reach_the_search() -> None:
    plane = (200 * (disc_plane((256, 256), 30, (5, 6), 5) > 0)).astype(np.uint8)
    for options, side in (({"zoom": 4}, 64), ({"object_diameter": 60.0}, 128)):
        model = SmallInstancePredictor()
        ns.segment_everything(plane, model, **options)
        assert {w.side for w in model.windows if w is not None} == {side}


def test_a_session_has_the_same_objects() -> None:
    viewer = ViewerModel()
    viewer.add_image(PLANE, contrast_limits=(0, 255))
    session = SamSession(viewer, InstancePredictor())
    session.segment_everything()
    session.commit()
    same_objects(written(session), discs())
    again = replay(session.record(), PLANE, session.model)
    assert_array_equal(again, written(session))


def test_the_zoom_of_a_session_counts() -> None:
    viewer = ViewerModel()
    plane = (200 * (disc_plane((256, 256), 30, (5, 6), 5) > 0)).astype(np.uint8)
    viewer.add_image(plane, contrast_limits=(0, 255))
    model: Any = SmallInstancePredictor()
    session = SamSession(viewer, model)
    session.zoom = "off"
    session.segment_everything()
    assert model.windows == [None]


def test_stack_requests_take_a_region() -> None:
    region = np.zeros(SHAPE, bool)
    region[:45] = True
    stack = np.stack([PLANE, PLANE])
    request = automatic_stack_request(stack, 0, (0, 255), region=region)
    result = run_to_end(request.run(InstancePredictor(), EmbeddingCache()))
    inside = np.where(np.isin(discs(), [1, 2]), discs(), 0)
    same_objects(result.paint(stack.shape)[0], inside)
    with pytest.raises(ValueError, match="region"):
        automatic_stack_request(stack, region=region[:10])


def test_options_say_what_is_used() -> None:
    support = InstancePredictor().prompt_support
    assert SearchOptions().uses_instance_head(support)
    assert not replace(SearchOptions(), method="prompts").uses_instance_head(support)
