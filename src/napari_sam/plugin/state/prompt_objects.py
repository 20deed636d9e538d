"""Which of the objects that wait in a stack a prompt belongs to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import box_iou
from napari_sam.plugin.state.layer_request import identity
from napari_sam.prompts.grouping import PromptEntry, join_entries, number_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.prompts.prompt import ObjectPrompts, Prompt
    from napari_sam.volume.results import SliceResult, VolumeResult


# A box that is drawn to correct an object covers at least this of it, as the
# intersection of the two boxes over their union.
_SAME = 0.3
# Further from the slice of the prompt, an object may be elsewhere.
_REACH = 3


def assign_prompts(
    prompts: Sequence[LayerPrompt],
    axis: int,
    before: LayerRequest,
    volume: VolumeResult,
) -> list[int | None]:
    """Tell which waiting object each prompt corrects, where each is an object.

    A prompt that was there before stays with its object. A new box belongs to the
    object that it covers best, a click on an object to that, and a click on the
    background to the nearest one: all on the slice of the prompt or, where the
    object is not on it, on the closest slice that has it, a few slices away at
    most. An object has one box on a slice, so a second one is of a new object.

    Parameters
    ----------
    prompts : sequence of LayerPrompt
        Of the stack.
    axis : int
        Along which the objects are followed.
    before : LayerRequest
        That the objects answer.
    volume : VolumeResult
        The objects.

    Returns
    -------
    list of int or None
        The object of each prompt; None when it belongs to none of them.
    """
    known: dict[object, list[int]] = {}
    for prompt, number in zip(before.prompts, before.objects, strict=True):
        known.setdefault(identity(prompt), []).append(number)
    found = [_next(known.get(identity(prompt), [])) for prompt in prompts]
    kept = {
        (number, prompt.slices[axis])
        for prompt, number in zip(prompts, found, strict=True)
        if number is not None and prompt.prompt.box is not None
    }
    wishes: list[tuple[float, int, int]] = []
    for plane_index, prompt in enumerate(prompts):
        if found[plane_index] is not None:
            continue
        around = _around(volume, prompt.slices[axis])
        if prompt.prompt.box is None:
            found[plane_index] = _clicked(prompt.prompt, around)
        else:
            wishes += [
                (_overlap(prompt.prompt, s), plane_index, s.object_id) for s in around
            ]
    for share, plane_index, number in sorted(wishes, reverse=True):
        place = number, prompts[plane_index].slices[axis]
        if share >= _SAME and found[plane_index] is None and place not in kept:
            found[plane_index] = number
            kept.add(place)
    return found


def _next(numbers: list[int]) -> int | None:
    """Of equal prompts each has an object of its own."""
    return numbers.pop(0) if numbers else None


def _around(volume: VolumeResult, index: int) -> list[SliceResult]:
    """Each object where it is closest to a slice."""
    closest: dict[int, SliceResult] = {}
    for there in volume.slices:
        away = abs(there.index - index)
        if away > _REACH or not there.logits.size:
            continue
        best = closest.get(there.object_id)
        if best is None or away < abs(best.index - index):
            closest[there.object_id] = there
    return list(closest.values())


def _overlap(prompt: Prompt, there: SliceResult) -> float:
    """Intersection over union of the box of a prompt and that of a mask."""
    return float(box_iou(prompt.box, there.patch.box))


def _clicked(prompt: Prompt, around: Sequence[SliceResult]) -> int | None:
    """The object that a click is on or, on the background, next to."""
    if not around:
        return None
    away = [(_distance(prompt, there), there.object_id) for there in around]
    distance, number = min(away)
    return number if distance < 1 or not len(prompt.positives) else None


def _distance(prompt: Prompt, there: SliceResult) -> float:
    """Pixels from the points of a prompt to a mask; 0 on it."""
    inside = np.argwhere(there.mask) + there.origin
    steps = inside[:, None] - np.rint(prompt.points)
    return float(np.sqrt((steps**2).sum(axis=-1)).min())


def objects_on_plane(
    prompts: Sequence[LayerPrompt], each_prompt_an_object: bool
) -> list[Prompt]:
    """One prompt for each object that the prompts of a plane describe."""
    plan, _ = _group(prompts, [0] * len(prompts), each_prompt_an_object)
    return [slices[0] for slices in plan.values()]


def objects_in_stack(
    prompts: Sequence[LayerPrompt],
    axis: int,
    each_prompt_an_object: bool,
    known: Sequence[int | None] | None = None,
) -> tuple[ObjectPrompts, tuple[int, ...]]:
    """What the prompts along an axis say of which object.

    Parameters
    ----------
    prompts : sequence of LayerPrompt
        Of the stack.
    axis : int
        Along which the objects are followed.
    each_prompt_an_object : bool
        Otherwise all slices describe one object.
    known : sequence of int or None, optional
        The object of each prompt, where it is known.

    Returns
    -------
    dict
        {object: {slice: Prompt}}.
    tuple of int
        The object of each prompt.
    """
    slices = [prompt.slices[axis] for prompt in prompts]
    return _group(prompts, slices, each_prompt_an_object, known)


def _group(
    prompts: Sequence[LayerPrompt],
    slices: Sequence[int],
    each: bool,
    known: Sequence[int | None] | None = None,
) -> tuple[ObjectPrompts, tuple[int, ...]]:
    """What is said of which object, and the object of each prompt."""
    known = [None] * len(prompts) if known is None else known
    if not each:
        boxes = Counter(
            index
            for prompt, index in zip(prompts, slices, strict=True)
            if prompt.prompt.box is not None
        )
        check_boxes(max(boxes.values(), default=0))
        known = [1] * len(prompts)
    entries = [_entry(*said) for said in zip(prompts, slices, known, strict=True)]
    # Boxes come first, as points may belong to them.
    order = sorted(
        range(len(entries)), key=lambda plane_index: entries[plane_index].is_point
    )
    ordered = [entries[plane_index] for plane_index in order]
    numbers = number_entries(ordered)
    object_of = dict(zip(order, numbers, strict=True))
    plan = join_entries(ordered, numbers)
    return plan, tuple(object_of[plane_index] for plane_index in range(len(entries)))


def check_boxes(count: int) -> None:
    """Refuse several boxes for one object."""
    if count > 1:
        raise ValueError(
            f"There are {count} boxes for one object: tick 'Each box or point is an "
            "object of its own', or leave one box."
        )


def _entry(prompt: LayerPrompt, index: int, number: int | None) -> PromptEntry:
    kind = "A point" if prompt.kind == "point" else f"A {prompt.kind}"
    return PromptEntry(
        f"{kind} in {prompt.layer.name!r}",
        index,
        prompt.prompt,
        number,
        is_point=prompt.prompt.box is None,
    )
