"""Assignment of prompts to objects, and to the objects of a pending stack."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import box_iou
from napari_sam.plugin.state.layer_request import prompt_key
from napari_sam.prompts.grouping import PromptEntry, assign_object_ids, join_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.prompts.prompt import ObjectPrompts, Prompt
    from napari_sam.volume.results import SliceResult, VolumeResult

# A box corrects an object whose own box it overlaps by at least this IoU.
_MIN_BOX_IOU = 0.3
# A prompt corrects an object on the nearest slice within this distance.
_MAX_SLICE_DISTANCE = 3


def assign_prompts(
    prompts: Sequence[LayerPrompt],
    axis: int,
    before: LayerRequest,
    volume: VolumeResult,
) -> list[int | None]:
    """Find the pending object that each prompt corrects, where each is an object.

    A prompt of the earlier request stays with its object. A new box belongs to the
    object whose box it overlaps best, a click on an object to that object, and a
    negative click on the background to the nearest object. Objects are compared on
    the slice of the prompt, or on the nearest of their slices a few slices away. An
    object has one box on a slice, so a second box starts a new object.

    Parameters
    ----------
    prompts : sequence of LayerPrompt
        Prompts of the stack.
    axis : int
        Axis of propagation.
    before : LayerRequest
        The request of the pending result.
    volume : VolumeResult
        The pending objects.

    Returns
    -------
    list of int or None
        Object id of each prompt; None when it belongs to no pending object.
    """
    known: dict[object, list[int]] = {}
    for prompt, object_id in zip(before.prompts, before.objects, strict=True):
        known.setdefault(prompt_key(prompt), []).append(object_id)
    assigned: list[int | None] = []
    for prompt in prompts:
        same = known.get(prompt_key(prompt))
        assigned.append(same.pop(0) if same else None)
    boxed = {
        (object_id, prompt.slices[axis])
        for prompt, object_id in zip(prompts, assigned, strict=True)
        if object_id is not None and prompt.prompt.box is not None
    }
    overlaps: list[tuple[float, int, int]] = []
    for i, prompt in enumerate(prompts):
        if assigned[i] is not None:
            continue
        nearby = _nearest_masks(volume, prompt.slices[axis])
        if prompt.prompt.box is None:
            assigned[i] = _object_at_click(prompt.prompt, nearby)
        else:
            overlaps += [
                (float(box_iou(prompt.prompt.box, mask.patch.box)), i, mask.object_id)
                for mask in nearby
            ]
    for iou, i, object_id in sorted(overlaps, reverse=True):
        place = object_id, prompts[i].slices[axis]
        if iou >= _MIN_BOX_IOU and assigned[i] is None and place not in boxed:
            assigned[i] = object_id
            boxed.add(place)
    return assigned


def _nearest_masks(volume: VolumeResult, slice_index: int) -> list[SliceResult]:
    """Return each object's mask on its slice nearest to this one."""
    nearest: dict[int, SliceResult] = {}
    for mask in volume.slices:
        distance = abs(mask.index - slice_index)
        if distance > _MAX_SLICE_DISTANCE or not mask.logits.size:
            continue
        best = nearest.get(mask.object_id)
        if best is None or distance < abs(best.index - slice_index):
            nearest[mask.object_id] = mask
    return list(nearest.values())


def _object_at_click(prompt: Prompt, masks: Sequence[SliceResult]) -> int | None:
    """Return the object under a click, or next to a negative one."""
    if not masks:
        return None
    distance, object_id = min((_distance(prompt, m), m.object_id) for m in masks)
    return object_id if distance < 1 or not len(prompt.positives) else None


def _distance(prompt: Prompt, mask: SliceResult) -> float:
    """Return the distance in pixels from the points to a mask; 0 on it."""
    pixels = np.argwhere(mask.mask) + mask.origin
    steps = pixels[:, None] - np.rint(prompt.points)
    return float(np.sqrt((steps**2).sum(axis=-1)).min())


def objects_on_plane(
    prompts: Sequence[LayerPrompt], each_prompt_an_object: bool
) -> list[Prompt]:
    """Join the prompts of a plane to one prompt for each object."""
    plan, _ = _group(prompts, [0] * len(prompts), each_prompt_an_object)
    return [slices[0] for slices in plan.values()]


def objects_in_stack(
    prompts: Sequence[LayerPrompt],
    axis: int,
    each_prompt_an_object: bool,
    known: Sequence[int | None] | None = None,
) -> tuple[ObjectPrompts, tuple[int, ...]]:
    """Join the prompts of a stack by object and slice.

    Parameters
    ----------
    prompts : sequence of LayerPrompt
        Prompts of the stack.
    axis : int
        Axis of propagation.
    each_prompt_an_object : bool
        Otherwise all prompts describe one object.
    known : sequence of int or None, optional
        Object id of each prompt, where it is known.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}.
    tuple of int
        Object id of each prompt.
    """
    slices = [prompt.slices[axis] for prompt in prompts]
    return _group(prompts, slices, each_prompt_an_object, known)


def _group(
    prompts: Sequence[LayerPrompt],
    slices: Sequence[int],
    each: bool,
    known: Sequence[int | None] | None = None,
) -> tuple[ObjectPrompts, tuple[int, ...]]:
    known = [None] * len(prompts) if known is None else known
    if not each:
        boxes = Counter(
            index
            for prompt, index in zip(prompts, slices, strict=True)
            if prompt.prompt.box is not None
        )
        check_boxes(max(boxes.values(), default=0))
        known = [1] * len(prompts)
    entries = [
        _entry(prompt, index, object_id)
        for prompt, index, object_id in zip(prompts, slices, known, strict=True)
    ]
    # Boxes are numbered first, as points may belong to them.
    order = sorted(range(len(entries)), key=lambda i: entries[i].is_point)
    ordered = [entries[i] for i in order]
    object_ids = assign_object_ids(ordered)
    by_prompt = dict(zip(order, object_ids, strict=True))
    plan = join_entries(ordered, object_ids)
    return plan, tuple(by_prompt[i] for i in range(len(entries)))


def check_boxes(count: int) -> None:
    """Refuse several boxes for one object."""
    if count > 1:
        raise ValueError(
            f"There are {count} boxes for one object: tick 'Each box or point is a "
            "separate object', or leave one box."
        )


def _entry(prompt: LayerPrompt, index: int, object_id: int | None) -> PromptEntry:
    kind = "A point" if prompt.kind == "point" else f"A {prompt.kind}"
    return PromptEntry(
        f"{kind} in {prompt.layer.name!r}",
        index,
        prompt.prompt,
        object_id,
        is_point=prompt.prompt.box is None,
    )
