"""`napari-sam train`: fine-tune a model on labelled images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.cli.options import read_options
from napari_sam.cli.outputs import check_output_file
from napari_sam.cli.values import read_index
from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.finetune import FineTuning
    from napari_sam.training.options import TrainingProgress

_RUN_ENDING = ".run.safetensors"
_STEPS_PER_LINE = 25
# What a process that is killed loses at most.
_SECONDS_PER_STATE = 60.0


def train(
    options: argparse.Namespace,
    load: Callable[[], Predictor],
    on_notes: Callable[[Sequence[str]], object],
) -> Iterator[str]:
    """Train, write the best model, and yield lines to print.

    The run is written each minute, for --resume; when training is interrupted, the run
    and its best model are.

    Parameters
    ----------
    options : argparse.Namespace
        The parsed command line.
    load : callable
        Loads the model; called once the images have been checked.
    on_notes : callable
        Gets sentences about what the files hold beyond what is used.

    Raises
    ------
    ValueError, OSError
        When images, options or output cannot be used; before training starts.
    """
    output = _output(options)
    kinds = tuple(filter(None, options.prompts.split(",")))
    settings = read_options(TrainingOptions, options, prompts=kinds)

    from napari_sam.training.data import read_training_images, summarise
    from napari_sam.training.finetune import FineTuning
    from napari_sam.training.saving import check_output

    images = read_training_images(
        options.images,
        options.labels,
        read_index(options.index),
        axis=options.axis,
        series=options.series,
        axes=options.axes,
        on_notes=on_notes,
    )
    summary = summarise(images)
    yield f"{summary['objects']} objects on {summary['planes']} planes"
    predictor = load()
    check_output(predictor.model, output)
    training = FineTuning(predictor, images, settings)
    run = output.with_name(output.name + _RUN_ENDING)
    if options.resume:
        training.resume(run)
        yield f"resumed after step {training.state.step}"
    written = time.monotonic()
    try:
        for progress in training.run():
            line = _progress_line(progress)
            if line is not None:
                yield line
            if time.monotonic() - written >= _SECONDS_PER_STATE:
                training.write(run)
                written = time.monotonic()
    finally:
        # The model first, as it is what counts if the disk gets full.
        if training.state.history:
            training.save(output, licence=options.licence)
        if not training.is_finished:
            training.write(run)
    run.unlink(missing_ok=True)
    yield from _result_lines(training)
    yield f"wrote {output}"


def _output(options: argparse.Namespace) -> Path:
    """Return the output, after checking that it can be written."""
    path = Path(options.output)
    check_output_file("--output", path, options.overwrite or options.resume)
    return path


def _progress_line(progress: TrainingProgress) -> str | None:
    """Return a line for every 25th image or step and the last one, otherwise None."""
    done, total = progress.done, progress.total
    if progress.phase == "validate" or (done % _STEPS_PER_LINE and done != total):
        return None
    if progress.phase == "encode":
        return f"encoded {done} of {total} images and their flips and turns"
    left = progress.seconds_left
    scores = "".join(f", {kind} {iou:.3f}" for kind, iou in progress.scores.items())
    estimate = f", about {left:.0f} s left" if left else ""
    return f"step {done} of {total}: loss {progress.loss:.3f}{scores}{estimate}"


def _result_lines(training: FineTuning) -> Iterator[str]:
    state = training.state
    after = dict(state.history)[state.best_step]
    yield f"best after step {state.best_step}; IoU on the held-out images:"
    for kind, before in state.start_scores.items():
        yield f"    {kind}: {before:.3f} before, {after[kind]:.3f} after"
    f1 = None if training.head_training is None else training.head_training.f1
    if f1 is not None:
        yield f"    everything (F1): {f1[0]:.3f} before, {f1[1]:.3f} after"
