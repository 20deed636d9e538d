"""Training of an instance head: learns, keeps the better one, can be stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_sam.training.data import training_images
from napari_sam.training.instances.head_training import (
    HeadOptions,
    InstanceHeadTraining,
)
from napari_sam.training.options import TrainingOptions
from tests.helpers.instances import disc_plane

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage


def planes(seed: int, brightness: int = 200) -> list[TrainingImage]:
    labels = disc_plane((64, 64), 5, (8, 10), seed)
    pixels = np.where(labels > 0, brightness, 40).astype(np.uint8)
    return training_images(pixels, labels, f"discs {seed}")


def training(tiny_head: Predictor, **options: float) -> InstanceHeadTraining:
    settings = {"steps": 80, "windows": 8, "learning_rate": 1e-2, **options}
    return InstanceHeadTraining(
        tiny_head, planes(0), planes(1), HeadOptions(**settings)
    )


def test_learns_to_find_labelled_objects(tiny_head: Predictor) -> None:
    run = training(tiny_head, all_labelled=True, steps=60)
    phases = [progress.phase for progress in run.run()]
    assert phases.count("everything") == 60
    assert run.is_better
    assert run.is_finished
    before, after = run.f1
    assert after > before + 0.5
    assert run.head is not tiny_head.instance_head


def test_the_head_of_the_model_stays(tiny_head: Predictor) -> None:
    before = {k: v.clone() for k, v in tiny_head.instance_head.state_dict().items()}
    for _ in training(tiny_head, steps=40).run():
        pass
    after = tiny_head.instance_head.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_head_that_is_not_better_is_dropped(tiny_head: Predictor) -> None:
    run = training(tiny_head, learning_rate=1e-12, steps=20)
    for _ in run.run():
        pass
    assert run.steps == 20
    assert not run.is_better
    assert run.head is tiny_head.instance_head
    assert run.f1[0] == run.f1[1]


def test_stopping_keeps_the_best_so_far(tiny_head: Predictor) -> None:
    run = training(tiny_head, steps=1000, all_labelled=True)
    for _ in run.run():
        if run.is_better:
            break
    assert 0 < run.best_step == run.steps < 1000
    assert not run.is_finished
    assert run.head is not tiny_head.instance_head


def test_stopping_before_the_first_step_keeps_the_head(tiny_head: Predictor) -> None:
    run = training(tiny_head)
    next(iter(run.run()))
    assert run.f1 is None
    assert run.head is tiny_head.instance_head


def test_the_time_ends_training(tiny_head: Predictor) -> None:
    run = training(tiny_head, steps=10**6, minutes=0.05)
    for _ in run.run():
        pass
    assert run.is_finished
    assert 0 < run.steps < 10**6


@pytest.mark.parametrize(
    "options",
    [{"instance_head": False}, {"encoder_blocks": 1}],
    ids=["not wanted", "another encoder"],
)
def test_heads_are_not_always_trained(
    tiny_head: Predictor, options: dict[str, int]
) -> None:
    arguments = tiny_head, planes(0), planes(1)
    run = InstanceHeadTraining.of(*arguments, TrainingOptions(**options))
    assert run is None
    assert InstanceHeadTraining.of(*arguments, TrainingOptions()) is not None


def test_models_without_a_head_train_none(tiny_lite: Predictor) -> None:
    arguments = tiny_lite, planes(0), planes(1), TrainingOptions()
    assert InstanceHeadTraining.of(*arguments) is None
