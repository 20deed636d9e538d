"""Grouping of prompts into objects, where some prompts have an object id."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.values import describe
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_sam.prompts.prompt import ObjectPrompts


@dataclass(frozen=True, slots=True, eq=False)
class PromptEntry:
    """One prompt of one object on one slice, and where it comes from.

    Parameters
    ----------
    source : str
        The source, for error messages: "points.csv, row 2".
    slice_index : int
        The slice; 0 on a plane.
    prompt : Prompt
        Not empty.
    object_id : int or None
        Id of the object, when given.
    is_point : bool
        Whether it is a click or a line, which may belong to a box around it.
    """

    source: str
    slice_index: int
    prompt: Prompt
    object_id: int | None = None
    is_point: bool = False


def check_object_id(value: Any, source: str) -> int:
    """Check that a value is an integer from 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"{source}: Object id {describe(value)} is not a label: use integers "
            "from 1."
        )
    return value


def group_entries(entries: Sequence[PromptEntry]) -> ObjectPrompts:
    """Join the prompts of each object.

    Entries with an object id belong to that object. Each other entry is an object of
    its own, except for clicks: those inside a box on their slice belong to the
    smallest such box, and negative clicks outside all boxes belong to the nearest
    object. A box gets the object id of a positive click inside it. Objects without an
    id are numbered after the largest id, in order.

    Parameters
    ----------
    entries : sequence of PromptEntry
        In the order in which objects are numbered.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}.

    Raises
    ------
    ValueError
        When an object has several boxes on a slice, a box several ids, or a negative
        click no object.
    """
    return join_entries(entries, assign_object_ids(entries))


def join_entries(
    entries: Sequence[PromptEntry], object_ids: Sequence[int]
) -> ObjectPrompts:
    """Join the prompts of each object, when the ids are known.

    Parameters
    ----------
    entries : sequence of PromptEntry
        Prompts.
    object_ids : sequence of int
        Object id of each entry, as from `assign_object_ids`.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}.

    Raises
    ------
    ValueError
        When an object has several boxes on a slice.
    """
    objects: ObjectPrompts = {}
    members: dict[tuple[int, int], list[PromptEntry]] = defaultdict(list)
    for entry, object_id in zip(entries, object_ids, strict=True):
        members[object_id, entry.slice_index].append(entry)
    for object_id, slice_index in sorted(members):
        joined = _join(members[object_id, slice_index])
        objects.setdefault(object_id, {})[slice_index] = joined
    return objects


