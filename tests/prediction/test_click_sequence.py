"""Iterative prompting by clicks, and alternatives by size."""

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
def batches(tiny_sam: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[list[Prompt]]:
    """The batches of prompts that the model gets."""
    recorded: list[list[Prompt]] = []
    predict = tiny_sam.predict_batch

    def record(
        embedding: Embedding, prompts: Sequence[Prompt], **options: Any
    ) -> list[Prediction]:
        if prompts:
            recorded.append(list(prompts))
        return predict(embedding, prompts, **options)

    monkeypatch.setattr(tiny_sam, "predict_batch", record)
    return recorded


def same(one: Prediction, other: Prediction) -> bool:
    return np.array_equal(one.logits, other.logits) and one.score == other.score


def test_each_click_gets_the_logits_of_the_previous_mask(
    tiny_sam: Predictor, embedding: Embedding, batches: list[list[Prompt]]
) -> None:
    (found,) = predict_iteratively(
        tiny_sam, embedding, [Prompt(points=CLICKS, labels=[1, 0, 1])]
    )
    steps = [batch[0] for batch in batches]
    assert [len(step.points) for step in steps] == [1, 2, 3]
    assert steps[0].mask is None
    by_hand = tiny_sam.predict(embedding, Prompt(points=CLICKS[:1]))
    np.testing.assert_array_equal(steps[1].mask, by_hand.logits)
    by_hand = tiny_sam.predict(embedding, steps[1])
    np.testing.assert_array_equal(steps[2].mask, by_hand.logits)
    assert same(found, tiny_sam.predict(embedding, steps[2]))


def test_one_more_click_costs_one_decode(
    tiny_sam: Predictor, embedding: Embedding, batches: list[list[Prompt]]
) -> None:
    cache = ClickCache()
    for count in (1, 2, 3):
        prompt = Prompt(points=CLICKS[:count])
        (found,) = predict_iteratively(tiny_sam, embedding, [prompt], click_cache=cache)
        assert len(batches) == count
    (fresh,) = predict_iteratively(tiny_sam, embedding, [Prompt(points=CLICKS)])
    assert same(found, fresh)


def test_cached_logits_are_not_shared_between_objects(
    tiny_sam: Predictor, embedding: Embedding, rng: np.random.Generator
) -> None:
    cache = ClickCache()
    plane = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    other = tiny_sam.embed(plane)
    prompts = [
        Prompt(points=CLICKS),
        Prompt(points=CLICKS[::-1]),
        Prompt(box=[2, 3, 9, 9]),
    ]
    for place in (embedding, other, embedding):
        for prompt in prompts:
            (found,) = predict_iteratively(tiny_sam, place, [prompt], click_cache=cache)
            (alone,) = predict_iteratively(tiny_sam, place, [prompt])
            assert same(found, alone)


def test_steps_start_with_the_box_or_a_positive_point(
    tiny_sam: Predictor, embedding: Embedding, batches: list[list[Prompt]]
) -> None:
    predict_iteratively(
        tiny_sam, embedding, [Prompt(points=CLICKS[:2], box=[1, 1, 15, 28])]
    )
    kinds = [batch[0].kinds for batch in batches]
    assert kinds == [{"box"}, {"box", "point", "mask"}, {"box", "point", "mask"}]
    batches.clear()
    predict_iteratively(tiny_sam, embedding, [Prompt(points=CLICKS[:2], labels=[0, 1])])
    assert [batch[0].labels.tolist() for batch in batches] == [[1], [1, 0]]


def test_objects_at_the_same_step_are_one_batch(
    tiny_sam: Predictor, embedding: Embedding, batches: list[list[Prompt]]
) -> None:
    prompts = [Prompt(points=CLICKS[:n]) for n in (2, 1, 3)]
    together = predict_iteratively(tiny_sam, embedding, prompts)
    assert [len(batch) for batch in batches] == [3, 2, 1]
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = predict_iteratively(tiny_sam, embedding, [prompt])
        np.testing.assert_allclose(found.logits, alone.logits, atol=1e-4)


def test_a_box_model_answers_in_one_step(
    tiny_lite: Predictor, rng: np.random.Generator
) -> None:
    embedding = tiny_lite.embed(rng.integers(0, 256, (20, 30), dtype=np.uint8))
    prompt = Prompt(points=CLICKS, labels=[1, 0, 1])
    (found,) = predict_iteratively(tiny_lite, embedding, [prompt])
    assert same(found, tiny_lite.predict(embedding, prompt))


def test_a_size_selects_an_alternative(
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


def test_without_alternatives_a_size_changes_nothing(
    tiny_sam: Predictor, embedding: Embedding
) -> None:
    only = tiny_sam.predict(embedding, Prompt(box=[2, 3, 15, 20]))
    assert all(same(select_alternative(only, size), only) for size in SIZES)
    assert alternative_size(only) is None
    two = replace(only, candidates=(only, replace(only, score=0.0)))
    assert select_alternative(two, "medium") is two
