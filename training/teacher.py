"""Masks for real images, where a model's own answers to boxes agree with themselves.

LiteMedSAM was trained on boxes. A box drawn by chance is mostly wrong; but where the
mask fills its box, stays when the threshold moves, and the model expects it to be good,
the answer describes something that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import box_iou, mask_iou, mask_to_box, stability
from napari_sam.prompts.prompt import Prompt
from napari_sam.training.data import TrainingImage, training_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.predictor import Predictor

Rng = np.random.Generator

CROPS = (128, 192, 256, 384)
BOXES = 24
# A box is drawn by chance; its mask's own box is a better question about the same
# object. So often it is asked, until mask and box agree.
ROUNDS = 4
LEAST_CONSISTENCY = 0.85
LEAST_SCORE = 0.78
LEAST_STABILITY = 0.75
# Of an answer, to ask about its own box.
WORTH_ASKING = 0.65
# Boxes more alike than this get the same answer.
SETTLED = 0.95
# Two masks are the same object from here on.
SAME = 0.7
AREAS = (0.003, 0.5)
_LARGEST_SIDE_SHARE = 0.7


def crop(image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Cut a square of a chance size and place, and turn most of it grey."""
    side = min(int(rng.choice(CROPS)), *image.shape[:2])
    row, col = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
    cut = image[row : row + side, col : col + side]
    if cut.ndim == 3 and rng.random() < 0.7:
        cut = np.rint(cut.mean(-1)).astype(np.uint8)
    return np.ascontiguousarray(cut)


def teach(
    predictor: Predictor, plane: NDArray[np.uint8], name: str, rng: Rng
) -> list[TrainingImage]:
    """Ask about boxes, keep the answers that agree with themselves.

    Returns
    -------
    list of TrainingImage
        Masks that overlap lie in different ones, which share their plane.
    """
    embedding = predictor.embed(plane)
    boxes = list(_boxes(plane.shape[0], rng))
    kept: list[tuple[float, NDArray[np.bool_]]] = []
    for _ in range(ROUNDS):
        answers = predictor.predict_batch(embedding, [Prompt(box=b) for b in boxes])
        following = []
        for box, answer in zip(boxes, answers, strict=True):
            again = mask_to_box(answer.mask)
            if again is None or not _has_area(again) or answer.score < WORTH_ASKING:
                continue
            consistency = float(box_iou(box, again))
            quality = _trust(answer, consistency)
            if quality:
                kept.append((quality, answer.mask))
            elif consistency < SETTLED:
                following.append(again)
        boxes = following
    return _layers(plane, kept, name)


def _trust(answer: Prediction, consistency: float) -> float:
    """How sure an answer is, 0 where it is not to be learned from."""
    steady = float(stability(answer.logits))
    good = (
        AREAS[0] < answer.mask.mean() < AREAS[1]
        and answer.score >= LEAST_SCORE
        and steady >= LEAST_STABILITY
        and consistency >= LEAST_CONSISTENCY
    )
    return answer.score * steady if good else 0.0


def _boxes(side: int, rng: Rng) -> NDArray[np.float64]:
    """Boxes of chance sizes and places, (BOXES, 4)."""
    sizes = side * np.exp(rng.uniform(np.log(0.06), np.log(_LARGEST_SIDE_SHARE), BOXES))
    shape = np.exp(rng.normal(0, 0.3, BOXES))
    sizes = np.clip(np.stack([sizes * shape, sizes / shape], 1), 4, side - 1)
    corners = rng.uniform(0, 1, (BOXES, 2)) * (side - 1 - sizes)
    return np.hstack([corners, corners + sizes])


def _has_area(box: NDArray[np.float64]) -> bool:
    return bool((box[2:] > box[:2]).all())


def _layers(
    plane: NDArray[np.uint8], masks: list[tuple[float, NDArray[np.bool_]]], name: str
) -> list[TrainingImage]:
    """Drop doubles, the surest kept; put masks where they overlap no other."""
    layers: list[NDArray[np.int64]] = []
    chosen: list[NDArray[np.bool_]] = []
    for _, mask in sorted(masks, key=lambda entry: -entry[0]):
        if any(mask_iou(mask, other) > SAME for other in chosen):
            continue
        chosen.append(mask)
        for layer in layers:
            if not layer[mask].any():
                layer[mask] = len(chosen)
                break
        else:
            layers.append(mask.astype(np.int64) * len(chosen))
    return [image for layer in layers for image in training_images(plane, layer, name)]
