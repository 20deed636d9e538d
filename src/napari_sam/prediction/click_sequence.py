"""Iterative prompting: clicks one after the other, and the size of the object meant."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sam.prediction.clicks.corrections import correction_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prompts.prompt import Prompt

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = get_args(Size)

# Each cached prediction is one low-resolution mask.
_MAX_CACHED = 64


class ClickCache:
    """Cache of earlier clicks' predictions, so that a new click costs one decode.

    The key contains the model, the plane and the prompt. The oldest entries are
    dropped. May be used by several threads.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, Prediction] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any) -> Prediction | None:
        """Return the prediction of a key, or None."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: Any, prediction: Prediction) -> None:
        """Store a prediction, and drop the oldest one."""
        with self._lock:
            self._entries[key] = prediction
            while len(self._entries) > _MAX_CACHED:
                self._entries.popitem(last=False)


def predict_iteratively(
    predictor: PredictorLike,
    embedding: Embedding,
    prompts: Sequence[Prompt],
    size: Size | None = None,
    click_cache: ClickCache | None = None,
) -> list[Prediction]:
    """Predict masks click by click, feeding the logits of each step to the next.

    SAM was trained on such sequences (Kirillov et al. 2023, "Segment Anything",
    appendix A, "Training algorithm"). The first step is the box or the first positive
    point; every further point is one step. Models not trained on points and masks
    answer in one step.

    Parameters
    ----------
    predictor : PredictorLike
        The model.
    embedding : Embedding
        Of the plane, from this model.
    prompts : sequence of Prompt
        One object each; the order of its points matters.
    size : {"small", "medium", "large"}, optional
        Which alternative to use at each step; the best-scored one when None.
    click_cache : ClickCache, optional
        Stores the predictions of all steps.

    Returns
    -------
    list of Prediction
        One for each prompt; `candidates` holds the alternatives of the last step.
    """
    sequences = [_split_into_steps(predictor, prompt) for prompt in prompts]
    cache = ClickCache() if click_cache is None else click_cache
    latest: list[Prediction | None] = [None] * len(prompts)
    # Prompts at the same step are decoded in one batch.
    for step in range(max(map(len, sequences), default=0)):
        batch: dict[int, Prompt] = {}
        for i, sequence in enumerate(sequences):
            if step < len(sequence):
                cached = cache.get(_key(embedding, sequence[step], size))
                if cached is None:
                    batch[i] = _with_logits(sequence[step], latest[i])
                else:
                    latest[i] = cached
        predictions = predictor.predict_batch(embedding, list(batch.values()))
        for i, prediction in zip(batch, predictions, strict=True):
            chosen = latest[i] = select_alternative(prediction, size)
            cache.put(_key(embedding, sequences[i][step], size), chosen)
    return [prediction for prediction in latest if prediction is not None]


def select_alternative(prediction: Prediction, size: Size | None) -> Prediction:
    """Select the alternative of a size; its `candidates` are all alternatives.

    The best-scored one when the size is None. Of two alternatives "medium" is the
    better-scored one.
    """
    candidates = prediction.candidates
    if size is None or len(candidates) < 2:
        return prediction
    if size == "medium" and len(candidates) == 2:
        return prediction
    # Of several windows the estimate is enough, and takes no memory on a large plane.
    one_window = len({candidate.window for candidate in candidates}) == 1
    by_area = sorted(
        candidates,
        key=lambda c: np.count_nonzero(c.patch.mask) if one_window else c.coarse_area,
    )
    chosen = {"small": by_area[0], "large": by_area[-1]}.get(size, by_area[1])
    return replace(chosen, candidates=candidates)


def alternative_size(prediction: Prediction) -> Size | None:
    """Return which of its alternatives a prediction is; None without alternatives."""
    if len(prediction.candidates) < 2:
        return None
    for size in SIZES:
        selected = select_alternative(prediction, size)
        if np.array_equal(selected.logits, prediction.logits):
            return size
    return None


def _with_logits(prompt: Prompt, previous: Prediction | None) -> Prompt:
    if previous is None:
        return prompt
    return replace(prompt, mask=previous.logits, mask_origin=(0, 0))


def _split_into_steps(predictor: PredictorLike, prompt: Prompt) -> list[Prompt]:
    """Split a prompt into the sequence of clicks."""
    support = predictor.prompt_support
    feeds_back = support.trained_on("point") and support.trained_on("mask")
    return correction_steps(prompt) if feeds_back else [prompt]


def _key(embedding: Embedding, step: Prompt, size: Size | None) -> Any:
    """Return the cache key of one step."""
    parts = [
        None if part is None else (part.shape, part.tobytes())
        for part in (step.points, step.labels, step.box, step.mask)
    ]
    plane = (
        embedding.model_key,
        embedding.plane_key,
        embedding.shape,
        embedding.window,
        embedding.instances is None,
    )
    return (*plane, *parts, step.mask_origin, size)
