"""Clicks that follow each other, and the size that is meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam.prediction.click_sequence import (
    SIZES,
    ClickCache,
    alternative_size,
    predict_iteratively,
    select_alternative,
)
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prediction.predictor import Embedding, Prediction, Predictor

CLICKS = [(5, 6), (12, 20), (3, 25)]


@pytest.fixture
def embedding(tiny_sam: Predictor, rng: np.random.Generator) -> Embedding:
    return tiny_sam.embed(rng.integers(0, 256, (20, 30), dtype=np.uint8))


@pytest.fixture
def asked(tiny_sam: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[list[Prompt]]:
    """Every batch that the model is asked."""
    batches: list[list[Prompt]] = []
    predict = tiny_sam.predict_batch

    def recorded(
        embedding: Embedding, prompts: Sequence[Prompt], **options: Any
    ) -> list[Prediction]:
        if prompts:
            batches.append(list(prompts))
        return predict(embedding, prompts, **options)

    monkeypatch.setattr(tiny_sam, "predict_batch", recorded)
    return batches


def same(one: Prediction, other: Prediction) -> bool:
    return np.array_equal(one.logits, other.logits) and one.score == other.score


def test_each_click_takes_the_logits_of_the_mask_before_it(
    tiny_sam: Predictor, embedding: Embedding, asked: list[list[Prompt]]
) -> None:
    (found,) = predict_iteratively(
        tiny_sam, embedding, [Prompt(points=CLICKS, labels=[1, 0, 1])]
    )
    steps = [batch[0] for batch in asked]
    assert [len(step.points) for step in steps] == [1, 2, 3]
    assert steps[0].mask is None
    by_hand = tiny_sam.predict(embedding, Prompt(points=CLICKS[:1]))
    np.testing.assert_array_equal(steps[1].mask, by_hand.logits)
    by_hand = tiny_sam.predict(embedding, steps[1])
    np.testing.assert_array_equal(steps[2].mask, by_hand.logits)
    assert same(found, tiny_sam.predict(embedding, steps[2]))


def test_one_click_more_costs_one_decode(
    tiny_sam: Predictor, embedding: Embedding, asked: list[list[Prompt]]
) -> None:
    answers = ClickCache()
    for count in (1, 2, 3):
        prompt = Prompt(points=CLICKS[:count])
        (found,) = predict_iteratively(
            tiny_sam, embedding, [prompt], click_cache=answers
        )
        assert len(asked) == count
    (fresh,) = predict_iteratively(tiny_sam, embedding, [Prompt(points=CLICKS)])
    assert same(found, fresh)


def test_no_object_meets_the_logits_of_another(
    tiny_sam: Predictor, embedding: Embedding, rng: np.random.Generator
) -> None:
    answers = ClickCache()
    plane = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    other = tiny_sam.embed(plane)
    prompts = [
        Prompt(points=CLICKS),
        Prompt(points=CLICKS[::-1]),
        Prompt(box=[2, 3, 9, 9]),
    ]
    for place in (embedding, other, embedding):
        for prompt in prompts:
            (found,) = predict_iteratively(
                tiny_sam, place, [prompt], click_cache=answers
            )
            (alone,) = predict_iteratively(tiny_sam, place, [prompt])
            assert same(found, alone)


def test_a_box_comes_before_its_points_and_a_negative_after_a_positive(
    tiny_sam: Predictor, embedding: Embedding, asked: list[list[Prompt]]
) -> None:
    predict_iteratively(
        tiny_sam, embedding, [Prompt(points=CLICKS[:2], box=[1, 1, 15, 28])]
    )
    kinds = [batch[0].kinds for batch in asked]
    assert kinds == [{"box"}, {"box", "point", "mask"}, {"box", "point", "mask"}]
    asked.clear()
    predict_iteratively(tiny_sam, embedding, [Prompt(points=CLICKS[:2], labels=[0, 1])])
    assert [batch[0].labels.tolist() for batch in asked] == [[1], [1, 0]]


def test_objects_at_the_same_step_are_one_batch(
    tiny_sam: Predictor, embedding: Embedding, asked: list[list[Prompt]]
) -> None:
    prompts = [Prompt(points=CLICKS[:n]) for n in (2, 1, 3)]
    together = predict_iteratively(tiny_sam, embedding, prompts)
    assert [len(batch) for batch in asked] == [3, 2, 1]
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = predict_iteratively(tiny_sam, embedding, [prompt])
        np.testing.assert_allclose(found.logits, alone.logits, atol=1e-4)


def test_a_model_of_boxes_answers_all_at_once(
    tiny_lite: Predictor, rng: np.random.Generator
) -> None:
    embedding = tiny_lite.embed(rng.integers(0, 256, (20, 30), dtype=np.uint8))
    prompt = Prompt(points=CLICKS, labels=[1, 0, 1])
    (found,) = predict_iteratively(tiny_lite, embedding, [prompt])
    assert same(found, tiny_lite.predict(embedding, prompt))


def test_a_size_picks_the_candidate_and_is_found_again(
    tiny_sam: Predictor, embedding: Embedding
) -> None:
    best = tiny_sam.predict(embedding, Prompt(points=CLICKS[:1]))
    assert len(best.candidates) == 3
    areas = []
    for size in SIZES:
        (chosen,) = predict_iteratively(
            tiny_sam, embedding, [Prompt(points=CLICKS[:1])], size
        )
        assert same(chosen, select_alternative(best, size))
        assert chosen.candidates == best.candidates or len(chosen.candidates) == 3
        assert alternative_size(chosen) is not None
        areas.append(np.count_nonzero(chosen.mask))
    assert areas == sorted(areas)
    assert same(select_alternative(best, None), best)


def test_without_a_choice_a_size_changes_nothing(
    tiny_sam: Predictor, embedding: Embedding
) -> None:
    only = tiny_sam.predict(embedding, Prompt(box=[2, 3, 15, 20]))
    assert all(same(select_alternative(only, size), only) for size in SIZES)
    assert alternative_size(only) is None
    two = replace(only, candidates=(only, replace(only, score=0.0)))
    assert select_alternative(two, "medium") is two
