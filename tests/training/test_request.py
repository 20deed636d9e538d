"""Training requests: data, options, stopping, comparison of models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.masks.patch import mask_iou
from napari_sam.prompts.prompt import Prompt
from napari_sam.training.data import training_images
from napari_sam.training.request import (
    MIN_OBJECTS,
    RECOMMENDED_OBJECTS,
    TrainingRequest,
    compare_models,
    dataset_size_message,
    viewer_training_options,
)
from tests.helpers.training import QUICK, discs

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor


def ask(output: Path, image: np.ndarray, labels: np.ndarray) -> TrainingRequest:
    return TrainingRequest(image, labels, "cells", (0, 255), 1.0, output)


@pytest.fixture
def no_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a learning rate too low to improve, and few steps."""
    still = replace(QUICK, learning_rate=1e-12, steps=3)
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: still
    )


def run_to_end(request: TrainingRequest, predictor: Predictor, stop: int = 10**6):
    steps = []
    work = request.run(predictor, lambda: len(steps) >= stop)
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return end.value, steps


@pytest.mark.usefixtures("no_learning")
def test_single_plane_is_split_for_validation(
    tiny_sam: Predictor, tmp_path: Path
) -> None:
    (image,) = discs(1)
    request = ask(tmp_path / "new" / "a.safetensors", image.plane, image.labels)
    result, steps = run_to_end(request, tiny_sam)
    assert result.steps == 3
    assert result.comparison is not None
    assert result.comparison.plane.shape == (48, 32)
    assert {progress.phase for progress in steps} == {"encode", "validate", "train"}


@pytest.mark.usefixtures("no_learning")
def test_no_comparison_when_stopped_before_validation(
    tiny_sam: Predictor, tmp_path: Path
) -> None:
    (image,) = discs(1)
    output = tmp_path / "a.safetensors"
    result, steps = run_to_end(ask(output, image.plane, image.labels), tiny_sam, stop=1)
    assert len(steps) == 1
    assert (result.path, result.comparison, result.steps) == (None, None, 0)
    assert not output.exists()


def test_a_better_model_is_kept_while_training_and_dropped_when_cancelled(
    tiny_sam: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learns = replace(QUICK, learning_rate=1e-2, steps=60, prompts=("box",))
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: learns
    )
    monkeypatch.setattr("napari_sam.training.request._SECONDS_PER_SAVE", 0)
    (image,) = discs(1)
    output = tmp_path / "new" / "a.safetensors"
    work = ask(output, image.plane, image.labels).run(tiny_sam, lambda: False)
    while not output.exists():
        next(work)
    assert ModelCard.read(output) is not None
    work.close()
    assert not list(output.parent.iterdir())


def test_comparison_shows_the_largest_objects(tiny_sam: Predictor) -> None:
    (image,) = discs(1)
    labels = image.labels.copy()
    labels[:2, :2] = 9
    (image,) = training_images(image.plane, labels, "cells")
    comparison = compare_models(tiny_sam, tiny_sam, image, max_objects=2)
    assert set(np.unique(comparison.truth)) == {0, 1, 2}
    np.testing.assert_array_equal(comparison.before, comparison.after)
    assert comparison.ious.shape == (2, 2)
    embedding = tiny_sam.embed(image.plane)
    for click, ious in zip(comparison.clicks, comparison.ious, strict=True):
        number = comparison.truth[tuple(click.astype(int))]
        assert number in (1, 2)
        answer = tiny_sam.predict(embedding, Prompt(points=[click]))
        assert ious[0] == mask_iou(image.labels == number, answer.mask)


def test_viewer_options_limit_the_time(tiny_sam: Predictor) -> None:
    assert viewer_training_options(7.0, tiny_sam.prompt_support).minutes == 7.0


@pytest.mark.parametrize("family", ["tiny_sam", "tiny_lite"])
def test_viewer_options_use_supported_prompts(
    family: str, request: pytest.FixtureRequest
) -> None:
    predictor: Predictor = request.getfixturevalue(family)
    prompts = viewer_training_options(1.0, predictor.prompt_support).prompts
    assert set(prompts) == predictor.prompts & {"point", "box"}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 objects: too few"),
        (1, "1 object: too few"),
        (MIN_OBJECTS, f"{MIN_OBJECTS} objects: enough for a first trial"),
        (RECOMMENDED_OBJECTS, f"{RECOMMENDED_OBJECTS} objects: enough, if"),
    ],
)
def test_dataset_size_message(count: int, words: str) -> None:
    assert dataset_size_message(count).startswith(words)
