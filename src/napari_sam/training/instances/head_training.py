"""Training of the instance head of a model on labelled objects."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_sam.checks.values import (
    check_fields,
    flag,
    optional,
    real_number,
    whole_number,
)
from napari_sam.nets.adamw import AdamW
from napari_sam.training.instances.loss import head_losses
from napari_sam.training.instances.scores import HeadScore, score_head
from napari_sam.training.instances.windows import WindowEncoder
from napari_sam.training.labelled_plane import LabelledPlane
from napari_sam.training.options import TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage
    from napari_sam.training.instances.windows import HeadWindow
    from napari_sam.training.options import Phase, TrainingOptions

MINUTES_FRACTION = 1 / 3
"""Part of the minutes of a fine-tuning in which the head is trained."""

_BATCH, _WARM_UP_STEPS, _MAX_GRADIENT_NORM = 4, 20, 1.0
_WEIGHT_DECAY, _AVERAGE = 1e-4, 0.95
# Fraction of the time for encoding windows, and windows that are needed anyway.
_ENCODING_FRACTION, _MIN_WINDOWS = 0.3, 8
# Most windows to validate with.
_HELD_OUT_WINDOWS = 24
# Pixels that are not known count this much, as what the head predicted before.
_UNKNOWN_WEIGHT = 0.1
_VALIDATE_EVERY = 20
_AUTOCAST = ("cpu", "cuda")


_OPTIONS = {
    "steps": partial(whole_number, least=1),
    "minutes": optional(partial(real_number, above=0)),
    "windows": partial(whole_number, least=1),
    "all_labelled": flag,
    "learning_rate": partial(real_number, above=0),
    "seed": partial(whole_number, least=0),
}


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """Options of the training of an instance head.

    Parameters
    ----------
    steps : int
        Maximum number of steps, of four windows each.
    minutes : float, optional
        Maximum time with the encoding of windows; the learning rate then follows it.
    windows : int
        Maximum number of windows to train on.
    all_labelled : bool
        Whether all objects of the planes have labels.
    learning_rate : float
        Of AdamW.
    seed : int
        Random seed.
    """

    steps: int = 240
    minutes: float | None = None
    windows: int = 48
    all_labelled: bool = False
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, _OPTIONS)


class InstanceHeadTraining:
    """A training run of an instance head; iterate over `run`.

    The image encoder and the predictor's own head are not changed. Held-out objects
    decide whether the result is better.

    Parameters
    ----------
    predictor : Predictor
        Model with an instance head.
    images, held_out : sequence of TrainingImage
        Planes to train on, and to validate with.
    options : HeadOptions, optional
        Options of the run.

    Attributes
    ----------
    start, best : HeadScore or None
        Scores on the held-out objects, of the head before, and of the best one; None
        until they are known.
    steps, best_step : int
        Steps that are done, and after which the best head was found.
    """

    def __init__(
        self,
        predictor: Predictor,
        images: Sequence[TrainingImage],
        held_out: Sequence[TrainingImage],
        options: HeadOptions | None = None,
    ) -> None:
        assert predictor.instance_head is not None
        self.options = options or HeadOptions()
        self.start: HeadScore | None = None
        self.best: HeadScore | None = None
        self.steps = self.best_step = 0
        self.is_finished = False
        self._rng = np.random.default_rng(self.options.seed)
        self._encoder = WindowEncoder(predictor, self.options.all_labelled)
        self._planes = [LabelledPlane.of(image) for image in images]
        self._held_out = [LabelledPlane.of(image) for image in held_out]
        self._parent = predictor.instance_head
        self._best = self._parent
        self._device = predictor.device
        self._losses: list[float] = []
        self._started = self._trained_from = 0.0

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        images: Sequence[TrainingImage],
        held_out: Sequence[TrainingImage],
        options: TrainingOptions,
    ) -> Self | None:
        """Return the part of a fine-tuning that trains the head.

        None without a head, or when the options leave it out or train the image
        encoder, as a head fits only the one that it was trained with.
        """
        is_wanted = options.instance_head and not options.encoder_blocks
        if predictor.instance_head is None or not is_wanted:
            return None
        minutes = options.minutes
        head = HeadOptions(
            steps=options.head_steps,
            minutes=None if minutes is None else MINUTES_FRACTION * minutes,
            all_labelled=options.all_labelled,
            seed=options.seed,
        )
        return cls(predictor, images, held_out, head)

    @property
    def head(self) -> InstanceHead:
        """The best head so far: the model's own one until a better one is found."""
        return self._best

    @property
    def is_better(self) -> bool:
        """Whether the training found a better head."""
        return self.best_step > 0

    @property
    def f1(self) -> tuple[float, float] | None:
        """F1 scores on the held-out objects, before and of the best head."""
        if self.start is None or self.best is None:
            return None
        return self.start.f1, self.best.f1

    def summary(self) -> dict[str, Any]:
        """Return steps and scores, for the model card."""
        return {
            "steps": self.steps,
            "best_step": self.best_step,
            "start": None if self.start is None else asdict(self.start),
            "best": None if self.best is None else asdict(self.best),
        }

    def run(self) -> Iterator[TrainingProgress]:
        """Encode windows, then train step by step; stop iterating to cancel.

        The best head so far is kept. Running again starts anew.

        Yields
        ------
        TrainingProgress
            After each window and each step.
        """
        self._started, self.steps, self.best_step = time.perf_counter(), 0, 0
        self._best, self._losses = self._parent, []
        windows: list[HeadWindow] = []
        source = self._encoder.augmented(self._planes, self._rng)
        total = self.options.windows + _HELD_OUT_WINDOWS
        for window in islice(source, self.options.windows):
            windows.append(window)
            yield self._progress("encode", len(windows), total)
            too_long = self._time_fraction > _ENCODING_FRACTION
            if too_long and len(windows) >= _MIN_WINDOWS:
                break
        held_out = []
        pairs = self._encoder.covering(self._held_out, self._rng)
        for pair in islice(pairs, _HELD_OUT_WINDOWS):
            held_out.append(pair)
            yield self._progress("encode", len(windows) + len(held_out), total)
        self.start = self.best = score_head(self._parent, held_out)
        yield self._progress("validate", 1, 1)
        yield from self._train(windows, held_out)
        self.is_finished = True

    def _train(
        self, windows: list[HeadWindow], held_out: list[tuple[HeadWindow, list[int]]]
    ) -> Iterator[TrainingProgress]:
        data = [self._tensors(window) for window in windows]
        self._trained_from = time.perf_counter()
        head = _copy(self._parent).requires_grad_(True)
        average = _copy(self._parent)
        optimiser = AdamW(head.parameters(), _WEIGHT_DECAY)
        while (fraction := self.fraction_done) < 1:
            cosine = 0.5 * (1 + math.cos(math.pi * fraction))
            warm_up = min(1.0, (self.steps + 1) / _WARM_UP_STEPS)
            optimiser.learning_rate = self.options.learning_rate * cosine * warm_up
            chosen = self._rng.choice(len(data), min(_BATCH, len(data)), replace=False)
            batch = [
                torch.stack(part)
                for part in zip(*(data[i] for i in chosen), strict=True)
            ]
            self._losses.append(self._step(head, optimiser, batch))
            keep = min(_AVERAGE, (1 + self.steps) / (10 + self.steps))
            with torch.no_grad():
                for mean, latest in zip(
                    average.parameters(), head.parameters(), strict=True
                ):
                    mean.lerp_(latest, 1 - keep)
            self.steps += 1
            if self.steps % _VALIDATE_EVERY == 0:
                self._validate(average, held_out)
            yield self._progress("everything", self.steps, self.options.steps)
        if self.steps % _VALIDATE_EVERY:
            self._validate(average, held_out)

    def _tensors(self, window: HeadWindow) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return embedding, input, targets and weights of a window."""
        targets, known = window.targets()
        with torch.inference_mode():
            inputs = window.embedding, window.pixel_values
            before = torch.cat(
                self._parent(*(x[None].to(self._device).float() for x in inputs))
            ).cpu()
        before = (255 * before).round().to(torch.uint8)
        weights = torch.where(known, 1.0, _UNKNOWN_WEIGHT)
        height, width = window.labels.shape
        weights[height:], weights[:, width:] = 0.0, 0.0
        return *inputs, torch.where(known, targets, before), weights

    def _step(self, head: InstanceHead, optimiser: AdamW, batch: list[Tensor]) -> float:
        """Train on some windows; return the loss."""
        embeddings, pixels, targets, weights = (
            part.to(self._device, torch.float32) for part in batch
        )
        last, kind = torch.channels_last, self._device.type
        with torch.autocast(kind, torch.bfloat16, enabled=kind in _AUTOCAST):
            logits = head.logits(
                embeddings.to(memory_format=last), pixels.to(memory_format=last)
            )
        loss = head_losses(logits.float(), targets / 255, weights).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(head.parameters(), _MAX_GRADIENT_NORM)
        optimiser.step()
        return float(loss.detach())

    def _validate(
        self,
        average: InstanceHead,
        held_out: list[tuple[HeadWindow, list[int]]],
    ) -> None:
        """Keep the averaged head if it is better than the best one so far."""
        # As it is stored: the file must give the same objects.
        candidate = _copy(average).half().float()
        score = score_head(candidate, held_out)
        assert self.best is not None
        if score.is_better_than(self.best):
            self.best, self._best, self.best_step = score, candidate, self.steps

    @property
    def fraction_done(self) -> float:
        """Completed fraction of the steps, or of the minutes: 0 to 1."""
        return min(1.0, max(self.steps / self.options.steps, self._time_fraction))

    @property
    def _time_fraction(self) -> float:
        if self.options.minutes is None:
            return 0.0
        return (time.perf_counter() - self._started) / (60 * self.options.minutes)

    def _progress(self, phase: Phase, done: int, total: int) -> TrainingProgress:
        fraction, left = self.fraction_done, None
        if self.steps:
            seconds = time.perf_counter() - self._trained_from
            of_steps = self.steps / self.options.steps
            left = seconds * (1 - of_steps) / of_steps
            if self.options.minutes is not None:
                total_seconds = 60 * self.options.minutes
                left = min(left, total_seconds * (1 - self._time_fraction))
        loss = self._losses[-1] if self._losses else None
        return TrainingProgress(phase, done, total, left, loss, fraction=fraction)


def _copy(head: InstanceHead) -> InstanceHead:
    """Return a copy with weights of its own, which may be trained."""
    copied = copy.deepcopy(head)
    # Weights that were moved in inference mode cannot be trained, but clones can.
    state = {name: value.clone() for name, value in head.state_dict().items()}
    copied.load_state_dict(state, assign=True)
    return copied.eval().requires_grad_(False)
