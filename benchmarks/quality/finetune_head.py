"""Fine-tuning of the instance head on twenty objects of an unseen kind.

Run ``python -m benchmarks.quality.finetune_head [NAME] [--minutes 3] [--steps N]``;
NAME is part of the name of a kind. On one plane of 60 objects 20 have labels; half of
the plane is held out, as in the training panel. The F1 score of *Everything* at an IoU
of 0.5 is that of other planes, of the same kind and of fluorescence nuclei, before and
after. ``--steps`` ends training by steps instead of minutes, on a busy machine.

Constants of the training were chosen on `granular` and other seeds. The objects of
`rosettes` and `doublets` were used for the report only.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.everything import Runner
from benchmarks.quality.everything_kinds import KINDS
from benchmarks.quality.unseen_kinds import UNSEEN
from napari_sam.automatic.search import SearchOptions
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.training.data import split_plane, training_images
from napari_sam.training.instances.head_training import (
    HeadOptions,
    InstanceHeadTraining,
)

if TYPE_CHECKING:
    from benchmarks.quality.everything_kinds import Kind
    from napari_sam.nets.instance_head import InstanceHead

OBJECTS = 20
TRAIN_SEED, TEST_SEED = 500, 600
ANOTHER_KIND = KINDS[0]


def labelled(kind: Kind) -> list:
    """Return the halves of a plane on which some objects have labels."""
    image, truth = kind.make(TRAIN_SEED)
    rng = np.random.default_rng(TRAIN_SEED)
    chosen = rng.permutation(np.arange(1, truth.max() + 1))[:OBJECTS]
    labels = np.where(np.isin(truth, chosen), truth, 0)
    return split_plane(training_images(image, labels, kind.name)[0])


def with_head(predictor: Predictor, head: InstanceHead) -> Predictor:
    """Return a predictor with another instance head."""
    return Predictor(
        predictor.model,
        name=predictor.name,
        family=predictor.family,
        prompts=predictor.prompts,
        key="tuned",
        instance_head=head,
    )


def f1(predictor: Predictor, kind: Kind, planes: int) -> float:
    """Return the F1 score of Everything on planes of a kind, all objects together."""
    runner, found, total = Runner(predictor), 0, 0
    for seed in range(TEST_SEED, TEST_SEED + planes):
        row, _ = runner.run(*kind.make(seed), SearchOptions())
        found += row.found
        total += row.objects + row.labels
    return 2 * found / total


def main() -> None:
    """Train on each kind, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--windows", type=int, default=HeadOptions().windows)
    parser.add_argument("--planes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.steps is None:
        options = HeadOptions(10**6, arguments.minutes, arguments.windows)
    else:
        options = HeadOptions(arguments.steps, None, arguments.windows)
    parent, planes = load_model("lite_medsam"), arguments.planes
    print("F1 before and after; held-out F1; best of the steps, windows, seconds")
    print(f"| kind | F1 | held out | {ANOTHER_KIND.name} | training |")
    print("|---|---|---|---|---|")
    another = f1(parent, ANOTHER_KIND, planes)
    for kind in UNSEEN:
        if arguments.name not in kind.name:
            continue
        train, held_out = labelled(kind)
        run = InstanceHeadTraining(parent, [train], [held_out], options)
        start = time.perf_counter()
        windows = sum(progress.phase == "encode" for progress in run.run())
        seconds = time.perf_counter() - start
        tuned = with_head(parent, run.head)
        cells = [
            f"{f1(parent, kind, planes):.2f}, {f1(tuned, kind, planes):.2f}",
            ", ".join(f"{score:.2f}" for score in run.f1 or ()),
            f"{another:.2f}, {f1(tuned, ANOTHER_KIND, planes):.2f}",
            f"{run.best_step} of {run.steps}, {windows}, {seconds:.0f} s",
        ]
        print(f"| {kind.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
