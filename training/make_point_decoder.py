"""Training of the click decoder for LiteMedSAM; can be interrupted and resumed.

``python training/make_point_decoder.py --folder run`` makes the data, encodes it,
trains, evaluates, and writes weights, curves and a model card into the folder. Run the
same command again to resume. ``--minutes 60`` stops after that time; ``--finish`` uses
the best model so far. ``--quick`` runs all steps on a few images, as a test.
``--further`` starts from the shipped click decoder and adds windows with small objects.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from evaluation import coin_images, table
from object_looks import make_plane
from packaged_images import IMAGES
from synthetic_images import KINDS, MIXTURE, make_many
from teacher import crop, teach

from napari_sam.checkpoints.registry import MODELS
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.training.data import summarise, training_images
from napari_sam.training.finetune import FineTuning
from napari_sam.training.options import TrainingOptions
from napari_sam.training.saving import official_state, write_tensors

if TYPE_CHECKING:
    from napari_sam.training.data import TrainingImage
    from napari_sam.training.options import Start

LICENCE = "Apache-2.0"
PARENT = "lite_medsam"
# Seeds of the synthetic images: ranges that never meet.
TRAIN_SEED, VALIDATE_SEED, TEST_SEED = 0, 1_000_000, 2_000_000
SAVE_EVERY = 50
# Sides of windows, and diameters of their objects in the network's input.
WINDOWS, INPUT = (64, 91, 128, 181), 256
SEEN = (12.0, 80.0)
LARGEST_CACHE = 40 * 2**30


@dataclass(frozen=True)
class Amounts:
    """Amounts of data and training."""

    synthetic: int = 168
    crops: int = 66
    validate: int = 18
    test: int = 27
    test_crops: int = 9
    objects: int = 4  # of each test image
    small: int = 0  # windows with small objects; a tenth of them to validate
    steps: int = 6000
    minutes: float | None = 45.0
    validate_every: int = 250
    coins: bool = True
    learning_rate: float = 2e-4


FULL = Amounts()
FURTHER = Amounts(synthetic=81, crops=33, small=300, minutes=35.0, learning_rate=1e-4)
QUICK = Amounts(9, 4, 3, 3, 2, 1, 8, None, 4, coins=False)

# Mostly clicks; boxes too, so that their masks do not become worse.
FIRST_PROMPTS: tuple[Start, ...] = ("click", "click", "click", "clicks", "box", "box")


class TimeOver(Exception):
    """The given time is over."""


class Clock:
    """Raises TimeOver once the given minutes are over."""

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def check(self) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise TimeOver


def published() -> Predictor:
    """Load LiteMedSAM as published, without a click decoder."""
    loaded = load_model(PARENT, device="cpu")
    return Predictor(
        loaded.model,
        name=loaded.name,
        family=loaded.family,
        prompts=loaded.prompts,
        key=MODELS[PARENT].hash,
    )


def shipped() -> Predictor:
    """Load LiteMedSAM with its click decoder."""
    return load_model(PARENT, device="cpu")


def with_clicks(predictor: Predictor, training: FineTuning) -> Predictor:
    """Return the published model with the trained click decoder, as shipped."""
    return Predictor(
        predictor.model,
        name=predictor.name,
        family=predictor.family,
        prompts=predictor.prompts,
        key=f"{predictor.key}, clicks {training.state.best_step}",
        click_decoder=training.best_model(),
        instance_head=predictor.instance_head,
    )


# -- data ----------------------------------------------------------------------


def small_objects(count: int, seed: int) -> list[TrainingImage]:
    """Make windows as the zoom cuts them for small objects: pixels are enlarged."""
    images: list[TrainingImage] = []
    for number in range(count):
        rng = np.random.default_rng([23, seed + number])
        side = int(rng.choice(WINDOWS))
        low, high = (size * side / INPUT for size in SEEN)
        plane, labels = make_plane(seed + number, side, (max(low, 4.5), high))
        images += training_images(plane, labels, f"small objects {number}")
    return images


def real_crops(
    predictor: Predictor, folder: Path, count: int, held_out: bool, clock: Clock
) -> list[TrainingImage]:
    """Make crops of packaged images with pseudo-labels, kept in the folder."""
    sources = [image for image in IMAGES if image.held_out == held_out]
    images: list[TrainingImage] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        clock.check()
        source = sources[number % len(sources)]
        file = folder / f"{source.name}-{number}.npz"
        if not file.is_file():
            rng = np.random.default_rng([int(held_out), number])
            plane = crop(source.read(), rng)
            taught = teach(predictor, plane, source.name, rng)
            labels = np.array([image.labels for image in taught])
            part = file.with_suffix(".part.npz")
            np.savez_compressed(part, plane=plane, labels=labels)
            part.replace(file)
        with np.load(file) as stored:
            for layer in stored["labels"]:
                name = f"{source.name} {number}"
                images += training_images(stored["plane"], layer, name)
        if number % 50 == 49:
            print(f"teacher: {number + 1} of {count} crops", flush=True)
    return images


# -- training ------------------------------------------------------------------


def prepare(
    teacher: Predictor, start: Predictor, folder: Path, amounts: Amounts, clock: Clock
) -> FineTuning:
    """Make the data and the training run, and resume it if it was interrupted."""
    images = make_many(MIXTURE, amounts.synthetic, TRAIN_SEED)
    images += real_crops(teacher, folder / "crops", amounts.crops, False, clock)
    images += small_objects(amounts.small, TRAIN_SEED)
    held_out = make_many(tuple(KINDS), amounts.validate, VALIDATE_SEED)
    held_out += small_objects(amounts.small // 10, VALIDATE_SEED)
    options = TrainingOptions(
        steps=amounts.steps,
        minutes=amounts.minutes,
        objects=6,
        box_jitter=5.0,
        first_prompts=FIRST_PROMPTS,
        close_ups=0.8,
        validate_every=amounts.validate_every,
        augmentations=1,  # more images cost less than more augmentations of a few
        patience=100,
        validation_objects=2 * len(held_out),
        instance_head=False,
        learning_rate=amounts.learning_rate,
    )
    disk = DiskCache(folder / "embeddings", LARGEST_CACHE)
    training = FineTuning(start, images, options, held_out=held_out, disk=disk)
    run = folder / "run.safetensors"
    if run.is_file():
        training.resume(run)
        print(f"resumed after step {training.state.step}", flush=True)
    print(summarise([*training.trained, *training.held_out]), flush=True)
    return training


def train(training: FineTuning, folder: Path, clock: Clock) -> None:
    """Train, and save the run regularly."""
    run, validated = folder / "run.safetensors", len(training.state.history)
    for progress in training.run():
        state = training.state
        if progress.phase == "train" and progress.done % SAVE_EVERY == 0:
            training.write(run)
        if progress.phase == "encode" and progress.done % SAVE_EVERY == 0:
            print(f"encoded {progress.done} of {progress.total}", flush=True)
        if len(state.history) > validated:
            validated = len(state.history)
            left = progress.seconds_left or 0
            line = _validation_line(training)
            print(f"{line}, about {left:.0f} s left", flush=True)
        try:
            clock.check()
        except TimeOver:
            training.write(run)
            raise
    print(_validation_line(training), flush=True)
    training.write(run)


def _validation_line(training: FineTuning) -> str:
    """Describe the last validation."""
    state = training.state
    scores = ", ".join(f"{kind} {iou:.3f}" for kind, iou in state.scores.items())
    loss = np.mean(state.losses[-100:]) if state.losses else np.nan
    return (
        f"step {state.validated_at}: loss {loss:.3f}, {scores}; best {state.best:.3f} "
        f"after step {state.best_step}"
    )


def write_curves(training: FineTuning, folder: Path) -> None:
    """Write the loss of every step and the scores of every validation as CSV."""
    state = training.state
    history = dict(state.history)
    kinds = list(state.start_scores)
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["step", "loss", *kinds])
        for step in range(state.step + 1):
            loss = state.losses[step - 1] if step else ""
            scores = history.get(step, {})
            rows.writerow([step, loss, *(scores.get(kind, "") for kind in kinds)])


def write_weights(training: FineTuning, folder: Path) -> None:
    """Write the whole model, and the trained parts alone in half precision."""
    training.save(folder / "lite_medsam_points.safetensors", licence=LICENCE)
    trained = {
        key: value.half()
        for key, value in official_state(training.best_model()).items()
        if not key.startswith("image_encoder.")
    }
    card = training.card(LICENCE).to_metadata()
    path = folder / "lite_medsam_clicks.safetensors"
    write_tensors(path, trained, card)
    print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


# -- results -------------------------------------------------------------------


def evaluate(
    models: dict[str, Predictor], teacher: Predictor, folder: Path, amounts: Amounts
) -> list[str]:
    """Make and print the table of results; measurements are kept in the folder."""
    images = make_many(tuple(KINDS), amounts.test, TEST_SEED)
    images += real_crops(
        teacher, folder / "test_crops", amounts.test_crops, True, Clock(None)
    )
    measured = folder / "measured"
    lines = []
    for line in table(models, images, amounts.objects, measured):
        print(line, flush=True)
        lines.append(line)
    if amounts.coins:
        for line in list(table(models, coin_images(), 99, measured))[2:]:
            print(line, flush=True)
            lines.append(line)
    return lines


def write_card(training: FineTuning, folder: Path, lines: list[str]) -> None:
    """Write the model card: data, results and limits."""
    card = training.card(LICENCE)
    listed = "\n".join(
        f"- {image.name}: {image.licence}{', for evaluation only' * image.held_out}"
        for image in IMAGES
    )
    text = f"""# LiteMedSAM, decoder for clicks

