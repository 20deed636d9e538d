"""Training on labelled layers as a question to a model: plain data, no viewer.

It runs on any thread, gives its progress step by step, and ends with the best model so
far when it is told to stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.patch import mask_iou
from napari_sam.prompts.prompt import Prompt
from napari_sam.training.data import split_plane, training_images
from napari_sam.training.options import TrainingOptions
from napari_sam.training.prompts import innermost

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.checkpoints.prompt_support import PromptKind
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage
    from napari_sam.training.options import TrainingProgress

MIN_OBJECTS, RECOMMENDED_OBJECTS = 8, 30
"""Objects with which training is worth a try, and with which it is steady."""

# Of the held-back image that is shown before and after.
_SHOWN = 6
# The clock ends it, not the steps.
_MANY_STEPS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class BeforeAfterComparison:
    """What one click in the middle of each object gave before and after.

    Parameters
    ----------
    plane : ndarray
        (H, W) or (H, W, 3) uint8, an image that was held back.
    truth, before, after : ndarray
        (H, W) labels: what the user drew, and what the model answered.
    clicks : ndarray
        (N, 2) as (row, col).
    ious : ndarray
        (N, 2) of the objects, before and after.
    """

    plane: NDArray[np.uint8]
    truth: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    clicks: NDArray[np.float64]
    ious: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """The end of a training.

    Parameters
    ----------
    path : Path or None
        Where the best model was written; None when nothing was gained.
    steps : int
        That were done.
    start, best : mapping
        Held-back IoU by kind of first prompt, before and of the best model.
    comparison : BeforeAfterComparison or None
        None when it was stopped before the first measurement.
    """

    path: Path | None
    steps: int
    start: Mapping[str, float]
    best: Mapping[str, float]
    comparison: BeforeAfterComparison | None


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRequest:
    """Train on an image and its labels.

    Parameters
    ----------
    image : array-like
        (H, W), (H, W, 3), (Z, H, W) or (Z, H, W, 3).
    labels : array-like
        (H, W) or (Z, H, W).
    name : str
        Of the labels, for messages.
    contrast_limits : tuple of float, optional
        As the viewer shows the image.
    minutes : float
        Training time; encoding the images comes before.
    output : Path
        Where to write the best model; its folder is made.
    """

    image: Any
    labels: Any
    name: str
    contrast_limits: ArrayLike | None
    minutes: float
    output: Path

    def run(
        self, predictor: Predictor, is_stopped: Callable[[], bool]
    ) -> Generator[TrainingProgress, None, TrainingResult]:
        """Train until the time is over, nothing is gained, or it is stopped.

        Raises
        ------
        ValueError
            When image and labels cannot be learned from.
        OSError
            When the model cannot be written.
        """
        from napari_sam.training.finetune import FineTuning

        images = training_images(
            self.image, self.labels, self.name, contrast_limits=self.contrast_limits
        )
        if len(images) == 1:
            images = split_plane(images[0])
        kinds = predictor.prompts
        if predictor.click_decoder is not None:
            kinds |= {"point"}
        chosen = viewer_training_options(self.minutes, kinds)
        training = FineTuning(predictor, images, chosen)
        for progress in training.run():
            yield progress
            if is_stopped():
                break
        state, path, comparison = training.state, None, None
        best = dict(state.history).get(state.best_step, {})
        if state.best_step:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            path = training.save(self.output)
        if state.history:
            shown = max(training.held_out, key=lambda image: len(image.objects()))
            comparison = compare_models(predictor, training.predictor(), shown)
        return TrainingResult(path, state.step, state.start_scores, best, comparison)


def viewer_training_options(minutes: float, prompts: frozenset[str]) -> TrainingOptions:
    """How labels of the viewer are trained on.

    Only what the model was taught is practised. One that knows boxes only answers
    clicks by a search over them, which gains with its boxes; some minutes of clicks
    would put answers in place of it that are far worse.
    """
    kinds: tuple[PromptKind, ...] = ("point", "box")
    return TrainingOptions(
        steps=_MANY_STEPS,
        minutes=minutes,
        prompts=tuple(kind for kind in kinds if kind in prompts),
        augmentations=4,
        close_ups=0.5,
        validate_every=25,
        patience=12,
    )


def compare_models(
    before: Predictor, after: Predictor, image: TrainingImage, most: int = _SHOWN
) -> BeforeAfterComparison:
    """Click once on the largest objects of an image, with two models."""
    sizes = np.bincount(image.labels.ravel())
    numbers = sorted(image.objects(), key=lambda number: -sizes[number])[:most]
    truths = [image.labels == number for number in numbers]
    clicks = [innermost(truth) for truth in truths]
    prompts = [Prompt(points=[click], labels=[1]) for click in clicks]
    drawn, ious = [], np.zeros((len(numbers), 2))
    for column, predictor in enumerate((before, after)):
        embedding = predictor.embed(image.plane)
        labels = np.zeros_like(image.labels)
        answers = predictor.predict_batch(embedding, prompts)
        for row, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
            labels[answer.mask] = row + 1
            ious[row, column] = mask_iou(truth, answer.mask)
        drawn.append(labels)
    return BeforeAfterComparison(
        image.plane,
        np.where(np.isin(image.labels, numbers), image.labels, 0),
        drawn[0],
        drawn[1],
        np.array(clicks),
        ious,
    )


def dataset_size_message(objects: int) -> str:
    """Say whether so many objects are enough to learn from."""
    counted = f"{objects} object{'s' * (objects != 1)}"
    if objects < MIN_OBJECTS:
        return (
            f"{counted}: too few to learn from. Label {MIN_OBJECTS} at least, better "
            f"{RECOMMENDED_OBJECTS}, in different places."
        )
    if objects < RECOMMENDED_OBJECTS:
        return (
            f"{counted}: enough for a try. With {RECOMMENDED_OBJECTS} or more, in "
            "different places, the result is steadier."
        )
    return f"{counted}: enough, if they look as different as those to be found."
