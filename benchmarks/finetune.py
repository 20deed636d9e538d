"""Seconds a training step takes, with encoded images and with the encoder in the loop.

Run ``python benchmarks/finetune.py``; it takes about a minute on two CPU cores. All
runs start from the real default weights and see the same images, as often.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from napari_sam.finetune import FineTuning
from napari_sam.loading import load_model
from napari_sam.samples import coin_labels, coins
from napari_sam.training_data import training_images
from napari_sam.training_options import TrainingOptions

STEPS = 4
# The first step allocates memory.
SKIPPED = 1
OPTIONS = TrainingOptions(
    steps=10_000, views=1, validate_every=10_000, validation_objects=1
)


def seconds_a_step(training: FineTuning) -> float:
    """Return the median time of a step."""
    times, started = [], time.perf_counter()
    for progress in training.run():
        now = time.perf_counter()
        if progress.phase == "train":
            times.append(now - started)
        started = now
        if len(times) == STEPS + SKIPPED:
            break
    return float(np.median(times[SKIPPED:]))


def main() -> None:
    predictor = load_model("lite_medsam")
    image, labels = coins(), coin_labels()
    half = image.shape[1] // 2
    images = training_images(image[:, :half], labels[:, :half], "left")
    images += training_images(image[:, half:], labels[:, half:], "right")
    found = {}
    for name, change in (
        ("encoded images", {}),
        ("encoded, close-ups", {"close_ups": 1.0}),
        ("encoder in the loop", {"encoder_blocks": 1}),
    ):
        options = replace(OPTIONS, **change)
        found[name] = seconds_a_step(FineTuning(predictor, images, options))
        print(f"{name:<24}{found[name]:8.3f} s a step", flush=True)
    *kept, looped = found.items()
    for name, seconds in kept:
        print(f"{name:<24}{looped[1] / seconds:8.1f} times as fast")


if __name__ == "__main__":
    main()
