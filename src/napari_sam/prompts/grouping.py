"""Which prompts describe which object, where some are numbered and some are not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import ObjectPrompts


@dataclass(frozen=True, slots=True, eq=False)
class PromptEntry:
    """What was said in one place about one object on one slice.

    Parameters
    ----------
    where : str
        The place, for sentences: "points.csv, row 2".
    index : int
        The slice.
    prompt : Prompt
        Not empty.
    number : int or None
        Of the object, where it was said.
    is_point : bool
        A click or a line, which may belong to a box drawn around it.
    """

    where: str
    index: int
    prompt: Prompt
    number: int | None = None
    is_point: bool = False


def group_entries(entries: Sequence[PromptEntry]) -> ObjectPrompts:
    """Join what describes the same object.

    Numbered entries belong to the object of that number. Of the others every one is
    an object of its own, but for clicks: on the same slice they belong to the
    smallest box around them, which takes the number of a positive click in it that
    has one, and negative clicks outside all boxes belong to the nearest object.
    Objects without a number are numbered after the largest one, in order.

    Parameters
    ----------
    entries : sequence of PromptEntry
        In the order that objects are to be numbered in.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}.

    Raises
    ------
    ValueError
        When an object has several boxes on a slice, a box several numbers, or a
        negative click no object.
    """
    return join_entries(entries, number_entries(entries))


def join_entries(
    entries: Sequence[PromptEntry], numbers: Sequence[int]
) -> ObjectPrompts:
    """Join what describes the same object, the number of each entry's being known.

    Parameters
    ----------
    entries : sequence of PromptEntry
        What was said.
    numbers : sequence of int
        As `number_entries` tells them.

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
    members: dict[tuple[int, int], list[PromptEntry]] = {}
    for entry, number in zip(entries, numbers, strict=True):
        members.setdefault((number, entry.index), []).append(entry)
    for number, index in sorted(members):
        objects.setdefault(number, {})[index] = _join(members[number, index])
    return objects


def number_entries(entries: Sequence[PromptEntry]) -> list[int]:
    """Tell the object of each entry, by the rules of `group_entries`.

    Parameters
    ----------
    entries : sequence of PromptEntry
        In the order that objects are to be numbered in.

    Returns
    -------
    list of int
        The number of each entry's object.

    Raises
    ------
    ValueError
        When a box has several numbers, or a negative click no object.
    """
    by_slice: dict[int, list[int]] = {}
    for plane_index, entry in enumerate(entries):
        by_slice.setdefault(entry.index, []).append(plane_index)
    numbers: dict[int, int] = {}
    loose: list[list[int]] = []
    for places in by_slice.values():
        members = _adopt_numbers([entries[plane_index] for plane_index in places])
        place_of = {
            id(member): plane_index
            for member, plane_index in zip(members, places, strict=True)
        }
        for number, group in _groups(members):
            found = [place_of[id(entry)] for entry in group]
            if number is None:
                loose.append(found)
            else:
                numbers.update(dict.fromkeys(found, number))
    largest = max(numbers.values(), default=0)
    for number, found in enumerate(sorted(loose), start=largest + 1):
        numbers.update(dict.fromkeys(found, number))
    return [numbers[plane_index] for plane_index in range(len(entries))]


def _groups(
    members: Sequence[PromptEntry],
) -> list[tuple[int | None, list[PromptEntry]]]:
    """Number and entries of each object on one slice; its click or box first."""
    numbered: dict[int, list[PromptEntry]] = {}
    groups: list[tuple[int | None, list[PromptEntry]]] = []
    clicks: list[PromptEntry] = []
    for entry in members:
        if entry.number is not None:
            if entry.number not in numbered:
                numbered[entry.number] = []
                groups.append((entry.number, numbered[entry.number]))
            numbered[entry.number].append(entry)
        elif entry.is_point:
            clicks.append(entry)
        else:
            groups.append((None, [entry]))
    boxes = [entry for entry in members if entry.prompt.box is not None]
    home_of = {id(entry): group for _, group in groups for entry in group}
    negatives = []
    for click in clicks:
        box = _smallest_box_around(click, boxes)
        if box is not None:
            home_of[id(box)].append(click)
        elif len(click.prompt.positives):
            groups.append((None, [click]))
        else:
            negatives.append(click)
    # Of all groups, so once these are complete.
    homes = [(_nearest_group(click, groups), click) for click in negatives]
    for group, click in homes:
        group.append(click)
    return groups