LiteMedSAM's image encoder as published ({card.licence}), with prompt encoder and
mask decoder trained by `training/make_point_decoder.py` for single clicks, several
clicks with negatives, and boxes. Parent: `{card.parent}`.
Best after step {card.training["best_step"]}.

## Data

{card.data["planes"]} planes, {card.data["objects"]} objects: synthetic images with
exact labels ({", ".join(KINDS)}), windows with small objects of the generator of the
instance head (in training with `--further`), and crops of images of scikit-image. The
labels of the crops are masks that LiteMedSAM gives for boxes, where they are
consistent:

{listed}

## Results

Mean intersection over union (IoU); the last column is the time of a centre click in
seconds. *Search over boxes* is the published LiteMedSAM; *decoder alone* is the trained
click decoder; *decoder, then boxes* is the model as shipped: the mask of a single click
is refined by the boxes around the masks of the click decoder, and the published decoder
answers boxes.

{chr(10).join(lines)}

## Limits

The image encoder scales a plane to 256 pixels a side: crop large planes to segment
small objects. Synthetic images are simpler than real ones, and the evaluation has few
real objects. The labels of the real crops are masks of the parent model, so their rows
show how well clicks agree with boxes, not with an expert. A single click on nested
objects, on a grain of a texture or on a thin branch often segments something else: add
a click, or draw a box.
"""
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("point_decoder"))
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--quick", action="store_true", help="use a few images only")
    parser.add_argument(
        "--finish", action="store_true", help="finish with the best model so far"
    )
    parser.add_argument(
        "--before",
        action="store_true",
        help="evaluate the published model only, to save time later",
    )
    parser.add_argument(
        "--further", action="store_true", help="train the shipped decoder further"
    )
    arguments = parser.parse_args()
    folder, amounts = arguments.folder, FURTHER if arguments.further else FULL
    if arguments.quick:
        amounts = QUICK
    folder.mkdir(parents=True, exist_ok=True)
    predictor = published()
    print(f"{torch.get_num_threads()} threads", flush=True)
    models = {"search over boxes": predictor}
    if arguments.before:
        evaluate(models, predictor, folder, amounts)
        return 0
    clock = Clock(arguments.minutes)
    try:
        start = shipped() if arguments.further else predictor
        training = prepare(predictor, start, folder, amounts, clock)
        if not arguments.finish:
            train(training, folder, clock)
    except TimeOver:
        print("stopped; run the same command again to resume", flush=True)
        return 0
    write_curves(training, folder)
    write_weights(training, folder)
    models["decoder alone"] = training.predictor()
    models["decoder, then boxes"] = with_clicks(predictor, training)
    write_card(training, folder, evaluate(models, predictor, folder, amounts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
