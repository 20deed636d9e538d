"""Which prompts of layers describe which object."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_sam.prompts.grouping import Entry, join_entries, number_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.prompts.prompt import ObjectPrompts, Prompt


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
    order = sorted(range(len(entries)), key=lambda at: entries[at].is_point)
    ordered = [entries[at] for at in order]
    numbers = number_entries(ordered)
    object_of = dict(zip(order, numbers, strict=True))
    plan = join_entries(ordered, numbers)
    return plan, tuple(object_of[at] for at in range(len(entries)))


def check_boxes(count: int) -> None:
    """Refuse several boxes for one object."""
    if count > 1:
        raise ValueError(
            f"There are {count} boxes for one object: tick 'Each box or point is an "
            "object of its own', or leave one box."
        )


def _entry(prompt: LayerPrompt, index: int, number: int | None) -> Entry:
    kind = "A point" if prompt.kind == "point" else f"A {prompt.kind}"
    return Entry(
        f"{kind} in {prompt.layer.name!r}",
        index,
        prompt.prompt,
        number,
        is_point=prompt.prompt.box is None,
    )
