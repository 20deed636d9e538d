"""Automatic segmentation of a plane: prompts, candidates and labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import napari_sam as ns
from napari_sam.automatic.box_proposals import BoxProposalSearch
from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.search import (
    SearchOptions,
    point_grid,
    search_method_text,
)
from napari_sam.checkpoints.prompt_support import PromptSupport
from napari_sam.masks.label_grid import LabelGrid
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.records.describe import describe_all
from napari_sam.records.record import add_entries, new_record
from napari_sam.records.replay import replay
from napari_sam.requests.from_arrays import (
    automatic_plane_request,
    automatic_stack_request,
)
from napari_sam.samples import coin_labels, coins
from tests.helpers.discs import DISCS, PLANE, SHAPE, DiscPredictor, discs, same_objects
from tests.helpers.models import as_model

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor

GRID = SearchOptions(points_per_side=12)


@pytest.mark.parametrize("prompts", [("point", "box"), ("box",)])
def test_every_object_is_found_once(prompts: tuple[str, ...]) -> None:
    model = DiscPredictor(*prompts)
    labels = ns.segment_everything(PLANE, model, options=GRID)
    assert labels.dtype == np.int32
    same_objects(labels, discs())
    assert len(model.embedded) == 1  # encoded once
    kinds = {kind for prompt in model.received for kind in prompt.kinds}
    assert kinds == {prompts[0]}


def test_point_grid_matches_the_published_generator() -> None:
    grid = point_grid((40, 80), 4)
    assert_allclose(np.unique(grid[:, 0]), [5, 15, 25, 35])
    assert_allclose(np.unique(grid[:, 1]), [10, 30, 50, 70])
    assert (point_grid((2, 3), 8) <= (1, 2)).all()


def test_changing_thresholds_does_not_run_the_model() -> None:
    model = DiscPredictor("box")
    *_, last = ns.everything(PLANE, model)
    count = len(model.received)
    areas = sorted(np.bincount(discs().ravel())[1:].tolist())
    objects = last.candidates.objects(Thresholds(min_size=areas[1]))
    assert len(objects.scores) == 3
    assert len(last.candidates.objects(Thresholds(max_size=areas[1])).scores) == 2
    assert not last.candidates.objects(Thresholds(pred_iou_thresh=1.0)).scores
    assert len(model.received) == count


def test_stopping_iteration_cancels() -> None:
    model = DiscPredictor("box")
    step = next(iter(islice(ns.everything(PLANE, model), 1)))
    first = len(model.received)
    assert 0 < step.done < step.total
    assert step.candidates.members
    list(ns.everything(PLANE, model))
    assert len(model.received) > 2 * first


@pytest.mark.parametrize("prompts", [("point", "box"), ("box",)])
def test_a_region_is_enlarged_and_limits_the_objects(
    prompts: tuple[str, ...],
) -> None:
    truth = discs()
    region = np.zeros(SHAPE, bool)
    region[:40, :80] = True
    model = DiscPredictor(*prompts)
    labels = ns.segment_everything(PLANE, model, options=GRID, region=region)
    same_objects(labels, np.where(truth <= 2, truth, 0))
    (plane,) = model.embedded
    assert plane.shape[0] < 60
    assert plane.shape[1] < 100


@pytest.mark.parametrize(
    ("region", "why"),
    [
        (np.zeros(SHAPE, bool), "is empty"),
        (np.ones((3, 4), bool), "plane's shape"),
        (np.ones(SHAPE), "give booleans"),
    ],
)
def test_invalid_regions_are_refused(region: Any, why: str) -> None:
    model = DiscPredictor("box")
    with pytest.raises(ValueError, match=why):
        ns.segment_everything(PLANE, model, region=region)
    assert not model.embedded


def test_crops_do_not_duplicate_objects() -> None:
    model = DiscPredictor("point", "box")
    options = SearchOptions(12, crop_n_layers=1)
    same_objects(ns.segment_everything(PLANE, model, options=options), discs())
    assert len(model.embedded) == 5


@pytest.mark.parametrize("wrong", [{"points_per_side": 0}, {"crop_n_layers": -1}])
def test_invalid_search_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        SearchOptions(**wrong)


def test_a_large_good_mask_reduces_the_grid_of_small_boxes() -> None:
    transform, _ = as_model(np.zeros((64, 64)))
    rows, cols = np.indices((64, 64))
    inside = (rows - 32) ** 2 + (cols - 32) ** 2 < 26**2
    box_counts = []
    for known in (True, False):
        search, count = BoxProposalSearch(Crop((0, 0), (64, 64)), transform), 0
        for _, boxes in search.batches():
            logits = np.full((len(boxes), 64, 64), -9, np.float32)
            if known:
                logits[:, inside] = 9
            search.add_masks(boxes, logits, np.full(len(boxes), 0.9))
            count += len(boxes)
        box_counts.append(count)
    assert box_counts[0] < box_counts[1]


def test_search_method_text_names_the_prompts() -> None:
    assert "points" in search_method_text(PromptSupport(frozenset({"point", "box"})))
    assert "boxes" in search_method_text(PromptSupport(frozenset({"box"})))


def test_every_family_segments_a_plane(tiny_predictor: Predictor) -> None:
    plane = np.random.default_rng(3).integers(0, 255, (40, 48), np.uint8)
    options = SearchOptions(4, min_pred_iou=0, min_stability_score=0)
    loose = Thresholds(0, 0, 0)
    *_, last = ns.everything(plane, tiny_predictor, options=options)
    labels = ns.segment_everything(
        plane, tiny_predictor, options=options, thresholds=loose
    )
    assert_array_equal(labels, last.candidates.objects(loose).labels)
    assert labels.shape == plane.shape


@pytest.mark.parametrize("with_region", [False, True])
def test_replaying_a_record_gives_the_same_labels(with_region: bool) -> None:
    model = DiscPredictor("box")
    region = None
    if with_region:
        region = np.zeros(SHAPE, bool)
        region[5:50, :90] = True
    request = automatic_plane_request(
        PLANE, options=GRID, thresholds=Thresholds(min_size=200), region=region
    )
    result = run_to_end(request.run(model, EmbeddingCache()))
    labels = np.zeros(SHAPE, np.int32)
    for piece in result.pieces:
        labels[piece.region][piece.mask] = piece.object_id
    assert labels.any()
    ids = {number: number for number in result.scores}
    shared = {
        "image": {"name": "discs", "path": None},
        "grid": LabelGrid.same(SHAPE).to_json(),
        "dtype": "int32",
        "policy": "keep",
        "replaced": [],
        "region": [[0, side] for side in SHAPE],
    }
    entries = describe_all(request, result, ids, model.key, shared)
    record = add_entries(new_record(), entries, {}, labels)
    assert_array_equal(replay(record, PLANE, model), labels)


def test_a_stack_is_segmented_by_plane_and_linked() -> None:
    model = DiscPredictor("box")
    rising = np.stack([PLANE, np.roll(PLANE, 1, axis=1), np.roll(PLANE, 2, axis=1)])
    labels = ns.segment_everything_volume(rising, model)
    assert labels.shape == rising.shape
    assert_array_equal(labels > 0, rising > 127)
    assert labels.max() == len(DISCS)
    turned = ns.segment_everything_volume(np.moveaxis(rising, 0, 2), model, axis=2)
    assert_array_equal(np.moveaxis(turned, 2, 0), labels)


def test_results_of_arrays_keep_the_selected_candidates_only() -> None:
    request = automatic_stack_request(np.stack([PLANE, PLANE]), options=GRID)
    model = DiscPredictor("point", "box")
    results = [
        run_to_end(replace(request, keep_candidates=keep).run(model, EmbeddingCache()))
        for keep in (True, False)
    ]
    every, selected = (
        [len(plane.members) for plane in result.candidates] for result in results
    )
    assert all(few < many for few, many in zip(selected, every, strict=True))
    assert_array_equal(*(result.paint((2, *SHAPE)) for result in results))
    assert not request.keep_candidates
    again = request.refinish(results[1])
    assert_array_equal(again.paint((2, *SHAPE)), results[1].paint((2, *SHAPE)))


def test_planes_of_a_stack_are_yielded_one_by_one() -> None:
    model = DiscPredictor("box")
    stack = np.stack([PLANE] * 3)
    first = next(ns.everything_volume(stack, model, contrast_limits=(0, 255)))
    same_objects(first.labels, discs())
    assert len(model.embedded) == 1


@pytest.mark.weights
def test_every_coin_is_found_once(default_predictor: Predictor) -> None:
    bottom_row = slice(225, None)
    truth = coin_labels()[bottom_row]
    labels = ns.segment_everything(coins()[bottom_row], default_predictor)
    ious, matched = [], set()
    for coin in np.unique(truth[truth > 0]):
        mine = truth == coin
        number = np.bincount(labels[mine]).argmax()
        assert number > 0
        assert number not in matched
        matched.add(number)
        found = labels == number
        ious.append((mine & found).sum() / (mine | found).sum())
    assert len(ious) == 6
    assert np.mean(ious) >= 0.85
    assert labels.max() - len(matched) <= 5
