"""Batches of objects whose prompts have the same number of tokens.

Padding prompts to one length is not neutral: padded tokens take part in the attention
and change the masks. Objects are decoded batch by batch instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Prompts = Tensor | Sequence[Any]
"""A tensor, or nested lists where images or objects have different numbers."""

_ByObject = list[list[Tensor | None]]
# Dimensions of the prompts of one object.
_DIMENSIONS = {"input_points": 2, "input_labels": 1, "input_boxes": 1}


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """K objects that are decoded together.

    Parameters
    ----------
    positions : Tensor
        (K,) index of each object among the objects of all images.
    images : Tensor
        (K,) index of the image of each object.
    points, labels : Tensor or None
        (K, N, 2) as (x, y) pixels of the model input, and (K, N).
    boxes : Tensor or None
        (K, 4) as (x_min, y_min, x_max, y_max).
    masks : Tensor or None
        (L, 1, h, w) logits.
    mask_indices : Tensor
        (K,) index of the mask of each object.
    """

    positions: Tensor
    images: Tensor
    points: Tensor | None
    labels: Tensor | None
    boxes: Tensor | None
    masks: Tensor | None
    mask_indices: Tensor


def batch_prompts(
    images: int,
    input_points: Prompts | None,
    input_labels: Prompts | None,
    input_boxes: Prompts | None,
    input_masks: Prompts | None,
) -> tuple[list[int], list[PromptBatch]]:
    """Check prompts and sort the objects into batches of equal token counts.

    Parameters
    ----------
    images : int
        Number of images.
    input_points, input_labels, input_boxes, input_masks : Tensor or sequence, optional
        As for `napari_sam.huggingface.model.SamModel.forward`.

    Returns
    -------
    counts : list of int
        Number of objects of each image.
    batches : list of PromptBatch
        Every object is in one of them.

    Raises
    ------
    ValueError
        When prompts do not fit together; the message says which.
    """
    points = _by_object("input_points", input_points, images)
    labels = _by_object("input_labels", input_labels, images)
    boxes = _by_object("input_boxes", input_boxes, images)
    masks = _masks_by_object(input_masks, images)
    prompts = {"input_points": points, "input_labels": labels, "input_boxes": boxes}
    counts = _object_counts(images, prompts, masks)
    if masks is not None:
        prompts["input_masks"] = _share_masks(masks, counts)
    optional = all(prompt is None for prompt in prompts.values())
    batches: dict[Any, list[_Object]] = defaultdict(list)
    position = 0
    for image, count in enumerate(counts):
        for index in range(count):
            own = [None if p is None else p[image][index] for p in prompts.values()]
            item = _Object(position, image, *own)
            item.check(f"Object {index} of image {image}", optional)
            batches[item.signature].append(item)
            position += 1
    return counts, [_stack(items) for items in batches.values()]


@dataclass(slots=True)
class _Object:
    """One object and its prompts."""

    position: int
    image: int
    points: Tensor | None
    labels: Tensor | None
    box: Tensor | None
    mask: Tensor | None = None

    def check(self, name: str, optional: bool) -> None:
        """Check the shapes, and add positive labels to points without labels."""
        if self.points is None and self.labels is not None:
            raise ValueError(f"{name} has labels without points: give the points.")
        if self.points is not None:
            count = len(self.points)
            if self.points.shape != (count, 2):
                raise ValueError(f"{name}: points must be a list of (x, y).")
            if self.labels is None:
                self.labels = self.points.new_ones(count)
            if self.labels.shape != (count,):
                raise ValueError(
                    f"{name} has {count} points and labels of shape "
                    f"{tuple(self.labels.shape)}: give one label for each point."
                )
        if self.box is not None and self.box.shape != (4,):
            raise ValueError(f"{name}: a box must be (x_min, y_min, x_max, y_max).")
        if optional:
            return
        if self.points is None and self.box is None and self.mask is None:
            raise ValueError(f"{name} has no prompt: give points, a box or a mask.")

    @property
    def signature(self) -> tuple[int | None, bool, Any]:
        """What the objects of one batch have in common."""
        points = None if self.points is None else len(self.points)
        return points, self.box is None, None if self.mask is None else self.mask.shape


def _stack(objects: list[_Object]) -> PromptBatch:
    def stack(name: str) -> Tensor | None:
        values = [getattr(item, name) for item in objects]
        return None if values[0] is None else torch.stack(values)

    # A mask that objects of an image share is encoded once.
    masks = {id(item.mask): item.mask for item in objects if item.mask is not None}
    order = {key: index for index, key in enumerate(masks)}
    return PromptBatch(
        positions=torch.tensor([item.position for item in objects]),
        images=torch.tensor([item.image for item in objects]),
        points=stack("points"),
        labels=stack("labels"),
        boxes=stack("box"),
        masks=torch.stack([*masks.values()])[:, None] if masks else None,
        mask_indices=torch.tensor([order.get(id(item.mask), 0) for item in objects]),
    )


def _by_object(name: str, prompts: Prompts | None, images: int) -> _ByObject | None:
    """List prompts as [image][object] tensors; empty ones of lists become None."""
    dimensions = _DIMENSIONS[name]
    if prompts is None:
        return None
    if isinstance(prompts, Tensor):
        if prompts.ndim != dimensions + 2 or prompts.shape[0] != images:
            raise ValueError(
                f"{name} has shape {tuple(prompts.shape)}: give {dimensions + 2} "
                f"dimensions, the first for the {images} images."
            )
        return [list(image) for image in prompts]
    _check_length(name, prompts, images)
    nested = [[_to_tensor(item) for item in image] for image in prompts]
    _check_dimensions(name, nested, dimensions)
    return nested


def _masks_by_object(masks: Prompts | None, images: int) -> _ByObject | None:
    """List masks as [image][mask] tensors (h, w)."""
    if masks is None:
        return None
    if isinstance(masks, Tensor):
        if masks.ndim == 3:
            masks = masks[:, None]
        if masks.ndim == 5 and masks.shape[2] == 1:
            masks = masks[:, :, 0]
        if masks.ndim != 4 or masks.shape[0] != images:
            raise ValueError(
                f"input_masks has shape {tuple(masks.shape)}: give (images, 1, h, w) "
                "or (images, objects, h, w) low-resolution logits for the "
                f"{images} images."
            )
        return [list(image) for image in masks]
    _check_length("input_masks", masks, images)
    nested = [[_to_tensor(item) for item in image] for image in masks]
    nested = [[None if m is None else m.squeeze() for m in image] for image in nested]
    _check_dimensions("input_masks", nested, 2)
    return nested


def _check_length(name: str, prompts: Sequence[Any], images: int) -> None:
    if len(prompts) != images:
        raise ValueError(
            f"{name} is for {len(prompts)} images, the model got {images}: give a list "
            "with one entry for each image."
        )


def _check_dimensions(name: str, nested: _ByObject, dimensions: int) -> None:
    for item in (item for image in nested for item in image):
        if item is not None and item.ndim != dimensions:
            raise ValueError(
                f"{name} has an object of shape {tuple(item.shape)}, not of "
                f"{dimensions} dimensions: nest prompts as images, objects, values."
            )


def _to_tensor(item: Any) -> Tensor | None:
    tensor = None if item is None else torch.as_tensor(item)
    return None if tensor is None or tensor.numel() == 0 else tensor


def _object_counts(
    images: int, prompts: dict[str, _ByObject | None], masks: _ByObject | None
) -> list[int]:
    """Count the objects of each image, which all kinds of prompts must agree on."""
    counts = {
        name: [len(image) for image in nested]
        for name, nested in prompts.items()
        if nested is not None
    }
    if not counts and masks is not None:
        counts = {"input_masks": [len(image) for image in masks]}
    first, *others = [*counts.values()] or [[1] * images]
    if any(other != first for other in others):
        described = ", ".join(f"{name} {number}" for name, number in counts.items())
        raise ValueError(
            "Points, labels and boxes describe different numbers of objects "
            f"({described}): give each object all of its prompts, None where it has "
            "none of a kind."
        )
    if not any(first):
        raise ValueError("The prompts describe no objects: give at least one.")
    return first


def _share_masks(masks: _ByObject, counts: list[int]) -> _ByObject:
    """Give each object of an image its mask; a single mask is for all of them."""
    for image, (own, count) in enumerate(zip(masks, counts, strict=True)):
        if len(own) not in (1, count):
            raise ValueError(
                f"input_masks has {len(own)} masks for the {count} objects of image "
                f"{image}: give one for each object, or one for all."
            )
    return [
        own if len(own) == count else own * count
        for own, count in zip(masks, counts, strict=True)
    ]
