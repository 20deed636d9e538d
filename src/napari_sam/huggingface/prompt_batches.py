"""Prompts of many objects, put together where they have the same number of tokens.

Padding prompts to one length is not neutral: padded tokens take part in attention
and change the masks. Objects are decoded group by group instead.
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

_DIMS = {"input_points": 4, "input_labels": 3, "input_boxes": 3}


@dataclass(frozen=True, slots=True, eq=False)
class PromptGroup:
    """K objects that are decoded together.

    Parameters
    ----------
    places : Tensor
        (K,) place of each object among the objects of all images.
    images : Tensor
        (K,) the image of each object.
    points, labels : Tensor or None
        (K, N, 2) as (x, y) pixels of the model input, and (K, N).
    boxes : Tensor or None
        (K, 4) as (x_min, y_min, x_max, y_max).
    masks : Tensor or None
        (L, 1, h, w) logits.
    mask_of : Tensor
        (K,) the mask of each object.
    """

    places: Tensor
    images: Tensor
    points: Tensor | None
    labels: Tensor | None
    boxes: Tensor | None
    masks: Tensor | None
    mask_of: Tensor


def group_prompts(
    batch: int,
    input_points: Prompts | None,
    input_labels: Prompts | None,
    input_boxes: Prompts | None,
    input_masks: Prompts | None,
) -> tuple[list[int], list[PromptGroup]]:
    """Check prompts and sort the objects by what they have.

    Parameters
    ----------
    batch : int
        Number of images.
    input_points, input_labels, input_boxes, input_masks : Tensor or sequence, optional
        As for `napari_sam.nets.sam.SamModel.forward`.

    Returns
    -------
    counts : list of int
        Objects of each image.
    groups : list of PromptGroup
        Every object is in one of them.

    Raises
    ------
    ValueError
        When prompts do not fit together; the sentence says which.
    """
    given = {
        "input_points": input_points,
        "input_labels": input_labels,
        "input_boxes": input_boxes,
    }
    if all(value is None or isinstance(value, Tensor) for value in given.values()) and (
        input_masks is None or isinstance(input_masks, Tensor)
    ):
        return _one_group(batch, given, input_masks)
    return _many_groups(batch, given, input_masks)


def _one_group(
    batch: int, given: dict[str, Any], masks: Tensor | None
) -> tuple[list[int], list[PromptGroup]]:
    """Tensors: every object has the same prompts."""
    counts = set()
    for name, prompt in given.items():
        if prompt is None:
            continue
        if prompt.ndim != _DIMS[name] or prompt.shape[0] != batch:
            raise ValueError(
                f"{name} has shape {tuple(prompt.shape)}: give {_DIMS[name]} "
                f"dimensions, the first for the {batch} images."
            )
        counts.add(prompt.shape[1])
    points, labels, boxes = given.values()
    _check_labels(points, labels)
    if len(counts) > 1:
        raise ValueError(
            "Points, labels and boxes describe different numbers of objects "
            f"({sorted(counts)}): give each object all of its prompts."
        )
    flat_masks, shared = _flatten_masks(batch, masks)
    objects = counts.pop() if counts else flat_masks.shape[1]
    if not shared and flat_masks.shape[1] != objects:
        raise ValueError(
            f"input_masks holds {flat_masks.shape[1]} masks an image for {objects} "
            "objects: give one for each object, or one for all."
        )
    if points is not None and labels is None:
        labels = torch.ones(points.shape[:3], device=points.device)
    places = torch.arange(batch * objects)
    images = places // max(objects, 1)
    group = PromptGroup(
        places,
        images,
        _join_axes(points),
        _join_axes(labels),
        _join_axes(boxes),
        None if masks is None else flat_masks.flatten(0, 1)[:, None],
        images if shared else places,
    )
    return [objects] * batch, [group]


def _join_axes(prompts: Tensor | None) -> Tensor | None:
    """Images and objects become one axis."""
    return None if prompts is None else prompts.flatten(0, 1)


def _check_labels(points: Any, labels: Any) -> None:
    if labels is None:
        return
    if points is None:
        raise ValueError(
            "input_labels came without input_points: give the points that they label."
        )
    if isinstance(points, Tensor) and points.shape[:-1] != labels.shape:
        raise ValueError(
            f"input_labels has shape {tuple(labels.shape)} for points of shape "
            f"{tuple(points.shape)}: give one label a point."
        )


def _flatten_masks(batch: int, masks: Tensor | None) -> tuple[Tensor, bool]:
    """(B, masks, h, w), and whether an image has one mask for all of its objects."""
    if masks is None:
        return torch.zeros(batch, 1, 0, 0), True
    if masks.ndim == 3:
        masks = masks[:, None]
    if masks.ndim == 5 and masks.shape[2] == 1:
        masks = masks[:, :, 0]
    if masks.ndim != 4 or masks.shape[0] != batch:
        raise ValueError(
            f"input_masks has shape {tuple(masks.shape)}: give (images, 1, h, w) or "
            f"(images, objects, h, w) low-resolution logits for the {batch} images."
        )
    return masks, masks.shape[1] == 1


def _many_groups(
    batch: int, given: dict[str, Any], masks: Prompts | None
) -> tuple[list[int], list[PromptGroup]]:
    """Lists: each object has prompts of its own."""
    known = {
        name: _objects(name, value, batch, dims=_DIMS[name] - 2)
        for name, value in given.items()
    }
    counts = _counts(batch, known)
    prompts = [*known.values(), _object_masks(batch, masks, counts)]
    members: dict[Any, list[_Member]] = defaultdict(list)
    for image, count in enumerate(counts):
        for item in range(count):
            place = sum(counts[:image]) + item
            own = [None if p is None else p[image][item] for p in prompts]
            member = _Member(place, image, *own)
            members[member.check(item)].append(member)
    return counts, [_join(group) for group in members.values()]


@dataclass(slots=True)
class _Member:
    """One object."""

    place: int
    image: int
    points: Tensor | None
    labels: Tensor | None
    box: Tensor | None
    mask: Tensor | None

    def check(self, item: int) -> tuple[int, bool, Any]:
        """What objects of one group share."""
        where = f"Object {item} of image {self.image}"
        if self.points is None and self.labels is not None:
            raise ValueError(f"{where} has labels without points: give the points.")
        if self.points is not None:
            count = len(self.points)
            if self.points.shape != (count, 2):
                raise ValueError(f"{where}: points must be a list of (x, y).")
            if self.labels is None:
                self.labels = self.points.new_ones(count)
            if self.labels.shape != (count,):
                raise ValueError(
                    f"{where} has {count} points and labels of shape "
                    f"{tuple(self.labels.shape)}: give one label a point."
                )
        if self.box is not None and self.box.shape != (4,):
            raise ValueError(f"{where}: a box must be (x_min, y_min, x_max, y_max).")
        if self.points is None and self.box is None and self.mask is None:
            raise ValueError(f"{where} has no prompt: give points, a box or a mask.")
        mask = None if self.mask is None else self.mask.shape
        return 0 if self.points is None else len(self.points), self.box is None, mask


def _join(group: list[_Member]) -> PromptGroup:
    def stack(name: str) -> Tensor | None:
        values = [getattr(member, name) for member in group]
        return None if values[0] is None else torch.stack(values)

    masks = stack("mask")
    return PromptGroup(
        torch.tensor([member.place for member in group]),
        torch.tensor([member.image for member in group]),
        stack("points"),
        stack("labels"),
        stack("box"),
        None if masks is None else masks[:, None],
        torch.arange(len(group)),
    )


def _objects(
    name: str, value: Any, batch: int, *, dims: int
) -> list[list[Tensor | None]] | None:
    """Prompts as [image][object] tensors of `dims` dimensions; empty ones are None."""
    if value is None:
        return None
    if len(value) != batch:
        raise ValueError(
            f"{name} is for {len(value)} images, the model got {batch}: give a list "
            "with one entry an image."
        )
    found = []
    for image in value:
        items = []
        for item in image:
            tensor = None if item is None else torch.as_tensor(item)
            if tensor is not None and tensor.numel() == 0:
                tensor = None
            if tensor is not None and tensor.ndim != dims:
                raise ValueError(
                    f"{name} has an object of shape {tuple(tensor.shape)}: nest it as "
                    "images, objects" + ("." if name == "input_boxes" else ", points.")
                )
            items.append(tensor)
        found.append(items)
    return found


def _counts(batch: int, prompts: dict[str, Any]) -> list[int]:
    """Objects of each image, the same for every kind of prompt."""
    seen = {
        name: [len(image) for image in value]
        for name, value in prompts.items()
        if value is not None
    }
    counts = list(seen.values())
    if any(other != counts[0] for other in counts[1:]):
        given = ", ".join(f"{name} {number}" for name, number in seen.items())
        raise ValueError(
            f"Points, labels and boxes describe different numbers of objects "
            f"({given}): "
            "give each object all of its prompts, None where it has none of a kind."
        )
    return counts[0] if counts else [1] * batch


def _object_masks(
    batch: int, masks: Prompts | None, counts: list[int]
) -> list[list[Tensor | None]] | None:
    """Masks as [image][object] tensors (h, w)."""
    if masks is None:
        return None
    if isinstance(masks, Tensor):
        flat, shared = _flatten_masks(batch, masks)
        nested: Any = [
            [mask[0]] * count if shared else list(mask)
            for mask, count in zip(flat, counts, strict=True)
        ]
    else:
        nested = [
            [None if m is None else torch.as_tensor(m).squeeze() for m in image]
            for image in masks
        ]
    if [len(image) for image in nested] != counts:
        raise ValueError(
            f"input_masks are for {[len(image) for image in nested]} objects, the "
            f"other prompts for {counts}: give one a object, or None."
        )
    return _objects("input_masks", nested, batch, dims=2)
