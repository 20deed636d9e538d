"""`napari-sam train`: labelled images in, a fine-tuned model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.finetune import FineTuning
    from napari_sam.training.options import TrainingProgress

EXAMPLE = "napari-sam train images/ labels/ --output cells.safetensors"
_DEFAULTS = TrainingOptions()
_RUN = ".run.safetensors"
_EVERY = 25


def add_train_options(train: argparse.ArgumentParser) -> None:
    """Add what `train` takes besides the model."""
    train.add_argument(
        "images", help="a TIFF file, plane or stack, or a folder of them"
    )
    train.add_argument(
        "labels",
        help="labels of the same shape, or a folder with files of the same names or "
        "with _labels or _masks after them",
    )
    train.add_argument(
        "-o",
        "--output",
        required=True,
        help=".safetensors (says itself how to be loaded), .pth, or a folder in "
        "Hugging Face layout",
    )
    train.add_argument(
        "--overwrite", action="store_true", help="replace files that exist"
    )
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run beside OUTPUT, which is left when training is broken "
        "off",
    )
    train.add_argument(
        "--prompts",
        default=",".join(_DEFAULTS.prompts),
        metavar="KIND,...",
        help="what is practised: point, box, mask (default: point,box)",
    )
    for name, kind, words in (
        ("steps", int, "most steps"),
        ("objects", int, "objects of an image in each step"),
        ("learning-rate", float, "highest learning rate"),
        (
            "augmentations",
            int,
            "flips and quarter turns to train on, 1 to 8",
        ),
        ("encoder-blocks", int, "last blocks of the encoder that are trained, slow"),
        ("held-out", float, "fraction of the images held out for validation"),
        ("validate-every", int, "steps between measurements"),
        ("seed", int, "of all chance"),
    ):
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        train.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar="N" if kind is int else "X",
            help=f"{words} (default: {default})",
        )
    train.add_argument(
        "--licence", help="of the new weights (default: that of the model)"
    )


def train(
    options: argparse.Namespace,
    index: dict[str, int],
    load: Callable[[], Predictor],
) -> Iterator[str]:
    """Train and write the best model; yields lines to print.

    A run that is broken off is kept beside the output, and so is its best model.

    Raises
    ------
    ValueError, OSError
        When data, options or output cannot be used; before the work begins.
    """
    output = _output(options)
    wanted = _wanted(options)

    from napari_sam.training.data import read_training_images, summarise
    from napari_sam.training.finetune import FineTuning
    from napari_sam.training.saving import check_output

    images = read_training_images(options.images, options.labels, index)
    found = summarise(images)
    yield f"{found['objects']} objects on {found['planes']} planes"
    predictor = load()
    check_output(predictor.model, output)
    training = FineTuning(predictor, images, wanted)
    run = output.with_name(output.name + _RUN)
    if options.resume:
        training.resume(run)
        yield f"going on after step {training.state.step}"
    try:
        for progress in training.run():
            line = _line(progress)
            if line is not None:
                yield line
    finally:
        if not training.is_finished:
            training.write(run)
        if training.state.history:
            training.save(output, licence=options.licence)
    run.unlink(missing_ok=True)
    yield from _gains(training)
    yield f"wrote {output}"


def _wanted(options: argparse.Namespace) -> TrainingOptions:
    names = ["steps", "objects", "learning_rate", "augmentations", "encoder_blocks"]
    names += ["held_out", "validate_every", "seed"]
    given: dict[str, Any] = {name: getattr(options, name) for name in names}
    given["prompts"] = tuple(filter(None, options.prompts.split(",")))
    return TrainingOptions(**given)


def _output(options: argparse.Namespace) -> Path:
    """Refuse an output before the work rather than after it."""
    path = Path(options.output)
    if not path.parent.is_dir():
        raise ValueError(f"The folder {path.parent} does not exist: make it first.")
    if path.exists() and not (options.overwrite or options.resume):
        raise ValueError(
            f"{path} exists: name another file with --output, or give --overwrite."
        )
    return path


def _line(progress: TrainingProgress) -> str | None:
    """One line for some of the progress: now and then, and each measurement."""
    done, total = progress.done, progress.total
    if progress.phase == "encode" and (done % _EVERY == 0 or done == total):
        return f"encoded {done} of {total} views"
    if progress.phase != "train" or (done % _EVERY and done != total):
        return None
    left = f", {progress.seconds_left:.0f} s left" if progress.seconds_left else ""
    scores = "".join(f", {kind} {iou:.3f}" for kind, iou in progress.scores.items())
    return f"step {done} of {total}: loss {progress.loss:.3f}{scores}{left}"


def _gains(training: FineTuning) -> Iterator[str]:
    state = training.state
    after = dict(state.history)[state.best_step]
    yield f"best after step {state.best_step}; IoU on what was held back:"
    for kind, before in state.start_scores.items():
        yield f"    {kind}: {before:.3f} before, {after[kind]:.3f} after"
