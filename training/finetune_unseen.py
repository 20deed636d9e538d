"""Fine-tuning on eight images of an unseen kind, for ten minutes.

``python training/finetune_unseen.py`` fine-tunes the default model on eight images of
`rods`, which were not used for training, and measures the IoU on eight others.
``--model FILE`` starts from other weights, for instance those of
`make_point_decoder.py`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from evaluation import table
from synthetic_images import make_many

from napari_sam.prediction.loading import load_model
from napari_sam.training.finetune import FineTuning
from napari_sam.training.options import TrainingOptions

KIND, COUNT = ("rods",), 8
TRAIN_SEED, TEST_SEED = 0, 5000
OPTIONS = TrainingOptions(
    steps=10_000,
    augmentations=4,
    close_ups=0.5,
    validate_every=50,
    patience=6,
    instance_head=False,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lite_medsam")
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    predictor = load_model(arguments.model, device="cpu")
    images = make_many(KIND, COUNT, TRAIN_SEED)
    training = FineTuning(
        predictor, images, replace(OPTIONS, minutes=arguments.minutes)
    )
    start = time.monotonic()
    for progress in training.run():
        if progress.phase == "train" and progress.done % 50 == 0:
            print(f"step {progress.done}: {progress.scores}", flush=True)
    state = training.state
    print(
        f"{time.monotonic() - start:.0f} s with encoding, {state.step} steps on "
        f"{len(training.trained)} images, best after step {state.best_step}"
    )
    models = {"before": predictor, "after": training.predictor()}
    for line in table(models, make_many(KIND, COUNT, TEST_SEED)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
