"""How to train, what is told while it runs, and what is refused beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_sam.models import PromptKind

if TYPE_CHECKING:
    from collections.abc import Mapping

Kinds = tuple[PromptKind, ...]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a model is fine-tuned; the defaults suit some dozen labelled objects.

    Parameters
    ----------
    steps : int
        Most of them; the learning rate falls as a cosine over all.
    objects : int
        Of one image, in each step.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov & Hutter 2019).
    prompts : tuple of {"point", "box", "mask"}
        What is practised. With "mask", the model's last answer goes back to it with
        half of the corrective clicks.
    corrections : int
        Most corrective clicks after the first prompt.
    box_jitter : float
        Most pixels that a side of a box lies outside of its object.
    views : int
        How many of the eight flips and quarter turns are learned from.
    encoder_blocks : int
        Last blocks of the image encoder that are trained too, with its neck. Images
        then pass the encoder in every step: far slower.
    held_back : float
        Share of the images to measure on.
    validate_every : int
        Steps between measurements.
    validation_objects : int
        Most objects that are measured on.
    patience : int
        Measurements without a gain after which training ends.
    seed : int
        Of all chance.

    Raises
    ------
    ValueError
        When a number cannot be.
    """

    steps: int = 600
    objects: int = 4
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    prompts: Kinds = ("point", "box")
    corrections: int = 2
    box_jitter: float = 20.0
    views: int = 8
    encoder_blocks: int = 0
    held_back: float = 0.2
    validate_every: int = 50
    validation_objects: int = 32
    patience: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        least = {"corrections": 0, "box_jitter": 0, "encoder_blocks": 0}
        least |= {"weight_decay": 0, "seed": 0}
        for name in ("steps", "objects", "views", "validate_every", "patience"):
            least[name] = 1
        least["validation_objects"] = 1
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name}={getattr(self, name)}: give {low} or more.")
        if self.learning_rate <= 0:
            raise ValueError(
                f"learning_rate={self.learning_rate}: give more than 0, such as 2e-4."
            )
        if not 0 < self.held_back < 1:
            raise ValueError(
                f"held_back={self.held_back}: give a share between 0 and 1."
            )
        if self.views > 8:
            raise ValueError(f"views={self.views}: a plane has 8 flips and turns.")
        if not self.prompts or not {*self.prompts} <= {*get_args(PromptKind)}:
            raise ValueError(
                f"prompts={self.prompts}: choose of {', '.join(get_args(PromptKind))}."
            )
        if {*self.prompts} == {"mask"}:
            raise ValueError(
                "Masks are practised beside corrective clicks only: add 'point' or "
                "'box' to the prompts."
            )

    @property
    def starts(self) -> list[Any]:
        """First prompts that are practised, each as often as the others."""
        clicks = ["click", "clicks"] if "point" in self.prompts else []
        return clicks + (["box"] if "box" in self.prompts else [])


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Where a training run is.

    Parameters
    ----------
    phase : {"encode", "validate", "train"}
        Looking at images, measuring on those held back, or learning.
    done, total : int
        Images or steps of this phase.
    seconds_left : float or None
        Of this phase, by the time that it took until now; None at its start.
    loss : float or None
        Of the last step.
    scores : mapping
        Held-back IoU by kind of first prompt, of the last measurement.
    best : float or None
        Mean of the best scores up to now.
    """

    phase: Literal["encode", "validate", "train"]
    done: int
    total: int
    seconds_left: float | None = None
    loss: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
