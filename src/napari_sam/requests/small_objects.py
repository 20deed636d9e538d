"""Warnings about objects that the model sees with too few pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.prediction.zoom.ranking import quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prompts.prompt import ObjectPrompts, Prompt
    from napari_sam.volume.results import SliceResult

# Below this side in the network masks are wrong more often than right (docs/zoom.md).
_MIN_NETWORK_PIXELS = 8.0
_MAX_NAMED = 5
# Without zoom: right answers to clicks have a quality of about 0.8, wrong ones 0.6.
_MIN_QUALITY = 0.75
# Where the model sees objects of this many pixels of the plane, few objects are lost.
_MIN_LOST_PIXELS = 12.0


class SmallObjectWarning(UserWarning):
    """An object that the model sees with too few pixels."""


def small_object_warnings(
    prompts: Mapping[int, Prompt],
    predictions: Sequence[Prediction],
    *,
    zoomed: bool = True,
) -> tuple[str, ...]:
    """Return a sentence about the objects that are too small for the model, if any.

    The size of an object under a click is not known. Without zoom, a doubtful answer on
    a plane that the model sees much reduced is told.

    Parameters
    ----------
    prompts : mapping
        {object id: Prompt}.
    predictions : sequence of Prediction
        Their predictions, in order.
    zoomed : bool
        Whether windows of the plane were tried.
    """
    sides, doubtful, visible = {}, [], 0.0
    for (object_id, prompt), prediction in zip(
        prompts.items(), predictions, strict=True
    ):
        scale = float(prediction.transform.scale.max())
        sides[object_id] = _side(prompt, prediction) * scale
        is_reduced = _MIN_NETWORK_PIXELS / scale > _MIN_LOST_PIXELS
        is_click = not zoomed and prompt.kinds == {"point"}
        if is_click and is_reduced and quality(prediction) < _MIN_QUALITY:
            doubtful.append(object_id)
            visible = _MIN_NETWORK_PIXELS / scale
    sentences = _sentences(sides)
    if doubtful and not sentences:
        return (
            f"The mask of object {doubtful[0]} is doubtful: without zoom the model "
            f"cannot see objects under {visible:.0f} pixels on this plane. For one, "
            "set the zoom to auto, or crop the image.",
        )
    return sentences


def small_on_slices_warnings(
    prompts: ObjectPrompts,
    results: Iterable[SliceResult],
    plane_shape: tuple[int, int],
    predictor: PredictorLike,
) -> tuple[str, ...]:
    """Return a sentence about the objects of a stack that are too small, if any.

    Parameters
    ----------
    prompts : dict
        {object id: {slice: Prompt}}; only boxes tell the size of an object.
    results : iterable of SliceResult
        Results of the propagation.
    plane_shape : tuple of int
        (H, W) of a slice.
    predictor : PredictorLike
        The model.
    """
    sides: dict[int, float] = {}
    for result in results:
        prompt = prompts.get(result.object_id, {}).get(result.index)
        if prompt is None or prompt.box is None or result.status != "anchor":
            continue
        shown = plane_shape if result.window is None else result.window.shape
        side = _length(prompt.box) * predictor.input_size / max(shown)
        sides[result.object_id] = min(side, sides.get(result.object_id, np.inf))
    return _sentences(sides)


def _sentences(sides: Mapping[int, float]) -> tuple[str, ...]:
    """Describe the objects that are too small, {object id: pixels in the network}."""
    small = {o: side for o, side in sides.items() if side < _MIN_NETWORK_PIXELS}
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
    if box is None:
        patch = prediction.make_patch()
        box = patch.box if patch.logits.size else None
    return np.inf if box is None else _length(box)


def _length(box: NDArray[np.float64]) -> float:
    return float((box[2:] - box[:2]).max()) + 1
