"""Fine-tune a model on labelled images: one loop, resumable, cancelled at any step."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.checkpoints.registry import MODELS
from napari_sam.huggingface.model import SamModel
from napari_sam.prediction.loading import predictor_from_card
from napari_sam.training.augmented_embeddings import AugmentedEmbeddings
from napari_sam.training.data import augment, data_key, split, summarise
from napari_sam.training.interactive_loop import InteractiveTrainer
from napari_sam.training.options import TrainingOptions, TrainingProgress
from napari_sam.training.saving import save_model
from napari_sam.training.state import (
    RunState,
    optimiser_tensors,
    read_state,
    restore_optimiser,
    write_state,
)
from napari_sam.training.trainable import trainable_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_sam.checkpoints.prompt_support import PromptKind
    from napari_sam.prediction.disk_cache import DiskCache
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage

# Low-resolution pixels that an object must cover to be learned from.
_SMALLEST = 4
_WARM_UP = 20
_LARGEST_GRADIENT = 1.0


class FineTuning:
    """A training run: give images, iterate over `run`, then `save`.

    The predictor is left as it is; the run trains a copy of its model. The image
    encoder stays frozen, and what it gives for each view of each image is kept in
    half precision, so that a step costs prompts and decoder alone.

    Parameters
    ----------
    predictor : Predictor
        The model to start from.
    images : sequence of TrainingImage
        From `training_images` or `read_training_images`.
    options : TrainingOptions, optional
        How to train.
    held_back : sequence of TrainingImage, optional
        To measure on; a share of `images` when None.
    disk : DiskCache, optional
        Keeps encoded images, for more of them than the memory holds.

    Raises
    ------
    ValueError
        When there are fewer than two images, or no object is large enough.
    """

    def __init__(
        self,
        predictor: Predictor,
        images: Sequence[TrainingImage],
        options: TrainingOptions | None = None,
        *,
        held_out: Sequence[TrainingImage] | None = None,
        disk: DiskCache | None = None,
    ) -> None:
        self.options = options or TrainingOptions()
        self.state = RunState()
        self.trainer = InteractiveTrainer(predictor, self.options)
        self._parent = predictor
        self._rng = np.random.default_rng(self.options.seed)
        if held_out is None:
            images, held_out = split(images, self.options.held_out, self._rng)
        self.trained = self._usable(images)
        self.held_out = self._usable(held_out)
        # What answers clicks knows boxes as well, and learns from where it is.
        start = (
            predictor.model
            if predictor.click_decoder is None
            else predictor.click_decoder
        )
        self.model = copy.deepcopy(SamModel.of(start))
        self._weights = trainable_weights(self.model, self.options.encoder_blocks)
        self._best = {name: p.detach().clone() for name, p in self._weights.items()}
        self._optimiser = torch.optim.AdamW(
            self._weights.values(), weight_decay=self.options.weight_decay
        )
        encoder = self.model.image_encoder if self.options.encoder_blocks else None
        self._views = AugmentedEmbeddings(predictor, encoder, disk)

    def _usable(self, images: Sequence[TrainingImage]) -> list[TrainingImage]:
        kept = [image for image in images if self._objects(image)]
        if not kept:
            raise ValueError(
                "No object is large enough to be learned: the model sees the longest "
                f"side of an image as {self._parent.input_size} pixels, so cut the "
                "images into smaller ones."
            )
        return kept

    def _objects(self, image: TrainingImage) -> list[int]:
        shape = self._parent.transform(image.shape).mask_shape
        return image.objects(_SMALLEST * np.prod(image.shape) / np.prod(shape))

    # -- the loop ----------------------------------------------------------------

    def run(self) -> Iterator[TrainingProgress]:
        """Train step by step; stop iterating to cancel, call again to go on.

        Yields
        ------
        TrainingProgress
            After each image that was encoded or measured on, and after each step.
        """
        for done, total, left in self._views.encode(self._wanted()):
            yield self._progress("encode", done, total, left)
        before = self.fraction_done
        spent, started = self.state.seconds, time.perf_counter()
        while True:
            if self._is_due():
                yield from self._validate()
            if self.is_finished:
                return
            self.state.losses.append(self._train_step())
            self.state.step += 1
            passed = time.perf_counter() - started
            self.state.seconds = spent + passed
            share = self.fraction_done
            left = passed * (1 - share) / (share - before)
            yield self._progress("train", self.state.step, self.options.steps, left)

    @property
    def fraction_done(self) -> float:
        """How much of the steps, or of the minutes, is over: 0 to 1."""
        options, state = self.options, self.state
        done = state.step / options.steps
        if options.minutes is not None:
            done = max(done, state.seconds / (60 * options.minutes))
        return min(1.0, done)

    def _wanted(self) -> list[tuple[TrainingImage, int]]:
        """The held-back images, and every view that will be learned from."""
        augmentations = range(self.options.augmentations)
        wanted = [(image, 0) for image in self.held_out]
        return wanted + [
            (image, number) for image in self.trained for number in augmentations
        ]

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done, or nothing was gained for long, and measured."""
        state, longest = self.state, self.options.validate_every * self.options.patience
        return not self._is_due() and (
            self.fraction_done >= 1 or state.step - state.best_step >= longest
        )

    def _is_due(self) -> bool:
        step = self.state.step
        last = self.fraction_done >= 1
        return self.state.validated_at != step and (
            last or step % self.options.validate_every == 0
        )

    def _train_step(self) -> float:
        """Practise some objects of one view of one image; the loss, of all rounds."""
        options, rng = self.options, self._rng
        self._set_rate()
        image = self.trained[rng.integers(len(self.trained))]
        number = int(rng.integers(options.augmentations))
        labels = augment(image.labels, number)
        chosen = rng.permutation(self._objects(image))[: options.objects]
        truths = [labels == i for i in chosen]
        embedding = self._views.embedding(image, number)
        # The encoder, where it is trained, is passed backwards once for all rounds.
        leaf = embedding.detach().requires_grad_(embedding.requires_grad)
        self._optimiser.zero_grad()
        loss = self.trainer.learn(self.model, leaf, truths, rng)
        if leaf.grad is not None:
            torch.autograd.backward(embedding, leaf.grad)
        torch.nn.utils.clip_grad_norm_(self._weights.values(), _LARGEST_GRADIENT)
        self._optimiser.step()
        return loss

    def _set_rate(self) -> None:
        """Warm up, then fall as half a cosine (Loshchilov & Hutter 2017)."""
        rate = (
            self.options.learning_rate
            * 0.5
            * (1 + math.cos(math.pi * self.fraction_done))
        )
        rate *= min(1.0, (self.state.step + 1) / _WARM_UP)
        for group in self._optimiser.param_groups:
            group["lr"] = rate

    # -- measuring ---------------------------------------------------------------

    def _validate(self) -> Iterator[TrainingProgress]:
        """Measure on the held-back images, with the same prompts each time."""
        found: dict[str, list[float]] = {}
        started, count = time.perf_counter(), len(self.held_out)
        most = math.ceil(self.options.validation_objects / count)
        for done, image in enumerate(self.held_out, start=1):
            rng = np.random.default_rng([self.options.seed, done])
            chosen = rng.permutation(self._objects(image))[:most]
            truths = [image.labels == i for i in chosen]
            with torch.no_grad():
                embedding = self._views.embedding(image, 0)
            measured = self.trainer.measure(self.model, embedding, truths, rng)
            for kind, ious in measured.items():
                found.setdefault(kind, []).extend(ious)
            each = (time.perf_counter() - started) / done
            yield self._progress("validate", done, count, each * (count - done))
        state = self.state
        state.scores = {kind: float(np.mean(ious)) for kind, ious in found.items()}
        state.history.append((state.step, state.scores))
        state.validated_at = state.step
        if not state.step:
            state.start_scores = state.scores
        mean = float(np.mean(list(state.scores.values())))
        if mean > state.best:
            state.best, state.best_step = mean, state.step
            self._best = {n: p.detach().clone() for n, p in self._weights.items()}

    def _progress(
        self, phase: Any, done: int, total: int, left: float
    ) -> TrainingProgress:
        state = self.state
        return TrainingProgress(
            phase,
            done,
            total,
            left,
            state.losses[-1] if state.losses else None,
            state.scores,
            state.best if state.history else None,
            self.fraction_done,
        )

    # -- results -----------------------------------------------------------------

    def best_model(self) -> SamModel:
        """Copy the best model up to now; the one at the start before a gain."""
        model = copy.deepcopy(self.model).requires_grad_(False)
        model.load_state_dict(self._best, strict=False)
        return model

    def predictor(self) -> Predictor:
        """Return a predictor with the best model up to now."""
        parent = self._parent
        return predictor_from_card(
            self.best_model(),
            self.card(),
            name=f"{parent.name}, fine-tuned",
            key=f"{parent.key}+{self._key()}@{self.state.best_step}",
        )

    def card(self, licence: str | None = None) -> ModelCard:
        """Describe the best model up to now; the licence is the parent's when None."""
        parent, state = self._parent, self.state
        spec = MODELS.get(parent.name)
        trained = frozenset(self.options.prompts)
        alternatives = "point" in trained or parent.preprocessing.multimask_output
        return ModelCard(
            family=parent.family,
            prompts=trained | cast("frozenset[PromptKind]", parent.prompts),
            multimask_output=alternatives,
            parent=parent.key,
            licence=licence or (spec.licence if spec else "that of its parent"),
            refines_clicks_by_box=parent.click_decoder is not None
            and "point" in trained,
            data=summarise([*self.trained, *self.held_out]),
            training={
                "options": asdict(self.options)
                | {
                    "prompts": sorted(trained),
                    "first_prompts": [*self.options.first_prompts],
                },
                "steps": state.step,
                "best_step": state.best_step,
                "start_scores": state.start_scores,
                "scores": dict(state.history).get(state.best_step, {}),
            },
        )

    def save(
        self,
        path: str | Path,
        *,
        licence: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Path:
        """Write the best model up to now; see `training.saving.save_model`."""
        return save_model(self.best_model(), path, self.card(licence), dtype=dtype)

    # -- going on later ----------------------------------------------------------

    def write(self, path: str | Path) -> None:
        """Write the run into a safetensors file, to be gone on with by `resume`."""
        tensors: dict[str, Tensor] = {}
        tensors |= {f"weights.{n}": p for n, p in self._weights.items()}
        tensors |= {f"best.{n}": p for n, p in self._best.items()}
        tensors |= optimiser_tensors(self._optimiser)
        values = {
            "key": self._key(),
            "state": asdict(self.state),
            "generator": self._rng.bit_generator.state,
        }
        write_state(Path(path), tensors, values)

    def resume(self, path: str | Path) -> None:
        """Go on with a run that was written: on the CPU, as if it had not stopped.

        Raises
        ------
        OSError
            When there is no such file.
        ValueError
            When it is damaged, or of another model, other images or other options.
        """
        tensors, values = read_state(Path(path))
        if values.get("key") != self._key():
            raise ValueError(
                f"The training run in {path} was made with another model, other images "
                "or other options: give those again, or start without it."
            )
        state = RunState(**values["state"])
        state.history = [(int(step), scores) for step, scores in state.history]
        self.state = state
        self._rng.bit_generator.state = values["generator"]
        with torch.no_grad():
            for name, parameter in self._weights.items():
                parameter.copy_(tensors[f"weights.{name}"])
                self._best[name] = tensors[f"best.{name}"].to(parameter.device)
        restore_optimiser(self._optimiser, tensors)

    def _key(self) -> str:
        """Identify what makes a run: model, images and options."""
        parts = self._parent.key, data_key(self.trained), data_key(self.held_out)
        return " ".join([*parts, repr(self.options)])
