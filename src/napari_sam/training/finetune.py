"""Fine-tuning of a model on labelled images: resumable, and can be cancelled."""

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
from napari_sam.checks.values import or_default
from napari_sam.huggingface.modeling.prompted_network import PromptedNetwork
from napari_sam.nets.adamw import AdamW
from napari_sam.prediction.loading import predictor_from_card
from napari_sam.training.augmented_embeddings import AugmentedEmbeddings
from napari_sam.training.data import augment, data_key, split, summarise
from napari_sam.training.instances.head_training import (
    MINUTES_FRACTION,
    InstanceHeadTraining,
)
from napari_sam.training.interactive_loop import InteractiveTrainer
from napari_sam.training.options import TrainingOptions, TrainingProgress
from napari_sam.training.saving import save_model
from napari_sam.training.state import (
    RunState,
    check_tensors,
    optimiser_tensors,
    read_state,
    restore_optimiser,
    run_state,
    write_state,
)
from napari_sam.training.tiles import fitting_tiles
from napari_sam.training.trainable import check_training, trainable_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_sam.checkpoints.prompt_support import PromptKind
    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.prediction.disk_cache import DiskCache
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage

# Minimum size of an object, in pixels of the low-resolution mask.
_MIN_MASK_PIXELS = 4
_WARM_UP_STEPS = 20
_MAX_GRADIENT_NORM = 1.0


