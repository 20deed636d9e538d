"""Box search for points, on synthetic discs and with the real weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.masks.patch import box_iou, mask_iou, mask_to_box
from napari_sam.prediction.clicks.point_search import search_boxes_for_points
from napari_sam.prediction.clicks.prompted_mask import PointAnswer
from napari_sam.prediction.predictor import Predictor
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDE = 128
MAX_DECODES = 32


@dataclass
class DiscModel:
    """A model trained on boxes: returns the disc that fits a box.

    For a box that fits no disc it returns a vague ellipse, as real models do, or
    an empty mask if it is `blind`.
    """

    discs: list[tuple[float, float, float]]
    shape: tuple[int, int] = (SIDE, SIDE)
    blind: bool = False
    min_fit: float = 0.3
    boxes: list[NDArray[np.float64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows, self.cols = np.mgrid[:SIDE, :SIDE]

    def depth(self, disc: int) -> NDArray[np.float64]:
        row, col, radius = self.discs[disc]
        values: NDArray[np.float64] = radius - np.hypot(
            self.rows - row, self.cols - col
        )
        return values

    def mask(self, disc: int) -> NDArray[np.bool_]:
        mask = self.depth(disc) > 0
        mask[self.shape[0] :] = mask[:, self.shape[1] :] = False
        return mask

    def box(self, disc: int) -> NDArray[np.float64]:
        box = mask_to_box(self.mask(disc))
        assert box is not None
        return box

    def decode(
        self, boxes: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert boxes.ndim == 2 and boxes.shape[1] == 4 and len(boxes)
        assert (boxes[:, 2:] > boxes[:, :2]).all(), "boxes have area"
        self.boxes.extend(boxes)
        answers = [self._answer(box) for box in boxes]
        logits = np.stack([a for a, _ in answers]).astype(np.float32)
        return logits, np.array([iou for _, iou in answers], np.float32)

    def _answer(self, box: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        fits = [float(box_iou(box, self.box(i))) for i in range(len(self.discs))]
        if fits and max(fits) > self.min_fit:
            best = int(np.argmax(fits))
            return np.clip(3 * self.depth(best), -12, 12), 0.6 + 0.4 * fits[best]
        if self.blind:
            return np.full((SIDE, SIDE), -5.0), 0.1
        low, high = box[:2], box[2:]
        centre, half = (low + high) / 2, (high - low) / 2 + 0.5
        inside = np.hypot(
            (self.rows - centre[0]) / half[0], (self.cols - centre[1]) / half[1]
        )
        return 2 * (0.8 - inside), 0.4

    def search(
        self, proposals: Sequence[PointAnswer] = (), **prompt: Any
    ) -> list[PointAnswer]:
        return search_boxes_for_points(
            self.decode, Prompt(**prompt), self.shape, proposals
        )


def overlap(found: list[PointAnswer], model: DiscModel, disc: int) -> float:
    return mask_iou(found[0].logits > 0, model.mask(disc))


@pytest.mark.parametrize("radius", [3, 5, 9, 16, 28, 45])
def test_a_click_finds_its_disc(radius: float) -> None:
    model = DiscModel([(60, 64, radius)])
    found = model.search(points=[(60, 64)])
    assert overlap(found, model, 0) == 1
    assert found[0].score > 0.7


def test_a_click_off_the_centre_finds_its_disc() -> None:
    model = DiscModel([(60, 64, 20)])
    assert overlap(model.search(points=[(70, 54)]), model, 0) == 1


def test_a_click_chooses_among_discs() -> None:
    model = DiscModel([(30, 30, 14), (30, 66, 14), (90, 60, 22)])
    for disc, (row, col, _) in enumerate(model.discs):
        assert overlap(model.search(points=[(row, col)]), model, disc) == 1


def test_components_without_a_point_are_dropped() -> None:
    pair = DiscModel([(64, 30, 12), (64, 90, 12)])
    both = np.maximum(pair.depth(0), pair.depth(1)).astype(np.float32)

    def decode(boxes: NDArray[np.float64]) -> Any:
        return np.stack([both] * len(boxes)), np.full(len(boxes), 0.9, np.float32)

    found = search_boxes_for_points(decode, Prompt(points=[(64, 30)]), pair.shape)
    assert overlap(found, pair, 0) == 1
    assert (found[0].logits[pair.mask(1)] < 0).all()
    assert len(found) == 1


def test_answers_are_distinct_and_sorted() -> None:
    nucleus_in_cell = DiscModel([(60, 60, 12), (60, 60, 40)])
    found = nucleus_in_cell.search(points=[(60, 60)])
    assert 2 <= len(found) <= 3
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    masks = [f.logits > 0 for f in found]
    for disc in (0, 1):
        assert any(mask_iou(m, nucleus_in_cell.mask(disc)) == 1 for m in masks)
    assert all(mask_iou(masks[0], other) < 0.8 for other in masks[1:])


def test_a_negative_point_excludes_the_larger_object() -> None:
    model = DiscModel([(60, 60, 12), (60, 60, 40)])
    found = model.search(points=[(60, 60), (60, 90)], labels=[1, 0])
    assert overlap(found, model, 0) == 1
    assert not any((f.logits > 0)[60, 90] for f in found)


def test_a_second_positive_point_selects_the_larger_object() -> None:
    model = DiscModel([(60, 60, 12), (60, 60, 40)])
    found = model.search(points=[(60, 60), (60, 90)])
    assert overlap(found, model, 1) == 1


def test_several_positive_points() -> None:
    model = DiscModel([(64, 64, 30)])
    found = model.search(points=[(40, 64), (88, 64), (64, 42)])
    assert overlap(found, model, 0) == 1


@pytest.mark.parametrize(
    ("disc", "point"),
    [((0, 0, 20), (0, 0)), ((127, 127, 20), (127, 127)), ((64, 0, 15), (64, 0))],
)
def test_discs_cut_by_the_border(disc: Any, point: Any) -> None:
    model = DiscModel([disc])
    assert overlap(model.search(points=[point]), model, 0) == 1


def test_masks_stay_inside_the_plane() -> None:
    model = DiscModel([(20, 60, 30)], shape=(40, 128))
    found = model.search(points=[(20, 60)])
    assert overlap(found, model, 0) == 1
    assert (found[0].logits[40:] <= 0).all()
    assert all(box[2] <= 39 for box in model.boxes)


@pytest.mark.parametrize("shape", [(1, SIDE), (SIDE, 1), (1, 1)])
def test_planes_of_one_row_or_column(shape: tuple[int, int]) -> None:
    found = DiscModel([], shape=shape).search(points=[(0, 0)])
    assert found[0].logits.shape == (SIDE, SIDE)
    assert np.isfinite(found[0].score)


def test_contradicting_points_lower_the_score() -> None:
    model = DiscModel([(60, 60, 20)])
    agreed = model.search(points=[(60, 60)])
    points = [(60, 60), (62, 62), (57, 57), (60, 61)]
    found = model.search(points=points, labels=[1, 1, 1, 0])
    assert overlap(found, model, 0) == 1
    assert found[0].score < 0.6 * agreed[0].score


def test_a_blind_model_gives_an_empty_mask() -> None:
    (found,) = DiscModel([], blind=True).search(points=[(60, 60)])
    assert not (found.logits > 0).any()
    assert 0 <= found.score < 0.2


def test_a_box_with_a_point() -> None:
    model = DiscModel([(60, 60, 12), (60, 60, 40)])
    box = model.box(1)
    assert overlap(model.search(points=[(60, 60)], box=box), model, 1) == 1
    np.testing.assert_array_equal(model.boxes[0], box)


def test_a_negative_point_splits_a_box() -> None:
    model = DiscModel([(64, 34, 18), (64, 74, 18)])
    box = [46, 16, 82, 92]
    found = model.search(points=[(64, 34), (64, 74)], labels=[1, 0], box=box)
    assert overlap(found, model, 0) == 1


def test_a_box_with_negative_points_only() -> None:
    model = DiscModel([(60, 60, 20)])
    found = model.search(points=[(60, 90)], labels=[0], box=model.box(0))
    assert overlap(found, model, 0) == 1


def test_an_empty_mask_never_beats_a_mask() -> None:
    model = DiscModel([(60, 60, 20)], blind=True, min_fit=0.6)
    found = model.search(points=[(60, 60)], labels=[0], box=[30, 30, 90, 90])
    assert overlap(found, model, 0) == 1


def test_search_is_deterministic_and_does_not_modify_the_prompt() -> None:
    model = DiscModel([(30, 30, 14), (44, 60, 20)])
    points, box = np.array([(35.0, 33.0)]), model.box(0)
    first = model.search(points=points, box=box)
    again = model.search(points=points, box=box)
    assert [f.score for f in first] == [f.score for f in again]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(points, [(35.0, 33.0)])
    np.testing.assert_array_equal(box, model.box(0))


# -- proposals of a click decoder -----------------------------------------


def proposal(
    model: DiscModel, disc: int, off: float = 0.0, score: float = 0.8
) -> PointAnswer:
    """A disc, a little too large or too small."""
    return PointAnswer((model.depth(disc) + off).astype(np.float32), score)


@pytest.mark.parametrize("off", [-2.0, 3.0])
def test_a_proposal_is_refined_by_its_box(off: float) -> None:
    model = DiscModel([(60, 64, 20), (30, 100, 12)])
    found = model.search([proposal(model, 0, off)], points=[(62, 60)])
    assert overlap(found, model, 0) == 1
    assert len(model.boxes) == 1


def test_proposals_cost_a_fraction_of_a_search() -> None:
    model, searched = DiscModel([(60, 64, 20)]), DiscModel([(60, 64, 20)])
    searched.search(points=[(62, 60)])
    proposals = [proposal(model, 0, off) for off in (-9, -4, 0, 5)]
    assert overlap(model.search(proposals, points=[(62, 60)]), model, 0) == 1
    assert len(model.boxes) <= len(searched.boxes) / 4


def test_the_proposal_that_fits_the_points_is_selected() -> None:
    model = DiscModel([(60, 30, 14), (60, 64, 14)])
    proposals = [proposal(model, 0, score=0.9), proposal(model, 1, score=0.6)]
    found = model.search(proposals, points=[(60, 64), (60, 30)], labels=[1, 0])
    assert overlap(found, model, 1) == 1


def test_a_proposal_remains_where_boxes_find_nothing() -> None:
    model = DiscModel([(60, 64, 20)])
    seen = proposal(model, 0)
    blind = DiscModel([], blind=True)
    found = blind.search([seen], points=[(62, 60)])
    assert mask_iou(found[0].logits > 0, model.mask(0)) == 1


@given(data=st.data())
def test_any_click_is_answered(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, SIDE)] * 2), "shape")
    pixel = st.tuples(*(st.floats(0, side - 1) for side in shape))
    discs = data.draw(
        st.lists(st.tuples(*[st.integers(0, SIDE)] * 2, st.integers(2, 40)), max_size=3)
    )
    # A disc outside the plane has no box.
    discs = [d for d in discs if d[0] < shape[0] and d[1] < shape[1]]
    model = DiscModel(discs, shape, blind=data.draw(st.booleans(), "blind"))
    points = data.draw(st.lists(pixel, min_size=1, max_size=4), "points")
    others = st.lists(st.integers(0, 1), min_size=len(points) - 1, max_size=3)
    labels = [1, *data.draw(others, "labels")[: len(points) - 1]]
    found = model.search(points=points, labels=labels)
    assert 1 <= len(found) <= 3
    assert len(model.boxes) <= MAX_DECODES
    for answer in found:
        assert answer.logits.shape == (SIDE, SIDE)
        assert answer.logits.dtype == np.float32
        assert 0 <= answer.score <= 1
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)


COINS = 1, 2, 3


def click_coins(predictor: Predictor, coins: Any, method: str) -> list[float]:
    """Return the IoU of some coins with the answer to one click at their centre."""
    embedding, overlaps = predictor.embed(coins.image), []
    for label in COINS:
        truth = coins.labels == label
        point = np.argwhere(truth).mean(axis=0)
        found = predictor.predict(embedding, Prompt(points=[point]))
        assert found.method == method
        overlaps.append(mask_iou(found.mask, truth))
    return overlaps


@pytest.mark.weights
def test_a_box_search_finds_coins(published_predictor: Predictor, coins: Any) -> None:
    assert np.mean(click_coins(published_predictor, coins, "box search")) >= 0.92


@pytest.mark.weights
def test_the_click_decoder_finds_coins(
    default_predictor: Predictor, coins: Any
) -> None:
    assert np.mean(click_coins(default_predictor, coins, "click decoder")) >= 0.94


@pytest.mark.weights
def test_the_click_decoder_alone_finds_coins(
    default_predictor: Predictor, coins: Any
) -> None:
    assert default_predictor.click_decoder is not None
    alone = Predictor(
        default_predictor.click_decoder,
        name="alone",
        family="lite_medsam",
        prompts=frozenset({"point", "box"}),
        key="alone",
        multimask_output=True,
    )
    assert np.mean(click_coins(alone, coins, "prompt")) >= 0.9


@pytest.mark.weights
def test_boxes_use_the_published_weights(
    default_predictor: Predictor, published_predictor: Predictor, coins: Any
) -> None:
    box = Prompt(box=mask_to_box(coins.labels == 5))
    answers = [
        p.predict(p.embed(coins.image), box)
        for p in (default_predictor, published_predictor)
    ]
    np.testing.assert_array_equal(answers[0].logits, answers[1].logits)
