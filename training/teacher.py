"""Pseudo-labels for real images: consistent masks of a model for random boxes.

LiteMedSAM was trained on boxes. Most random boxes fit no object. But if the mask fills
its box, is stable when the threshold changes, and has a high predicted IoU, then it
shows a real object.
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
# The bounding box of a mask is a better prompt for the same object than the random box:
# it becomes the next prompt, up to this many times, until mask and box agree.
ROUNDS = 4
MIN_BOX_IOU = 0.85
MIN_PRED_IOU = 0.78
MIN_STABILITY = 0.75
# Predicted IoU that is worth another round.
MIN_PRED_IOU_FOR_NEXT_ROUND = 0.65
# Boxes with a higher IoU give the same mask.
SAME_BOX_IOU = 0.95
# Masks with a higher IoU are the same object.
SAME_MASK_IOU = 0.7
AREA_FRACTIONS = (0.003, 0.5)
_MAX_SIDE_FRACTION = 0.7


def crop(image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Crop a random square, and convert most crops to grey."""
    side = min(int(rng.choice(CROPS)), *image.shape[:2])
    row, col = (int(rng.integers(size - side + 1)) for size in image.shape[:2])
    cropped = image[row : row + side, col : col + side]
    if cropped.ndim == 3 and rng.random() < 0.7:
        cropped = np.rint(cropped.mean(-1)).astype(np.uint8)
    return np.ascontiguousarray(cropped)


def teach(
    predictor: Predictor, plane: NDArray[np.uint8], name: str, rng: Rng
) -> list[TrainingImage]:
    """Segment random boxes and keep the consistent masks.

    Returns
    -------
    list of TrainingImage
        Images with the same plane; masks that overlap are in different ones.
    """
    embedding = predictor.embed(plane, zoom="off")
    boxes = list(_boxes(plane.shape[0], rng))
    kept: list[tuple[float, NDArray[np.bool_]]] = []
    for _ in range(ROUNDS):
        prompts = [Prompt(box=box) for box in boxes]
        predictions = predictor.predict_batch(embedding, prompts)
        next_boxes = []
        for box, prediction in zip(boxes, predictions, strict=True):
            mask_box = mask_to_box(prediction.mask)
            if (
                mask_box is None
                or not _has_area(mask_box)
                or prediction.score < MIN_PRED_IOU_FOR_NEXT_ROUND
            ):
                continue
            iou = float(box_iou(box, mask_box))
            quality = _quality(prediction, iou)
            if quality:
                kept.append((quality, prediction.mask))
            elif iou < SAME_BOX_IOU:
                next_boxes.append(mask_box)
        boxes = next_boxes
    return _layers(plane, kept, name)


def _quality(prediction: Prediction, iou: float) -> float:
    """Compute predicted IoU x stability; 0 for a mask that is not to be used."""
    stability_score = float(stability(prediction.logits))
    is_usable = (
        AREA_FRACTIONS[0] < prediction.mask.mean() < AREA_FRACTIONS[1]
        and prediction.score >= MIN_PRED_IOU
        and stability_score >= MIN_STABILITY
        and iou >= MIN_BOX_IOU
    )
    return prediction.score * stability_score if is_usable else 0.0


def _boxes(side: int, rng: Rng) -> NDArray[np.float64]:
    """Sample random boxes, (BOXES, 4)."""
    sizes = side * np.exp(rng.uniform(np.log(0.06), np.log(_MAX_SIDE_FRACTION), BOXES))
    shape = np.exp(rng.normal(0, 0.3, BOXES))
    sizes = np.clip(np.stack([sizes * shape, sizes / shape], 1), 4, side - 1)
    corners = rng.uniform(0, 1, (BOXES, 2)) * (side - 1 - sizes)
    return np.hstack([corners, corners + sizes])


def _has_area(box: NDArray[np.float64]) -> bool:
    return bool((box[2:] > box[:2]).all())


def _layers(
    plane: NDArray[np.uint8], masks: list[tuple[float, NDArray[np.bool_]]], name: str
) -> list[TrainingImage]:
    """Drop duplicates but the best; put overlapping masks into different layers."""
    layers: list[NDArray[np.int64]] = []
    chosen: list[NDArray[np.bool_]] = []
    for _, mask in sorted(masks, key=lambda entry: -entry[0]):
        if any(mask_iou(mask, other) > SAME_MASK_IOU for other in chosen):
            continue
        chosen.append(mask)
        for layer in layers:
            if not layer[mask].any():
                layer[mask] = len(chosen)
                break
        else:
            layers.append(mask.astype(np.int64) * len(chosen))
    return [image for layer in layers for image in training_images(plane, layer, name)]
