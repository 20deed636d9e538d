"""The optimiser: torch's numbers, without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import torch

from napari_sam.nets.adamw import AdamW

TRAIN = """
import sys
from benchmarks.robustness.fuzzing.models import network
from napari_sam.prediction.predictor import Predictor
from napari_sam.training.finetune import FineTuning
from tests.helpers.training import QUICK, discs

kinds = frozenset({"point", "box", "mask"})
predictor = Predictor(network(), name="a", family="sam", prompts=kinds, key="a")
for _ in FineTuning(predictor, discs(), QUICK).run():
    pass
compilers = ("torch._dynamo", "torch._inductor", "triton")
print([name for name in compilers if name in sys.modules])
"""


def test_steps_are_those_of_torch() -> None:
    start = [torch.randn(shape) for shape in ((4, 3), (5,), (2,))]
    ours, theirs = ([p.clone().requires_grad_() for p in start] for _ in range(2))
    own = AdamW(ours, 0.01)
    reference = torch.optim.AdamW(theirs, weight_decay=0.01)
    for number in range(6):
        own.learning_rate = reference.param_groups[0]["lr"] = 0.1 / (number + 1)
        gradients = [torch.randn(p.shape) for p in start]
        # The last weight never gets a gradient.
        for weights in (ours, theirs):
            for weight, gradient in zip(weights[:2], gradients, strict=False):
                weight.grad = gradient.clone()
        own.step()
        reference.step()
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
    assert set(own.tensors()) == {
        f"{number}.{entry}"
        for number in range(2)
        for entry in ("step", "exp_avg", "exp_avg_sq")
    }


def test_training_does_not_load_the_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
