"""Seconds of a training step, with encoded images and with the encoder in the loop.

Run ``python -m benchmarks.speed.finetune``; it takes about ten minutes on two CPU
cores. All runs of a model start from the same weights and use the same images equally
often: LiteMedSAM's real weights, and random ones of SAM ViT-B, whose encoder is far
larger. In the loop the complete encoder is trained.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from napari_sam.nets.config import SamConfig
from napari_sam.nets.sam import SamNetwork
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.samples import coin_labels, coins
from napari_sam.training.data import training_images
from napari_sam.training.finetune import FineTuning
from napari_sam.training.options import TrainingOptions

STEPS = 4
# The first step allocates memory.
SKIPPED = 1
# All blocks of both encoders.
BLOCKS = 12
OPTIONS = TrainingOptions(
    steps=10_000,
    augmentations=1,
    validate_every=10_000,
    validation_objects=1,
    instance_head=False,
)


def seconds_a_step(training: FineTuning, steps: int) -> float:
    """Return the median time of a step."""
    times, started = [], time.perf_counter()
    for progress in training.run():
        now = time.perf_counter()
        if progress.phase == "train":
            times.append(now - started)
        started = now
        if len(times) == steps + SKIPPED:
            break
    return float(np.median(times[SKIPPED:]))


def vit_b() -> Predictor:
    """Return SAM's ViT-B with random weights."""
    torch.manual_seed(0)
    return Predictor(
        SamNetwork(SamConfig()).eval().requires_grad_(False),
        name="ViT-B, random",
        family="sam",
        prompts=frozenset({"point", "box", "mask"}),
        key="random",
    )


def measure(predictor: Predictor) -> None:
    """Print the time of a step for each kind of training."""
    image, labels = coins(), coin_labels()
    half = image.shape[1] // 2
    images = training_images(image[:, :half], labels[:, :half], "left")
    images += training_images(image[:, half:], labels[:, half:], "right")
    ways = {
        "encoded images": {},
        "encoded, close-ups": {"close_ups": 1.0},
        "encoder in the loop": {"encoder_blocks": BLOCKS},
    }
    found = {}
    for name, change in ways.items():
        options = replace(OPTIONS, **change)
        training = FineTuning(predictor, images, options)
        found[name] = seconds_a_step(training, 1 if "loop" in name else STEPS)
        print(f"{predictor.name:<16}{name:<22}{found[name]:8.3f} s a step", flush=True)
    *kept, (_, looped) = found.items()
    for name, seconds in kept:
        times = looped / seconds
        print(f"{predictor.name:<16}{name:<22}{times:8.1f} times as fast", flush=True)


def main() -> None:
    measure(load_model("lite_medsam"))
    measure(vit_b())


if __name__ == "__main__":
    main()
