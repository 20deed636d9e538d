"""How to train, what is told while it runs, and what is refused beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from napari_sam.checkpoints.prompt_support import PromptKind

if TYPE_CHECKING:
    from collections.abc import Mapping

Kinds = tuple[PromptKind, ...]
Start = Literal["click", "clicks", "box"]
"""How a user begins: one click, a click and another off the object, or a box."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a model is fine-tuned; the defaults suit some dozen labelled objects.

    Parameters
    ----------
    steps : int
        Most of them; the learning rate falls as a cosine over all.
    minutes : float, optional
        After which it ends in any case, the learning rate falling with the time. Such
        a run depends on the speed of the machine and is not repeated to the bit.
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
    first_prompts : tuple of {"click", "clicks", "box"}
        How objects are begun, each entry as often as any other; what `prompts` allow
        when empty.
    close_ups : float
        Share of the steps in which the decoder sees only the surroundings of each
        object, which costs a fraction of a whole plane.
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
    minutes: float | None = None
    objects: int = 4
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    prompts: Kinds = ("point", "box")
    corrections: int = 2
    box_jitter: float = 20.0
    views: int = 8
    encoder_blocks: int = 0
    first_prompts: tuple[Start, ...] = ()
    close_ups: float = 0.0
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
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes={self.minutes}: give more than 0, or None.")
        if self.learning_rate <= 0:
            raise ValueError(
                f"learning_rate={self.learning_rate}: give more than 0, such as 2e-4."
            )
        if not 0 < self.held_back < 1:
            raise ValueError(
                f"held_back={self.held_back}: give a share between 0 and 1."
            )
        if not 0 <= self.close_ups <= 1:
            raise ValueError(
                f"close_ups={self.close_ups}: give a share between 0 and 1."
            )
        if self.views > 8:
            raise ValueError(f"views={self.views}: a plane has 8 flips and turns.")
        self._check_prompts()

    def _check_prompts(self) -> None:
        if not self.prompts or not {*self.prompts} <= {*get_args(PromptKind)}:
            raise ValueError(
                f"prompts={self.prompts}: choose of {', '.join(get_args(PromptKind))}."
            )
        if {*self.prompts} == {"mask"}:
            raise ValueError(
                "Masks are practised beside corrective clicks only: add 'point' or "
                "'box' to the prompts."
            )
        if not {*self.first_prompts} <= {*get_args(Start)}:
            raise ValueError(
                f"first_prompts={self.first_prompts}: choose of "
                f"{', '.join(get_args(Start))}."
            )

    @property
    def starts(self) -> list[Start]:
        """First prompts that are practised, each as often as the others."""
        if self.first_prompts:
            return list(self.first_prompts)
        starts: list[Start] = []
        if "point" in self.prompts:
            starts += ["click", "clicks"]
        return [*starts, "box"] if "box" in self.prompts else starts


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
    share : float
        Of all steps, or of the minutes, that is over: 0 to 1.
    """

    phase: Literal["encode", "validate", "train"]
    done: int
    total: int
    seconds_left: float | None = None
    loss: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    share: float = 0.0
