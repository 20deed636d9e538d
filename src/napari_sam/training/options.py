"""Options and progress of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from napari_sam.checkpoints.prompt_support import PromptKind
from napari_sam.checks.values import (
    check_fields,
    choices,
    flag,
    optional,
    real_number,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Kinds = tuple[PromptKind, ...]
Phase = Literal["encode", "validate", "train", "everything"]
Start = Literal["click", "clicks", "box"]
"""First prompt of an object: one click, a positive and a negative click, or a box."""

_KIND_OF: dict[Start, PromptKind] = {"click": "point", "clicks": "point", "box": "box"}

_POSITIVE = partial(real_number, above=0)
_OPTIONS = {
    **dict.fromkeys(
        ("steps", "objects", "validate_every", "validation_objects", "patience"),
        partial(whole_number, least=1),
    ),
    **dict.fromkeys(
        ("corrections", "encoder_blocks", "seed"), partial(whole_number, least=0)
    ),
    "head_steps": partial(whole_number, least=1),
    "minutes": optional(_POSITIVE),
    "learning_rate": _POSITIVE,
    "weight_decay": partial(real_number, least=0),
    "box_jitter": partial(real_number, least=0),
    # A plane has eight flips and quarter turns.
    "augmentations": partial(whole_number, least=1, most=8),
    "close_ups": partial(real_number, least=0, most=1),
    "held_out": partial(real_number, above=0, below=1),
    "prompts": partial(choices, options=get_args(PromptKind)),
    "first_prompts": partial(choices, options=get_args(Start)),
    "instance_head": flag,
    "all_labelled": flag,
}


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Options of fine-tuning; the defaults suit a few dozen labelled objects.

    Parameters
    ----------
    steps : int
        Maximum number of training steps. The learning rate follows half a cosine
        over all of them.
    minutes : float, optional
        Maximum training time; the learning rate then follows the time. Such a run
        depends on the speed of the machine and cannot be repeated exactly. The
        instance head gets a third of it.
    objects : int
        Objects of one image in each step.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov & Hutter 2019).
    prompts : tuple of {"point", "box", "mask"}
        Prompt types to train on. With "mask", half of the corrective clicks come
        with the model's previous mask as a prompt.
    corrections : int
        Maximum number of corrective clicks after the first prompt.
    box_jitter : float
        Maximum distance in pixels of each side of a box from the tight box.
    augmentations : int
        How many of the eight flips and quarter turns to train on.
    encoder_blocks : int
        Number of last blocks of the image encoder to train, together with its neck.
        Every step then runs the image encoder, which is much slower.
    first_prompts : tuple of {"click", "clicks", "box"}
        First prompts, each entry with equal probability; all that `prompts` allow
        when empty.
    close_ups : float
        Fraction of the steps in which the decoder sees only a square around each
        object, which costs much less than the whole plane.
    held_out : float
        Fraction of the images to hold out for validation.
    validate_every : int
        Steps between validations.
    validation_objects : int
        Maximum number of objects to validate on.
    patience : int
        Number of validations without improvement after which training ends.
    seed : int
        Random seed.
    instance_head : bool
        Whether to train the instance head as well, which finds objects without
        prompts. Only if the model has one and its image encoder is not trained.
    head_steps : int
        Maximum number of steps of the instance head.
    all_labelled : bool
        Whether all objects of the images have labels. Otherwise the instance head
        learns only from labelled objects and what is next to them.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number, out of range, or contradicts another one.
    """

    steps: int = 600
    minutes: float | None = None
    objects: int = 4
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    prompts: Kinds = ("point", "box")
    corrections: int = 2
    box_jitter: float = 20.0
    augmentations: int = 8
    encoder_blocks: int = 0
    first_prompts: tuple[Start, ...] = ()
    close_ups: float = 0.0
    held_out: float = 0.2
    validate_every: int = 50
    validation_objects: int = 32
    patience: int = 6
    seed: int = 0
    instance_head: bool = True
    head_steps: int = 240
    all_labelled: bool = False

    def __post_init__(self) -> None:
        """Check all values."""
        check_fields(self, _OPTIONS)
        if not self.prompts:
            kinds = ", ".join(map(repr, get_args(PromptKind)))
            raise ValueError(f"prompts=(): choose from {kinds}.")
        if {*self.prompts} == {"mask"}:
            raise ValueError(
                "prompts=('mask',): masks can only be trained together with other "
                "prompts. Add 'point' or 'box'."
            )
        untrained = [s for s in self.first_prompts if _KIND_OF[s] not in self.prompts]
        if untrained:
            raise ValueError(
                f"first_prompts={self.first_prompts} has {untrained[0]!r}, but "
                f"prompts={self.prompts} does not train it: add "
                f"{_KIND_OF[untrained[0]]!r} to prompts."
            )

    @property
    def starts(self) -> list[Start]:
        """First prompts to train on, each with equal probability."""
        if self.first_prompts:
            return list(self.first_prompts)
        starts: list[Start] = []
        if "point" in self.prompts:
            starts += ["click", "clicks"]
        return [*starts, "box"] if "box" in self.prompts else starts


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Progress of a training run.

    Parameters
    ----------
    phase : {"encode", "validate", "train", "everything"}
        Encoding images, validating on the held-out images, training the decoder, or
        the instance head.
    done, total : int
        Images or steps of this phase.
    seconds_left : float or None
        Estimated time left in this phase; None at its start.
    loss : float or None
        Loss of the last step.
    scores : mapping
        {kind of first prompt: IoU on the held-out images}, of the last validation.
    best : float or None
        Highest mean of these scores so far.
    fraction : float
        Completed fraction of the steps, or of the minutes: 0 to 1.
    """

    phase: Phase
    done: int
    total: int
    seconds_left: float | None = None
    loss: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    fraction: float = 0.0