class FineTuning:
    """A training run: iterate over `run`, then `save`.

    The run trains a copy of the model and leaves the predictor unchanged. The image
    encoder is frozen by default; its embeddings of all images and augmentations are
    kept in half precision, so that a step only runs prompt encoder and mask decoder.
    The instance head of the model, if it has one, is trained after them.

    Parameters
    ----------
    predictor : Predictor
        The model to start from.
    images : sequence of TrainingImage
        See `training_images` and `read_training_images`.
    options : TrainingOptions, optional
        Options of the run.
    held_out : sequence of TrainingImage, optional
        Images for validation; a fraction of `images` when None.
    disk : DiskCache, optional
        Keeps the embeddings, if there are too many for the memory.

    Raises
    ------
    ValueError
        When there are fewer than two images, or no object is large enough.

    Examples
    --------
    >>> import napari_sam as ns
    >>> images = ns.read_training_images("images", "labels")
    >>> training = ns.FineTuning(ns.load_model(), images)
    >>> for progress in training.run():
    ...     print(progress.phase, progress.done, progress.total, progress.scores)
    >>> training.save("cells.safetensors")
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
        check_training(predictor, images, held_out)
        options = self.options = or_default(options, "options", TrainingOptions)
        self.state = RunState()
        self.trainer = InteractiveTrainer(predictor, self.options)
        self._parent = predictor
        self._rng = np.random.default_rng(self.options.seed)
        if held_out is None:
            images, held_out = split(images, self.options.held_out, self._rng)
        given = predictor, images, held_out, options
        self.head_training = InstanceHeadTraining.of(*given)
        self.trained = self._usable(images)
        self.held_out = self._usable(held_out)
        # A click decoder answers boxes too: training starts from it.
        start = predictor.click_decoder or predictor.model
        self.model = copy.deepcopy(PromptedNetwork.of(start))
        self._weights = trainable_weights(self.model, self.options.encoder_blocks)
        self._best = {name: p.detach().clone() for name, p in self._weights.items()}
        decay, weights = options.weight_decay, self._weights.values()
        self._optimiser = AdamW(weights, decay)
        encoder = self.model.image_encoder if self.options.encoder_blocks else None
        self._embeddings = AugmentedEmbeddings(predictor, encoder, disk)

    def _usable(self, images: Sequence[TrainingImage]) -> list[TrainingImage]:
        sizes = self._parent.input_size, self._parent.smallest_window
        tiles = (tile for image in images for tile in fitting_tiles(image, *sizes))
        usable = list(filter(self._objects, tiles))
        if not usable:
            raise ValueError(
                "No object is large enough for training: label objects of several "
                "pixels, or enlarge the images."
            )
        return usable

    def _objects(self, image: TrainingImage) -> list[int]:
        mask_shape = self._parent.transform(image.shape).mask_shape
        pixels_per_mask_pixel = np.prod(image.shape) / np.prod(mask_shape)
        return image.objects(_MIN_MASK_PIXELS * pixels_per_mask_pixel)

    # -- the loop ----------------------------------------------------------------

    def run(self) -> Iterator[TrainingProgress]:
        """Train step by step; stop iterating to cancel, call again to continue.

        Yields
        ------
        TrainingProgress
            After each encoded or validated image, and after each step.
        """
        yield from self._train_decoder()
        if self.head_training is not None and not self.head_training.is_finished:
            yield from self.head_training.run()

    def _train_decoder(self) -> Iterator[TrainingProgress]:
        for done, total, left in self._embeddings.encode(self._augmented_images()):
            yield self._progress("encode", done, total, left)
        fraction_before = self.fraction_done
        seconds_before, start = self.state.seconds, time.perf_counter()
        while True:
            if self._validation_is_due():
                yield from self._validate()
            if self.is_finished:
                return
            self.state.losses.append(self._train_step())
            self.state.step += 1
            seconds = time.perf_counter() - start
            self.state.seconds = seconds_before + seconds
            fraction = self.fraction_done
            left = seconds * (1 - fraction) / (fraction - fraction_before)
            yield self._progress("train", self.state.step, self.options.steps, left)

    @property
    def fraction_done(self) -> float:
        """Completed fraction of the decoder's steps, or of its minutes: 0 to 1."""
        options, state = self.options, self.state
        fraction = state.step / options.steps
        if options.minutes is not None:
            share = 1 if self.head_training is None else 1 - MINUTES_FRACTION
            fraction = max(fraction, state.seconds / (60 * share * options.minutes))
        return min(1.0, fraction)

    def _augmented_images(self) -> list[tuple[TrainingImage, int]]:
        """List the held-out images, and all augmentations of the training images."""
        held_out = [(image, 0) for image in self.held_out]
        numbers = range(self.options.augmentations)
        return held_out + [(image, n) for image in self.trained for n in numbers]

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done, or the patience is over, and validated."""
        state, options = self.state, self.options
        patience = options.validate_every * options.patience
        return not self._validation_is_due() and (
            self.fraction_done >= 1 or state.step - state.best_step >= patience
        )

    def _validation_is_due(self) -> bool:
        step, is_last = self.state.step, self.fraction_done >= 1
        return self.state.validated_at != step and (
            is_last or step % self.options.validate_every == 0
        )

    def _train_step(self) -> float:
        """Train on some objects of one augmented image; return the loss."""
        options, rng = self.options, self._rng
        self._set_learning_rate()
        image = self.trained[rng.integers(len(self.trained))]
        number = int(rng.integers(options.augmentations))
        labels = augment(image.labels, number)
        objects = rng.permutation(self._objects(image))[: options.objects]
        truths = [labels == label for label in objects]
        embedding = self._embeddings.embedding(image, number)
        # If the image encoder is trained, one backward pass serves all rounds.
        leaf = embedding.detach().requires_grad_(embedding.requires_grad)
        self._optimiser.zero_grad()
        loss = self.trainer.train_step(self.model, leaf, truths, rng)
        if leaf.grad is not None:
            torch.autograd.backward(embedding, leaf.grad)
        torch.nn.utils.clip_grad_norm_(self._weights.values(), _MAX_GRADIENT_NORM)
        self._optimiser.step()
        return loss

    def _set_learning_rate(self) -> None:
        """Warm up linearly, then follow half a cosine (Loshchilov & Hutter 2017)."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.fraction_done))
        warm_up = min(1.0, (self.state.step + 1) / _WARM_UP_STEPS)
        rate = self.options.learning_rate * cosine * warm_up
        self._optimiser.learning_rate = rate

    # -- validation --------------------------------------------------------------

    def _validate(self) -> Iterator[TrainingProgress]:
        """Validate on the held-out images, with the same prompts each time."""
        ious: dict[str, list[float]] = {}
        start, count = time.perf_counter(), len(self.held_out)
        max_objects = math.ceil(self.options.validation_objects / count)
        for done, image in enumerate(self.held_out, start=1):
            rng = np.random.default_rng([self.options.seed, done])
            objects = rng.permutation(self._objects(image))[:max_objects]
            truths = [image.labels == label for label in objects]
            with torch.no_grad():
                embedding = self._embeddings.embedding(image, 0)
            scores = self.trainer.validate(self.model, embedding, truths, rng)
            for kind, values in scores.items():
                ious.setdefault(kind, []).extend(values)
            seconds_per_image = (time.perf_counter() - start) / done
            left = seconds_per_image * (count - done)
            yield self._progress("validate", done, count, left)
        state = self.state
        state.scores = {kind: float(np.mean(values)) for kind, values in ious.items()}
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

    def best_model(self) -> PromptedNetwork:
        """Return a copy of the best model so far; without improvement the parent's."""
        model = copy.deepcopy(self.model).requires_grad_(False)
        model.load_state_dict(self._best, strict=False)
        return model

    @property
    def instance_head(self) -> InstanceHead | None:
        """The best instance head so far, or that of the parent; None if it has none."""
        if self.head_training is not None:
            return self.head_training.head
        return None if self.options.encoder_blocks else self._parent.instance_head

    @property
    def is_improved(self) -> bool:
        """Whether the best model so far is better than its parent in any part."""
        head = self.head_training
        return self.state.best_step > 0 or (head is not None and head.is_better)

    def predictor(self) -> Predictor:
        """Return a predictor with the best model so far."""
        parent, head = self._parent, self.head_training
        steps = f"@{self.state.best_step}"
        if head is not None and head.is_better:
            steps += f"+{head.best_step}"
        return predictor_from_card(
            self.best_model(),
            self.card(),
            copy.deepcopy(self.instance_head),
            name=f"{parent.name}, fine-tuned",
            key=f"{parent.key}+{self._key()}{steps}",
        )

    def card(self, licence: str | None = None) -> ModelCard:
        """Make the model card of the best model; the parent's licence when None."""
        parent, state, options = self._parent, self.state, self.options
        spec = MODELS.get(parent.name)
        prompts = frozenset(options.prompts)
        return ModelCard(
            family=parent.family,
            prompts=prompts | cast("frozenset[PromptKind]", parent.prompts),
            multimask_output="point" in prompts
            or parent.preprocessing.multimask_output,
            parent=parent.key,
            licence=licence or (spec.licence if spec else "that of its parent"),
            refines_clicks_by_box=parent.click_decoder is not None
            and "point" in prompts,
            data=summarise([*self.trained, *self.held_out]),
            training={
                "options": {
                    **asdict(options),
                    "prompts": sorted(prompts),
                    "first_prompts": [*options.first_prompts],
                },
                "steps": state.step,
                "best_step": state.best_step,
                "start_scores": state.start_scores,
                "scores": dict(state.history).get(state.best_step, {}),
                "instance_head": None
                if self.head_training is None
                else self.head_training.summary(),
            },
        )

    def save(
        self,
        path: str | Path,
        *,
        licence: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Path:
        """Save the best model so far; see `training.saving.save_model`."""
        return save_model(
            self.best_model(),
            path,
            self.card(licence),
            dtype=dtype,
            instance_head=self.instance_head,
        )

    # -- resuming ----------------------------------------------------------------

    def write(self, path: str | Path) -> None:
        """Write the run to a safetensors file, for `resume`."""
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
        """Continue the run of a file, with exactly the same results on the CPU."""
        tensors, values = read_state(Path(path))
        if values.get("key") != self._key():
            raise ValueError(
                f"The training run in {path} used another model, other images or other "
                "options: give the same ones, or start training again."
            )
        check_tensors(Path(path), tensors, self._weights)
        self.state = run_state(values)
        self._rng.bit_generator.state = values["generator"]
        with torch.no_grad():
            for name, parameter in self._weights.items():
                parameter.copy_(tensors[f"weights.{name}"])
                self._best[name] = tensors[f"best.{name}"].to(parameter.device)
        restore_optimiser(self._optimiser, tensors)

    def _key(self) -> str:
        """Identify model, images and options of a run."""
        parts = self._parent.key, data_key(self.trained), data_key(self.held_out)
        return " ".join([*parts, repr(self.options)])
