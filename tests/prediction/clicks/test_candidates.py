"""Answers to clicks from the click decoder, the instances and boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam.masks.patch import mask_iou
from napari_sam.prediction.clicks.candidates import click_candidates, rank_candidates
from napari_sam.prediction.clicks.prompted_mask import PointAnswer
from napari_sam.prompts.prompt import Prompt
from tests.prediction.clicks.test_point_search import SIDE, DiscModel, overlap

if TYPE_CHECKING:
    from collections.abc import Sequence


SHAPE = SIDE, SIDE


class Instances:
    """Instances of a window, by known labels."""

    def __init__(self, labels: np.ndarray, quality: float = 0.9) -> None:
        self.labels, self._quality = labels, quality

    def at(self, points: np.ndarray) -> list[int]:
        found: list[int] = self.labels[tuple(np.rint(points).astype(int).T)].tolist()
        return found

    def quality(self, label: int) -> float:
        return self._quality

    def logits(self, labels: Sequence[int], size: int) -> np.ndarray:
        return np.where(np.isin(self.labels, labels), 5, -5).astype(np.float32)


def proposal(
    model: DiscModel, disc: int, off: float = 0.0, score: float = 0.8
) -> PointAnswer:
    """A disc, a little too large or too small."""
    return PointAnswer((model.depth(disc) + off).astype(np.float32), score)


def answers(
    model: DiscModel,
    proposals: Sequence[PointAnswer],
    instances: Any = None,
    **prompt: Any,
) -> list[PointAnswer]:
    asked = Prompt(**prompt)
    found = click_candidates(model.decode, asked, model.shape, proposals, instances)
    return rank_candidates(found, asked, model.shape)


@pytest.mark.parametrize("off", [-2.0, 3.0])
def test_the_box_around_a_proposal_is_decoded_once(off: float) -> None:
    model = DiscModel([(60, 64, 20), (30, 100, 12)])
    proposals = [proposal(model, 0, off), proposal(model, 0, off + 0.1)]
    found = click_candidates(model.decode, Prompt(points=[(62, 60)]), SHAPE, proposals)
    assert [c.source for c in found] == ["decoder", "decoder", "box"]
    assert mask_iou(found[-1].mask.mask, model.mask(0)) == 1
    assert len(model.boxes) == 1


def test_the_proposal_that_fits_the_points_is_selected() -> None:
    model = DiscModel([(60, 30, 14), (60, 64, 14)])
    proposals = [proposal(model, 0, score=0.9), proposal(model, 1, score=0.6)]
    found = answers(model, proposals, points=[(60, 64), (60, 30)], labels=[1, 0])
    assert overlap(found, model, 1) == 1


def test_a_proposal_remains_where_boxes_find_nothing() -> None:
    model, blind = DiscModel([(60, 64, 20)]), DiscModel([], blind=True)
    found = answers(blind, [proposal(model, 0)], points=[(62, 60)])
    assert mask_iou(found[0].logits > 0, model.mask(0)) == 1


def two_discs() -> tuple[DiscModel, np.ndarray]:
    """Two touching discs that the decoders see as one, and their labels."""
    apart = DiscModel([(64, 40, 15), (64, 70, 15)])
    labels = np.zeros(apart.shape, np.int32)
    labels[apart.mask(0)], labels[apart.mask(1)] = 1, 2
    return apart, labels


def test_an_instance_is_among_the_answers() -> None:
    model, labels = two_discs()
    both = PointAnswer(
        np.maximum(model.depth(0), model.depth(1)).astype(np.float32), 0.7
    )
    blind = DiscModel([], blind=True)
    found = answers(blind, [both], Instances(labels), points=[(64, 40)])
    assert any(mask_iou(f.logits > 0, labels == 1) == 1 for f in found)


def test_points_on_two_instances_join_them() -> None:
    model, labels = two_discs()
    blind = DiscModel([], blind=True)
    points = [(64, 40), (64, 70)]
    found = answers(blind, [proposal(model, 0)], Instances(labels), points=points)
    assert mask_iou(found[0].logits > 0, labels > 0) == 1


def test_an_instance_under_a_point_on_the_background_is_left_out() -> None:
    model, labels = two_discs()
    blind = DiscModel([], blind=True)
    merged = Instances((labels > 0).astype(np.int32))
    found = answers(
        blind, [proposal(model, 0)], merged, points=[(64, 40), (64, 70)], labels=[1, 0]
    )
    assert mask_iou(found[0].logits > 0, labels == 1) == 1


def test_answers_are_distinct_and_sorted() -> None:
    model = DiscModel([(60, 60, 12), (60, 60, 40)])
    proposals = [proposal(model, 0), proposal(model, 1), proposal(model, 1, 1.0)]
    found = answers(model, proposals, points=[(60, 60)])
    assert 2 <= len(found) <= 3
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)
    masks = [f.logits > 0 for f in found]
    assert all(mask_iou(masks[0], other) < 0.8 for other in masks[1:])
