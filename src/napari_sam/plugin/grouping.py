"""Which prompts of layers describe which object."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_sam.prompt_grouping import Entry, group_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam.anchors import ObjectPrompts
    from napari_sam.plugin.layer_prompts import LayerPrompt
    from napari_sam.prompts import Prompt


def objects_on_plane(
    prompts: Sequence[LayerPrompt], each_prompt_an_object: bool
) -> list[Prompt]:
    """One prompt for each object that the prompts of a plane describe."""
    plan = _group(prompts, each_prompt_an_object, lambda _: 0)
    return [slices[0] for slices in plan.values()]


def objects_in_stack(
    prompts: Sequence[LayerPrompt], axis: int, each_prompt_an_object: bool
) -> ObjectPrompts:
    """{object: {slice: Prompt}} of the prompts along an axis.

    Without `each_prompt_an_object` all slices describe one object.
    """
    return _group(prompts, each_prompt_an_object, lambda p: p.slices[axis])


def _group(
    prompts: Sequence[LayerPrompt], each: bool, slice_of: Callable[[LayerPrompt], int]
) -> ObjectPrompts:
    if not each:
        boxes = Counter(slice_of(p) for p in prompts if p.prompt.box is not None)
        check_boxes(max(boxes.values(), default=0))
    # Boxes come first, as points may belong to them.
    ordered = sorted(prompts, key=lambda p: p.prompt.box is None)
    return group_entries([_entry(p, slice_of(p), each) for p in ordered])


def check_boxes(count: int) -> None:
    """Refuse several boxes for one object."""
    if count > 1:
        raise ValueError(
            f"There are {count} boxes for one object: tick 'Each box or point is an "
            "object of its own', or leave one box."
        )


def _entry(prompt: LayerPrompt, index: int, each: bool) -> Entry:
    kind = "A point" if prompt.kind == "point" else f"A {prompt.kind}"
    return Entry(
        f"{kind} in {prompt.layer.name!r}",
        index,
        prompt.prompt,
        None if each else 1,
        is_point=prompt.prompt.box is None,
    )
