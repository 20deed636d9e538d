"""Changes of the classes of a series, in its own file and in the states of images."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_sam.series.editing import ItemEditor
from napari_sam.series.storage.lock import LockedError
from napari_sam.series.storage.project import check_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_sam.series.item import SeriesItem
    from napari_sam.series.storage.project import Project


@dataclass(frozen=True, slots=True, eq=False)
class ClassChange:
    """What a change of classes replaced, to take it back; see `undo_merge`.

    Parameters
    ----------
    before : Project
        With the classes before.
    into : str
        The class that the others became.
    objects : mapping
        {name of an image: {label: class before}}.
    """

    before: Project
    into: str
    objects: Mapping[str, Mapping[int, str]]


def merged_classes(project: Project, names: Sequence[str], into: str) -> Project:
    """Return a project in which some classes are one.

    The class keeps the colour of `into`, or of the first of the others where it is new,
    and its place.

    Parameters
    ----------
    project : Project
        The project.
    names : sequence of str
        Classes that end, unless one of them is `into`.
    into : str
        The class that they become.

    Raises
    ------
    ValueError
        When there is no such class.
    """
    into = check_class(into)
    unknown = [name for name in names if name not in project.classes]
    if unknown or not names:
        raise ValueError(
            f"There is no class {', '.join(map(repr, unknown))}: give some of "
            f"{', '.join(project.classes) or 'those that you add first'}."
        )
    color = project.classes.get(into, project.classes[names[0]])
    place = into if into in project.classes else names[0]
    classes = {
        (into if name == place else name): (color if name == place else old)
        for name, old in project.classes.items()
        if name == place or name not in names
    }
    return replace(project, classes=classes)


def merge_in_items(
    items: Iterable[SeriesItem], names: Sequence[str], into: str
) -> dict[str, dict[int, str]]:
    """Give objects of some classes another class.

    All images are locked before the first one is written, so that it is done to all or
    to none. A process that is killed on the way leaves the old classes in the series:
    do it again.

    Parameters
    ----------
    items : iterable of SeriesItem
        All images.
    names : sequence of str
        Classes that end.
    into : str
        The class that they become.

    Returns
    -------
    dict
        {name of an image: {label: class before}}, of what was changed.

    Raises
    ------
    LockedError
        When an image is opened by another process.
    ValueError
        When a state is damaged.
    OSError
        When a file cannot be written.
    """
    found = {item.name: dict(item.classes) for item in items}
    changed = {
        name: {label: old for label, old in classes.items() if old in names}
        for name, classes in found.items()
    }
    changed = {name: objects for name, objects in changed.items() if objects}
    _put(items, {n: dict.fromkeys(objects, into) for n, objects in changed.items()})
    return changed


def undo_merge(
    items: Iterable[SeriesItem], now: Project, change: ClassChange
) -> Project:
    """Take a change of classes back, in all images or in none.

    Objects that got another class since keep it.

    Parameters
    ----------
    items : iterable of SeriesItem
        All images.
    now : Project
        The project, which may have further classes.
    change : ClassChange
        The change.

    Returns
    -------
    Project
        With the classes before, and those that were added since.

    Raises
    ------
    LockedError, ValueError, OSError
        See `merge_in_items`.
    """
    back = {
        item.name: {
            label: old
            for label, old in change.objects.get(item.name, {}).items()
            if item.classes.get(label) == change.into
        }
        for item in items
    }
    _put(items, {name: objects for name, objects in back.items() if objects})
    before = change.before.classes
    added = {
        name: color
        for name, color in now.classes.items()
        if name not in before and name != change.into
    }
    return replace(now, classes={**before, **added})


def _put(items: Iterable[SeriesItem], objects: Mapping[str, Mapping[int, str]]) -> None:
    """Give objects of images classes; all images are locked before the first write."""
    with ExitStack() as stack:
        editors = []
        for item in items:
            if item.name not in objects:
                continue
            editor = stack.enter_context(ItemEditor(item))
            if editor.read_only:
                raise LockedError(f"{item.name}: {editor.read_only}")
            item.check_state()
            editors.append(editor)
        for editor in editors:
            item = editor.item
            editor.set_classes({**item.classes, **objects[item.name]})
