"""Training on an image and its labels as plain data: no viewer, any thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.morphology import innermost
from napari_sam.masks.patch import mask_iou
from napari_sam.prompts.prompt import Prompt
from napari_sam.training.data import split_plane, training_images
from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.checkpoints.prompt_support import PromptKind, PromptSupport
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage
    from napari_sam.training.options import TrainingProgress

MIN_OBJECTS, RECOMMENDED_OBJECTS = 8, 30
"""Numbers of objects for a first trial and for reliable results."""

_COMPARED_OBJECTS = 6
# The minutes end training, not the steps.
# What is lost at most when napari is killed.
_SECONDS_PER_SAVE = 60.0
_MAX_STEPS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class BeforeAfterComparison:
    """Masks of one click in the middle of each object, before and after training.

    Parameters
    ----------
    plane : ndarray
        (H, W) or (H, W, 3) uint8, a held-out image.
    truth, before, after : ndarray
        (H, W) labels: of the user, and of the model before and after training.
    clicks : ndarray
        (N, 2) as (row, col).
    ious : ndarray
        (N, 2) IoU of each object, before and after.
    """

    plane: NDArray[np.uint8]
    truth: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    clicks: NDArray[np.float64]
    ious: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """Result of a training run.

    Parameters
    ----------
    path : Path or None
        File of the best model; None when training did not improve the model.
    steps : int
        Number of completed steps.
    start, best : mapping
        {kind of first prompt: IoU on the held-out images}, before training and of the
        best model.
    comparison : BeforeAfterComparison or None
        None when training was stopped before the first validation.
    everything : tuple of float or None
        F1 score of the held-out objects that the instance head finds, before training
        and of the best one; None when it was not trained.
    """

    path: Path | None
    steps: int
    start: Mapping[str, float]
    best: Mapping[str, float]
    comparison: BeforeAfterComparison | None
    everything: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRequest:
    """Training on one image and its labels.

    Parameters
    ----------
    image : array-like
        (H, W), (H, W, 3), (Z, H, W) or (Z, H, W, 3).
    labels : array-like
        (H, W) or (Z, H, W).
    name : str
        Name of the labels, for messages.
    contrast_limits : tuple of float, optional
        Contrast limits of the image, as displayed.
    minutes : float
        Training time, without the time to encode the images.
    output : Path
        File for the best model; its folder is made.
    all_labelled : bool
        See `TrainingOptions`.
    """

    image: Any
    labels: Any
    name: str
    contrast_limits: ArrayLike | None
    minutes: float
    output: Path
    all_labelled: bool = False

    def run(
        self, predictor: Predictor, is_stopped: Callable[[], bool]
    ) -> Generator[TrainingProgress, None, TrainingResult]:
        """Train until the time is over, nothing improves, or `is_stopped`.

        Raises
        ------
        ValueError
            When image and labels cannot be used for training.
        OSError
            When the model cannot be written.
        """
        from napari_sam.training.finetune import FineTuning

        images = training_images(
            self.image, self.labels, self.name, contrast_limits=self.contrast_limits
        )
        if len(images) == 1:
            images = split_plane(images[0])
        options = viewer_training_options(self.minutes, predictor.prompt_support)
        options = replace(options, all_labelled=self.all_labelled)
        training = FineTuning(predictor, images, options)
        # A folder that cannot be written to is told before the work.
        self.output.parent.mkdir(parents=True, exist_ok=True)
        written = time.monotonic()
        try:
            for progress in training.run():
                yield progress
                minute_is_over = time.monotonic() - written >= _SECONDS_PER_SAVE
                if training.is_improved and minute_is_over:
                    training.save(self.output)  # stays if napari is killed
                    written = time.monotonic()
                if is_stopped():
                    break
        except GeneratorExit:  # cancelled: the result is not wanted
            self.output.unlink(missing_ok=True)
            raise
        state, path, comparison = training.state, None, None
        best = dict(state.history).get(state.best_step, {})
        if training.is_improved:
            path = training.save(self.output)
        if state.history:
            image = max(training.held_out, key=lambda image: len(image.objects()))
            comparison = compare_models(predictor, training.predictor(), image)
        return TrainingResult(
            path,
            state.step,
            state.start_scores,
            best,
            comparison,
            None if training.head_training is None else training.head_training.f1,
        )


def viewer_training_options(minutes: float, support: PromptSupport) -> TrainingOptions:
    """Return the options for training in the viewer.

    Training uses the prompt types that the model supports. A box-only model answers
    clicks by a search over boxes, which improves with its boxes: a few minutes of
    training on clicks would replace it by far worse masks.
    """
    kinds: tuple[PromptKind, ...] = ("point", "box")
    return TrainingOptions(
        steps=_MAX_STEPS,
        minutes=minutes,
        prompts=tuple(kind for kind in kinds if support.answers(kind)),
        augmentations=4,
        close_ups=0.5,
        validate_every=25,
        patience=12,
    )


def compare_models(
    before: Predictor,
    after: Predictor,
    image: TrainingImage,
    max_objects: int = _COMPARED_OBJECTS,
) -> BeforeAfterComparison:
    """Segment the largest objects of an image by one click each, with two models."""
    sizes = np.bincount(image.labels.ravel())
    labels = sorted(image.objects(), key=lambda label: -sizes[label])[:max_objects]
    truths = [image.labels == label for label in labels]
    clicks = [innermost(truth) for truth in truths]
    prompts = [Prompt(points=[click], labels=[1]) for click in clicks]
    painted, ious = [], np.zeros((len(labels), 2))
    for column, predictor in enumerate((before, after)):
        embedding = predictor.embed(image.plane)
        masks = np.zeros_like(image.labels)
        predictions = predictor.predict_batch(embedding, prompts)
        for row, (prediction, truth) in enumerate(
            zip(predictions, truths, strict=True)
        ):
            masks[prediction.mask] = row + 1
            ious[row, column] = mask_iou(truth, prediction.mask)
        painted.append(masks)
    return BeforeAfterComparison(
        image.plane,
        np.where(np.isin(image.labels, labels), image.labels, 0),
        painted[0],
        painted[1],
        np.array(clicks, float),
        ious,
    )


def dataset_size_message(object_count: int) -> str:
    """Return a sentence on whether there are enough objects to train on."""
    counted = f"{object_count} object{'s' * (object_count != 1)}"
    if object_count < MIN_OBJECTS:
        return (
            f"{counted}: too few for training. Label at least {MIN_OBJECTS}, better "
            f"{RECOMMENDED_OBJECTS}, in different places."
        )
    if object_count < RECOMMENDED_OBJECTS:
        return (
            f"{counted}: enough for a first trial. Results are more reliable with "
            f"{RECOMMENDED_OBJECTS} or more, in different places."
        )
    return f"{counted}: enough, if they are as varied as the objects to segment."
