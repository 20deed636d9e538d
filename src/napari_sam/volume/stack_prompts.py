"""Prompts and painted masks of the objects in a stack, by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.arrays import as_image
from napari_sam.checks.values import MAX_LABEL, index_key, index_keys
from napari_sam.masks.patch import PAINTED_LOGIT, MaskPatch
from napari_sam.prompts.prompt import ObjectPrompts, Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from napari_sam.images.stack import Stack

ObjectMasks = dict[int, dict[int, MaskPatch]]


@dataclass(frozen=True, slots=True, eq=False)
class PromptedSlices:
    """What the user says about one object, by slice.

    Parameters
    ----------
    prompts : dict
        {slice: Prompt} for the model.
    masks : dict
        {slice: MaskPatch} painted by hand; used in place of prompts.
    ends : frozenset of int
        Slices where the object does not exist any more: those that have negative
        points only.
    """

    prompts: dict[int, Prompt]
    masks: dict[int, MaskPatch]
    ends: frozenset[int]

    @property
    def indices(self) -> list[int]:
        """Slices with a prompt or a mask, sorted."""
        return sorted({*self.prompts, *self.masks})

    def same_on(self, other: PromptedSlices, slice_index: int) -> bool:
        """Tell whether both say the same about a slice."""
        if (slice_index in self.ends) != (slice_index in other.ends):
            return False
        mask, other_mask = self.masks.get(slice_index), other.masks.get(slice_index)
        if mask is None and other_mask is None:
            prompt = self.prompts.get(slice_index)
            return _same_prompt(prompt, other.prompts.get(slice_index))
        if mask is None or other_mask is None or mask.origin != other_mask.origin:
            return False
        return np.array_equal(mask.logits, other_mask.logits)


def prompted_slices(
    prompts: ObjectPrompts, masks: ObjectMasks
) -> dict[int, PromptedSlices]:
    """Combine checked prompts and painted masks, {object id: PromptedSlices}."""
    combined = {}
    for object_id in sorted({*prompts, *masks}):
        slices = prompts.get(object_id, {})
        ends = frozenset(i for i, prompt in slices.items() if is_end(prompt))
        combined[object_id] = PromptedSlices(
            {i: prompt for i, prompt in slices.items() if i not in ends},
            masks.get(object_id, {}),
            ends,
        )
    return combined


def check_prompts(
    prompts: Mapping[int, Mapping[int, Prompt]],
    stack: Stack,
    masks: ObjectMasks | None = None,
) -> ObjectPrompts:
    """Check all prompts before the propagation, and clip boxes to the plane.

    Parameters
    ----------
    prompts : mapping
        {object id: {slice: Prompt}}. Negative points alone mean that the object does
        not exist on this slice any more.
    stack : Stack
        The stack to segment.
    masks : dict, optional
        Painted masks from `check_masks`; they can replace prompts.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}.

    Raises
    ------
    ValueError
        When there are neither prompts nor masks, or a prompt does not fit the stack.
    """
    masks = masks or {}
    checked: ObjectPrompts = {}
    for key, value in prompts.items():
        object_id = _check_object_id(key)
        slices = _slices_of(object_id, value, "Prompt")
        for slice_index, prompt in slices.items():
            if not isinstance(prompt, Prompt):
                raise ValueError(
                    f"Slice {slice_index} of object {object_id} has a "
                    f"{type(prompt).__name__}: give a Prompt."
                )
        # Without any prompted slice there is no object that could end.
        only_ends = object_id not in masks and all(map(is_end, slices.values()))
        for slice_index, prompt in slices.items():
            index = _check_slice(slice_index, stack)
            if only_ends or not is_end(prompt):
                prompt = prompt.within(stack.plane_shape)
            checked.setdefault(object_id, {})[index] = prompt
    if not (checked or masks):
        raise ValueError("There are no prompts: give a prompt on at least one slice.")
    return checked


def check_masks(
    masks: Mapping[int, Mapping[int, ArrayLike]] | None, stack: Stack
) -> ObjectMasks:
    """Check masks that were painted by hand, and crop them.

    Parameters
    ----------
    masks : mapping, optional
        {object id: {slice: (H, W) bool}}.
    stack : Stack
        The stack to segment.

    Returns
    -------
    dict
        {object id: {slice: MaskPatch}}.

    Raises
    ------
    ValueError
        When a mask is empty or does not fit the stack.
    """
    checked: ObjectMasks = {}
    what = "{object id: {slice: mask}}"
    masks = {} if masks is None else masks
    for key, slices in index_keys(masks, "masks", "object id", what).items():
        object_id = _check_object_id(key)
        for slice_index, value in _slices_of(object_id, slices, "mask").items():
            index = _check_slice(slice_index, stack)
            mask = np.asarray(as_image(value, f"masks[{object_id}][{index}]"))
            if mask.shape != stack.plane_shape or mask.dtype != bool:
                raise ValueError(
                    f"The mask of object {object_id} on slice {index} is {mask.dtype} "
                    f"of shape {mask.shape}: give bool of shape {stack.plane_shape}."
                )
            if not mask.any():
                raise ValueError(
                    f"The mask of object {object_id} on slice {index} is empty: mark "
                    "a pixel, or end the object there with a negative point."
                )
            patch = MaskPatch.from_mask(mask, logit=PAINTED_LOGIT)
            checked.setdefault(object_id, {})[index] = patch
    return checked


def is_end(prompt: Prompt) -> bool:
    """Tell whether a prompt has negative points only."""
    return prompt.kinds == {"point"} and not len(prompt.positives)


def _check_object_id(object_id: Any) -> int:
    number = index_key(object_id, "object id")
    if not 1 <= number <= MAX_LABEL:
        raise ValueError(
            f"Object id {number} is not a label: use a number from 1 to {MAX_LABEL}."
        )
    return number


def _slices_of(object_id: int, slices: Any, what: str) -> dict[int, Any]:
    return index_keys(slices, f"object {object_id}", "slice", f"{{slice: {what}}}")


def _check_slice(index: Any, stack: Stack) -> int:
    """Check a slice index, and convert it to int."""
    number = index_key(index, "slice")
    if not 0 <= number < len(stack):
        raise ValueError(
            f"There is a prompt on slice {number}, the stack has slices 0 to "
            f"{len(stack) - 1}: move or delete it."
        )
    return number


def _same_prompt(one: Prompt | None, other: Prompt | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.mask_origin == other.mask_origin and all(
        _same_array(getattr(one, name), getattr(other, name))
        for name in ("points", "labels", "box", "mask")
    )


def _same_array(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