def assign_object_ids(entries: Sequence[PromptEntry]) -> list[int]:
    """Assign an object id to each entry, by the rules of `group_entries`.

    Parameters
    ----------
    entries : sequence of PromptEntry
        In the order in which objects are numbered.

    Returns
    -------
    list of int
        Object id of each entry.

    Raises
    ------
    ValueError
        When a box has several ids, or a negative click no object.
    """
    by_slice: dict[int, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        by_slice[entry.slice_index].append(i)
    groups = [
        group for members in by_slice.values() for group in _groups(entries, members)
    ]
    largest = max((g.object_id for g in groups if g.object_id is not None), default=0)
    without_id = sorted(g.members for g in groups if g.object_id is None)
    object_ids = [0] * len(entries)
    for group in groups:
        for i in group.members:
            object_ids[i] = group.object_id or 0
    for object_id, members in enumerate(without_id, start=largest + 1):
        for i in members:
            object_ids[i] = object_id
    return object_ids


def join_prompts(prompts: Sequence[Prompt]) -> Prompt:
    """Join prompts of one object: all points, and the box of the one that has it."""
    pointed = [prompt for prompt in prompts if prompt.points is not None]
    # The mask of a shape belongs to its box.
    shapes = (p for p in prompts if p.box is not None or p.mask is not None)
    return replace(
        next(shapes, Prompt()),
        points=np.concatenate([p.points for p in pointed]) if pointed else None,
        labels=np.concatenate([p.labels for p in pointed]) if pointed else None,
    )


@dataclass(slots=True)
class _Group:
    """Entries of one object on one slice, as indices; its box or click first."""

    object_id: int | None
    members: list[int]


def _groups(entries: Sequence[PromptEntry], members: Iterable[int]) -> list[_Group]:
    """Group the entries of one slice."""
    members = list(members)
    boxes = [i for i in members if entries[i].prompt.box is not None]
    object_ids = {i: entries[i].object_id for i in members}
    object_ids |= _ids_from_clicks(entries, members, boxes)
    groups: list[_Group] = []
    by_id: dict[int, _Group] = {}
    clicks = []
    for i in members:
        object_id = object_ids[i]
        if object_id in by_id:
            by_id[object_id].members.append(i)
        elif object_id is None and entries[i].is_point:
            clicks.append(i)
        else:
            groups.append(_Group(object_id, [i]))
            if object_id is not None:
                by_id[object_id] = groups[-1]
    group_of = {i: group for group in groups for i in group.members}
    negatives = []
    for i in clicks:
        box = _smallest_box_around(entries, i, boxes)
        if box is not None:
            group_of[box].members.append(i)
        elif len(entries[i].prompt.positives):
            groups.append(_Group(None, [i]))
        else:
            negatives.append(i)
    # All groups must be complete before distances are compared.
    nearest = [_nearest_group(entries, i, groups) for i in negatives]
    for i, group in zip(negatives, nearest, strict=True):
        group.members.append(i)
    return groups


def _ids_from_clicks(
    entries: Sequence[PromptEntry], members: Sequence[int], boxes: Sequence[int]
) -> dict[int, int | None]:
    """Return the ids that boxes without one get from positive clicks inside them."""
    object_ids: dict[int, int | None] = {}
    for i in members:
        click = entries[i]
        if click.object_id is None or not (
            click.is_point and len(click.prompt.positives)
        ):
            continue
        box = _smallest_box_around(entries, i, boxes)
        if box is None or entries[box].object_id is not None:
            continue
        known = object_ids.setdefault(box, click.object_id)
        if known != click.object_id:
            raise ValueError(
                f"The box of {entries[box].source} holds points of objects {known} and "
                f"{click.object_id}: number the box itself, or draw a box for each."
            )
    return object_ids


def _join(members: Sequence[PromptEntry]) -> Prompt:
    """Join the prompts of an object on a slice, which may have one box."""
    boxes = [
        e for e in members if e.prompt.box is not None or e.prompt.mask is not None
    ]
    if len(boxes) > 1:
        raise ValueError(
            f"{boxes[0].source} and {boxes[1].source} are both boxes of object "
            f"{boxes[0].object_id} on slice {boxes[0].slice_index}: leave one, or give "
            "them different object ids."
        )
    return join_prompts([entry.prompt for entry in members])


def _smallest_box_around(
    entries: Sequence[PromptEntry], click: int, boxes: Sequence[int]
) -> int | None:
    point = entries[click].prompt.points[0]

    def area(i: int) -> float:
        box = entries[i].prompt.box
        return float(np.prod(box[2:] - box[:2]))

    around = []
    for i in boxes:
        box = entries[i].prompt.box
        if (point >= box[:2]).all() and (point <= box[2:]).all():
            around.append(i)
    return min(around, key=area, default=None)


def _nearest_group(
    entries: Sequence[PromptEntry], click: int, groups: Sequence[_Group]
) -> _Group:
    if not groups:
        raise ValueError(
            f"{entries[click].source} is a point on the background, and there is no "
            "object on its slice: add a point on the object or a box around it."
        )
    point = entries[click].prompt.points[0]

    def distance(group: _Group) -> float:
        """Measure to the nearest box or point of the object."""
        distances = [np.inf]
        for prompt in (entries[i].prompt for i in group.members):
            if prompt.box is not None:
                nearest = np.clip(point, prompt.box[:2], prompt.box[2:])
                distances.append(float(np.linalg.norm(point - nearest)))
            elif prompt.points is not None:
                to_points = np.linalg.norm(prompt.points - point, axis=1)
                distances.append(float(to_points.min()))
        return min(distances)

    return min(groups, key=distance)
