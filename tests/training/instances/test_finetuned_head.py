"""Fine-tuning of a model with an instance head: both parts, one file."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest
import torch

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.prediction.loading import load_model
from napari_sam.training.finetune import FineTuning
from napari_sam.training.instances.scores import HeadScore
from napari_sam.training.request import TrainingRequest
from tests.helpers.training import QUICK, discs

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.prediction.predictor import Predictor

# The decoder stays as it is.
STILL = replace(QUICK, learning_rate=1e-12, steps=1, prompts=("box",), head_steps=2)


@pytest.fixture
def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each head a higher score than the one before."""
    numbers = count(1)
    monkeypatch.setattr(
        "napari_sam.training.instances.head_training.score_head",
        lambda *_: HeadScore(next(numbers) / 10, 0.9),
    )


def fine_tuned(tiny_head: Predictor) -> FineTuning:
    training = FineTuning(tiny_head, discs(), STILL)
    phases = [progress.phase for progress in training.run()]
    assert phases[-1] == "everything"
    return training


def is_same(one: InstanceHead, other: InstanceHead) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.usefixtures("always_better")
def test_a_trained_head_comes_back_from_the_file(
    tiny_head: Predictor, tmp_path: Path
) -> None:
    training = fine_tuned(tiny_head)
    path = training.save(tmp_path / "cells.safetensors")
    loaded = load_model(path)
    assert not is_same(loaded.instance_head, tiny_head.instance_head)
    assert is_same(loaded.instance_head, training.predictor().instance_head)
    assert loaded.prompt_support.instance_head


@pytest.mark.usefixtures("always_better")
def test_the_card_tells_of_the_head(tiny_head: Predictor, tmp_path: Path) -> None:
    path = fine_tuned(tiny_head).save(tmp_path / "cells.safetensors")
    card = ModelCard.read(path)
    assert card.instance_head
    summary = card.training["instance_head"]
    assert summary["best_step"] == 2
    assert summary["start"]["f1"] < summary["best"]["f1"]


def test_without_improvement_the_file_has_the_head_of_the_parent(
    tiny_head: Predictor, tmp_path: Path
) -> None:
    training = fine_tuned(tiny_head)
    assert not training.head_training.is_better
    loaded = load_model(training.save(tmp_path / "cells.safetensors"))
    assert is_same(loaded.instance_head, tiny_head.instance_head)


def test_state_dicts_have_no_head(tiny_head: Predictor, tmp_path: Path) -> None:
    path = fine_tuned(tiny_head).save(tmp_path / "cells.pth")
    assert load_model(path, family="lite_medsam").instance_head is None


@pytest.mark.usefixtures("always_better")
def test_a_better_head_alone_makes_a_new_model(
    tiny_head: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "napari_sam.training.request.viewer_training_options", lambda *_: STILL
    )
    (image,) = discs(1)
    request = TrainingRequest(
        image.plane, image.labels, "cells", (0, 255), 1.0, tmp_path / "a.safetensors"
    )
    work = request.run(tiny_head, lambda: False)
    with pytest.raises(StopIteration) as end:
        while True:
            next(work)
    result = end.value.value
    assert result.path is not None
    assert result.everything == (0.1, 0.2)
