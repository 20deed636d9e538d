"""What the user says of objects in a stack: prompts, painted masks, ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.patch import PAINTED_LOGIT, MaskPatch
from napari_sam.prompts.prompt import ObjectPrompts, Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from napari_sam.images.stack import Stack

ObjectMasks = dict[int, dict[int, MaskPatch]]


@dataclass(frozen=True, slots=True, eq=False)
class PromptedSlices:
    """What is known of one object, by slice.

    Parameters
    ----------
    prompts : dict
        {slice: Prompt} that the model answers.
    masks : dict
        {slice: Patch} painted by hand; they count more than prompts.
    ends : frozenset of int
        Slices on which the object is not any more: those with negative points only.
    """

    prompts: dict[int, Prompt]
    masks: dict[int, MaskPatch]
    ends: frozenset[int]

    @property
    def indices(self) -> list[int]:
        """Slices on which the object was shown, sorted."""
        return sorted({*self.prompts, *self.masks})

    def same_at(self, other: PromptedSlices, index: int) -> bool:
        """Whether two plans say the same of a slice."""
        if (index in self.ends) != (index in other.ends):
            return False
        if index in self.masks or index in other.masks:
            mine, theirs = self.masks.get(index), other.masks.get(index)
            if mine is None or theirs is None or mine.origin != theirs.origin:
                return False
            return np.array_equal(mine.logits, theirs.logits)
        return _same_prompt(self.prompts.get(index), other.prompts.get(index))


def prompted_slices(
    prompts: ObjectPrompts, masks: ObjectMasks
) -> dict[int, PromptedSlices]:
    """Bring checked prompts and painted masks together, by object."""
    plan = {}
    for number in sorted({*prompts, *masks}):
        given = prompts.get(number, {})
        shown = {i: prompt for i, prompt in given.items() if not is_end(prompt)}
        ends = frozenset(given) - frozenset(shown)
        plan[number] = PromptedSlices(shown, masks.get(number, {}), ends)
    return plan


def check_prompts(
    prompts: Mapping[int, Mapping[int, Prompt]],
    stack: Stack,
    masks: ObjectMasks | None = None,
) -> ObjectPrompts:
    """Check all prompts before any work starts; the boxes are cut to the plane.

    Parameters
    ----------
    prompts : mapping
        {object id: {slice index: Prompt}}. Negative points alone say that the
        object is not on this slice any more.
    stack : Stack
        Where they lie.
    masks : dict, optional
        Painted masks, checked by `check_masks`, which may stand for prompts.

    Raises
    ------
    ValueError
        When there is nothing to follow, or something does not fit the stack.
    """
    painted = masks or {}
    plan: ObjectPrompts = {}
    for object_id, slices in prompts.items():
        if object_id < 1:
            raise ValueError(f"Object id {object_id} is not a label: use 1 or more.")
        for index, prompt in slices.items():
            if not isinstance(prompt, Prompt):
                raise ValueError(
                    f"Slice {index} of object {object_id} holds a "
                    f"{type(prompt).__name__}: give a Prompt."
                )
        # An object without any slice where it is has nothing that could end.
        only_ends = object_id not in painted and all(map(is_end, slices.values()))
        for index, prompt in slices.items():
            plane_index = _check_index(index, stack)
            if only_ends or not is_end(prompt):
                prompt = prompt.within(stack.plane_shape)
            plan.setdefault(object_id, {})[plane_index] = prompt
    if not (plan or painted):
        raise ValueError("There are no prompts: give a prompt on at least one slice.")
    return plan


def check_masks(
    masks: Mapping[int, Mapping[int, ArrayLike]] | None, stack: Stack
) -> ObjectMasks:
    """Check masks painted by hand, and cut them out.

    Parameters
    ----------
    masks : mapping
        {object id: {slice index: (H, W) bool}}.
    stack : Stack
        Where they lie.

    Raises
    ------
    ValueError
        When a mask is empty or does not fit the stack.
    """
    checked: ObjectMasks = {}
    for object_id, slices in (masks or {}).items():
        if object_id < 1:
            raise ValueError(f"Object id {object_id} is not a label: use 1 or more.")
        for index, value in slices.items():
            plane_index = _check_index(index, stack)
            mask = np.asarray(value)
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
            checked.setdefault(object_id, {})[plane_index] = patch
    return checked


def is_end(prompt: Prompt) -> bool:
    """Whether a prompt only says where the object is not."""
    return prompt.kinds == {"point"} and not len(prompt.positives)


def _check_index(index: Any, stack: Stack) -> int:
    """A slice of the stack, as a whole number.

    Raises
    ------
    ValueError
        When it is none.
    """
    if not float(index).is_integer():
        raise ValueError(f"{index} is no slice: slices are whole numbers.")
    if not 0 <= index < len(stack):
        raise ValueError(
            f"There is a prompt on slice {index}, the stack has slices 0 to "
            f"{len(stack) - 1}: move or delete it."
        )
    return int(index)


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