def _adopt_numbers(members: Sequence[PromptEntry]) -> list[PromptEntry]:
    """Number boxes by the numbered positive clicks in them."""
    boxes = [entry for entry in members if entry.prompt.box is not None]
    adopted: dict[int, int] = {}
    for click in members:
        if click.number is None or not (click.is_point and len(click.prompt.positives)):
            continue
        box = _smallest_box_around(click, boxes)
        if box is None or box.number is not None:
            continue
        known = adopted.setdefault(id(box), click.number)
        if known != click.number:
            raise ValueError(
                f"The box of {box.where} holds points of objects {known} and "
                f"{click.number}: number the box itself, or draw a box for each."
            )
    return [
        replace(entry, number=adopted[id(entry)]) if id(entry) in adopted else entry
        for entry in members
    ]


def join_prompts(prompts: Sequence[Prompt]) -> Prompt:
    """One prompt of all: the points together, and the box of the one that has it."""
    given = [prompt for prompt in prompts if prompt.points is not None]
    # A mask is the inside of the shape that gave the box.
    shapes = (p for p in prompts if p.box is not None or p.mask is not None)
    return replace(
        next(shapes, Prompt()),
        points=np.concatenate([p.points for p in given]) if given else None,
        labels=np.concatenate([p.labels for p in given]) if given else None,
    )


def _join(group: Sequence[PromptEntry]) -> Prompt:
    """One prompt of an object on a slice, which has one box at most."""
    shapes = [e for e in group if e.prompt.box is not None or e.prompt.mask is not None]
    if len(shapes) > 1:
        raise ValueError(
            f"{shapes[0].where} and {shapes[1].where} are both boxes of object "
            f"{shapes[0].number} on slice {shapes[0].index}: leave one, or give them "
            "different numbers."
        )
    return join_prompts([entry.prompt for entry in group])


def _smallest_box_around(
    click: PromptEntry, boxes: Sequence[PromptEntry]
) -> PromptEntry | None:
    point = click.prompt.points[0]
    holding = [
        entry
        for entry in boxes
        if (point >= entry.prompt.box[:2]).all()
        and (point <= entry.prompt.box[2:]).all()
    ]
    return min(holding, key=_area, default=None)


def _area(entry: PromptEntry) -> float:
    box = entry.prompt.box
    return float(np.prod(box[2:] - box[:2]))


def _nearest_group(
    click: PromptEntry, groups: Sequence[tuple[int | None, list[PromptEntry]]]
) -> list[PromptEntry]:
    point = click.prompt.points[0]
    if not groups:
        raise ValueError(
            f"{click.where} is a point on the background, and there is no object on "
            "its slice: add a point on the object or a box around it."
        )
    nearest = min(groups, key=lambda group: _distance(point, group[1]))
    return nearest[1]


def _distance(point: NDArray[np.float64], group: Sequence[PromptEntry]) -> float:
    """From a point to the boxes and points of an object; far where it has none."""
    found = [np.inf]
    for prompt in (entry.prompt for entry in group):
        if prompt.box is not None:
            inside = np.clip(point, prompt.box[:2], prompt.box[2:])
            found.append(float(np.linalg.norm(point - inside)))
        elif prompt.points is not None:
            found.append(float(np.linalg.norm(prompt.points - point, axis=1).min()))
    return min(found)
