"""Which prompts describe which object."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.anchors import ObjectPrompts
    from napari_sam.plugin.layer_prompts import LayerPrompt


def objects_on_plane(
    prompts: Sequence[LayerPrompt], each_prompt_an_object: bool
) -> list[Prompt]:
    """One prompt for each object that the prompts of a plane describe."""
    given = [p.prompt for p in prompts]
    return separate_prompts(given) if each_prompt_an_object else [join_prompts(given)]


def objects_in_stack(
    prompts: Sequence[LayerPrompt], axis: int, each_prompt_an_object: bool
) -> ObjectPrompts:
    """{object: {slice: Prompt}} of the prompts along an axis.

    Without `each_prompt_an_object` all slices describe one object.
    """
    by_slice: dict[int, list[LayerPrompt]] = defaultdict(list)
    for prompt in prompts:
        by_slice[prompt.slices[axis]].append(prompt)
    plan: ObjectPrompts = defaultdict(dict)
    for index, members in by_slice.items():
        for joined in objects_on_plane(members, each_prompt_an_object):
            number = len(plan) + 1 if each_prompt_an_object else 1
            plan[number][index] = joined
    return dict(plan)


def join_prompts(prompts: Sequence[Prompt]) -> Prompt:
    """All prompts describe one object: its points together, and at most one box.

    Raises
    ------
    ValueError
        When there are several boxes.
    """
    points = [p.points for p in prompts if p.points is not None]
    labels = [p.labels for p in prompts if p.points is not None]
    boxes = [p for p in prompts if p.box is not None]
    if len(boxes) > 1:
        raise ValueError(
            f"There are {len(boxes)} boxes for one object: tick 'Each box or point is "
            "an object of its own', or leave one box."
        )
    # A mask is the inside of the shape that gave the box.
    shape = boxes[0] if boxes else Prompt()
    return replace(
        shape,
        points=np.concatenate(points) if points else None,
        labels=np.concatenate(labels) if labels else None,
    )


def separate_prompts(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each box, line and positive point is an object; negatives go to the nearest.

    Points that lie in a box belong to the box (the smallest one that holds them).
    """
    boxes = [p for p in prompts if p.box is not None]
    loose: list[Prompt] = []
    joined: list[list[Prompt]] = [[box] for box in boxes]
    negatives: list[Prompt] = []
    for prompt in (p for p in prompts if p.box is None):
        home = _smallest_box_around(prompt.points[0], boxes)
        if home is not None:
            joined[home].append(prompt)
        elif len(prompt.positives):
            loose.append(prompt)
        else:
            negatives.append(prompt)
    joined += [[prompt] for prompt in loose]
    for prompt in negatives:
        if joined:
            nearest = min(joined, key=lambda m: _distance(prompt.points[0], m[0]))
            nearest.append(prompt)
    if negatives and not joined:
        joined = [negatives]  # no object, as whoever checks the prompt will say
    return [join_prompts(members) for members in joined]


def _smallest_box_around(
    point: NDArray[np.float64], boxes: Sequence[Prompt]
) -> int | None:
    holding = [
        (float(np.prod(p.box[2:] - p.box[:2])), number)
        for number, p in enumerate(boxes)
        if (point >= p.box[:2]).all() and (point <= p.box[2:]).all()
    ]
    return min(holding)[1] if holding else None


def _distance(point: NDArray[np.float64], prompt: Prompt) -> float:
    if prompt.box is not None:
        nearest = np.clip(point, prompt.box[:2], prompt.box[2:])
    else:
        nearest = prompt.points[0]
    return float(np.linalg.norm(point - nearest))
