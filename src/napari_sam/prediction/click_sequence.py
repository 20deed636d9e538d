"""Answers to prompts as users give them: click after click, and the size they mean."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sam.prompts.prompt import POSITIVE, Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prediction.predictor import Embedding, Prediction, Predictor

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = get_args(Size)

# Answers to earlier clicks that are remembered; each is one low-resolution mask.
_MOST_REMEMBERED = 64


class ClickCache:
    """Remembers answers to the first clicks, so that one more costs one decode.

    Kept by plane, model and prompt: no object can meet the logits of another one.
    May be used by several threads.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Any, Prediction] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any) -> Prediction | None:
        """The answer under a key."""
        with self._lock:
            return self._known.get(key)

    def put(self, key: Any, prediction: Prediction) -> None:
        """Remember an answer, and forget the oldest one."""
        with self._lock:
            self._known[key] = prediction
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)


def predict_iteratively(
    predictor: Predictor,
    embedding: Embedding,
    prompts: Sequence[Prompt],
    size: Size | None = None,
    click_cache: ClickCache | None = None,
) -> list[Prediction]:
    """Answer prompts as if they had been given click after click.

    SAM was trained on clicks that follow each other, each together with the
    logits of the mask before it (Kirillov et al. 2023, appendix A, "Training
    algorithm"). The first step is the box or the first positive point, then every
    further point is one step. Models that do not know points and masks answer
    all at once.

    Parameters
    ----------
    predictor : Predictor
        The model.
    embedding : Embedding
        Of the plane, from this model.
    prompts : sequence of Prompt
        One object each; the order of its points matters.
    size : {"small", "medium", "large"}, optional
        Which of several candidates is meant; the best scored when None.
    click_cache : ClickCache, optional
        Remembers what the first clicks gave.

    Returns
    -------
    list of Prediction
        One for each prompt; `candidates` holds the alternatives of the last step.
    """
    steps = [_steps(predictor, prompt) for prompt in prompts]
    memory = ClickCache() if click_cache is None else click_cache
    current: list[Prediction | None] = [None] * len(prompts)
    # Objects at the same step are decoded in one batch.
    for number in range(max((len(own) for own in steps), default=0)):
        waiting: dict[int, Prompt] = {}
        for i, own in enumerate(steps):
            if number < len(own):
                known = memory.get(_key(embedding, own[number], size))
                if known is None:
                    waiting[i] = _with_logits(own[number], current[i])
                else:
                    current[i] = known
        found = predictor.predict_batch(embedding, list(waiting.values()))
        for i, prediction in zip(waiting, found, strict=True):
            chosen = current[i] = select_alternative(prediction, size)
            memory.put(_key(embedding, steps[i][number], size), chosen)
    return [prediction for prediction in current if prediction is not None]


def _with_logits(prompt: Prompt, before: Prediction | None) -> Prompt:
    if before is None:
        return prompt
    return replace(prompt, mask=before.logits, mask_origin=(0, 0))


def select_alternative(prediction: Prediction, size: Size | None) -> Prediction:
    """The candidate of a size; the alternatives stay with it.

    With two candidates "medium" is the better scored one.
    """
    candidates = prediction.candidates
    if size is None or len(candidates) < 2:
        return prediction
    if size == "medium" and len(candidates) == 2:
        return prediction
    by_area = sorted(candidates, key=lambda c: np.count_nonzero(c.patch.mask))
    chosen = {"small": by_area[0], "large": by_area[-1]}.get(size, by_area[1])
    return replace(chosen, candidates=candidates)


def alternative_size(prediction: Prediction) -> Size | None:
    """Which of its candidates a prediction is; None when there is no choice."""
    if len(prediction.candidates) < 2:
        return None
    for size in SIZES:
        if np.array_equal(
            select_alternative(prediction, size).logits, prediction.logits
        ):
            return size
    return None


def _steps(predictor: Predictor, prompt: Prompt) -> list[Prompt]:
    """The prompts that a hand gives one after the other."""
    if not {"point", "mask"} <= predictor.prompts or prompt.points is None:
        return [prompt]
    points, labels = prompt.points, prompt.labels
    if prompt.box is None and prompt.mask is None:
        positives = np.flatnonzero(labels == POSITIVE)
        if not len(positives):
            return [prompt]  # refused in a sentence by whoever checks it
        first = int(positives[0])
        order = [first, *(i for i in range(len(points)) if i != first)]
        points, labels = points[order], labels[order]
        start = 1
    else:
        start = 0
    return [
        replace(
            prompt,
            points=points[:count] if count else None,
            labels=labels[:count] if count else None,
        )
        for count in range(start, len(points) + 1)
    ]


def _key(embedding: Embedding, step: Prompt, size: Size | None) -> Any:
    """What the answer to a step depends on."""
    parts = [
        None if part is None else (part.shape, part.tobytes())
        for part in (step.points, step.labels, step.box, step.mask)
    ]
    plane = embedding.model_key, embedding.plane_key, embedding.shape
    return (*plane, *parts, step.mask_origin, size)
