"""Training asked for as plain data: one plane is enough, and nothing gained is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

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
def hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too slow to learn anything, and over soon."""
    still = replace(QUICK, learning_rate=1e-12, steps=3)
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: still
    )


def run_to_end(request: TrainingRequest, predictor: Predictor, stop: int = 10**6):
    seen = []
    work = request.run(predictor, lambda: len(seen) >= stop)
    while True:
        try:
            seen.append(next(work))
        except StopIteration as end:
            return end.value, seen


@pytest.mark.usefixtures("hopeless")
def test_one_plane_is_learned_from_in_halves(
    tiny_sam: Predictor, tmp_path: Path
) -> None:
    (image,) = discs(1)
    request = ask(tmp_path / "new" / "a.safetensors", image.plane, image.labels)
    trained, seen = run_to_end(request, tiny_sam)
    assert trained.steps == 3
    assert trained.comparison is not None
    assert trained.comparison.plane.shape == (48, 32)
    assert {progress.phase for progress in seen} == {"encode", "validate", "train"}


@pytest.mark.usefixtures("hopeless")
def test_stopped_before_a_measurement_there_is_nothing_to_compare(
    tiny_sam: Predictor, tmp_path: Path
) -> None:
    (image,) = discs(1)
    output = tmp_path / "a.safetensors"
    trained, seen = run_to_end(ask(output, image.plane, image.labels), tiny_sam, stop=1)
    assert len(seen) == 1
    assert (trained.path, trained.comparison, trained.steps) == (None, None, 0)
    assert not output.exists()


def test_a_comparison_shows_the_largest_objects(tiny_sam: Predictor) -> None:
    (image,) = discs(1)
    labels = image.labels.copy()
    labels[:2, :2] = 9
    (image,) = training_images(image.plane, labels, "cells")
    found = compare_models(tiny_sam, tiny_sam, image, max_objects=2)
    assert set(np.unique(found.truth)) == {0, 1, 2}
    np.testing.assert_array_equal(found.before, found.after)
    assert found.ious.shape == (2, 2)
    embedding = tiny_sam.embed(image.plane)
    for click, ious in zip(found.clicks, found.ious, strict=True):
        number = found.truth[tuple(click.astype(int))]
        assert number in (1, 2)
        answer = tiny_sam.predict(embedding, Prompt(points=[click]))
        assert ious[0] == mask_iou(image.labels == number, answer.mask)


def test_the_clock_ends_it(tiny_sam: Predictor) -> None:
    assert viewer_training_options(7.0, tiny_sam.prompt_support).minutes == 7.0


@pytest.mark.parametrize("family", ["tiny_sam", "tiny_lite"])
def test_only_what_the_model_answers_is_practised(
    family: str, request: pytest.FixtureRequest
) -> None:
    predictor: Predictor = request.getfixturevalue(family)
    practised = viewer_training_options(1.0, predictor.prompt_support).prompts
    assert set(practised) == predictor.prompts & {"point", "box"}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 objects: too few"),
        (1, "1 object: too few"),
        (MIN_OBJECTS, f"{MIN_OBJECTS} objects: enough for a first trial"),
        (RECOMMENDED_OBJECTS, f"{RECOMMENDED_OBJECTS} objects: enough, if"),
    ],
)
def test_how_many_are_enough(count: int, words: str) -> None:
    assert dataset_size_message(count).startswith(words)
