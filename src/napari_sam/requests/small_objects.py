"""Warnings about objects that the model sees with too few pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prompts.prompt import Prompt

# Below this side in the network masks are wrong more often than right (docs/zoom.md).
_MIN_NETWORK_PIXELS = 8.0
_MAX_NAMED = 5


class SmallObjectWarning(UserWarning):
    """An object that the model sees with too few pixels."""


def small_object_warnings(
    prompts: Mapping[int, Prompt], predictions: Sequence[Prediction]
) -> tuple[str, ...]:
    """Return a sentence about the objects that are too small for the model, if any.

    Parameters
    ----------
    prompts : mapping
        {object id: Prompt}.
    predictions : sequence of Prediction
        Their predictions, in order.
    """
    small: dict[int, float] = {}
    for (object_id, prompt), prediction in zip(
        prompts.items(), predictions, strict=True
    ):
        side = _side(prompt, prediction) * float(prediction.transform.scale.max())
        if side < _MIN_NETWORK_PIXELS:
            small[object_id] = side
    if not small:
        return ()
    ids, smallest = list(small), min(small.values())
    which = f"Object {ids[0]} is"
    if len(ids) > 1:
        named = ", ".join(map(str, ids[:_MAX_NAMED]))
        which = f"{len(ids)} objects ({named}{', ...' * (len(ids) > _MAX_NAMED)}) are"
    return (
        f"{which} only {smallest:.1f} pixels large for the model, which is too few to "
        "see: set the zoom to auto, or crop the image.",
    )


def _side(prompt: Prompt, prediction: Prediction) -> float:
    """Return the longer side of the box prompt, else of the mask, in pixels."""
    box = prompt.box
    if box is None and prediction.patch.logits.size:
        box = prediction.patch.box
    return np.inf if box is None else float((box[2:] - box[:2]).max()) + 1
