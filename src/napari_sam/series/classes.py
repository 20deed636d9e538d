"""Changes of the classes of a series, in its own file and in the states of images."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_sam.series.editing import ItemEditor
from napari_sam.series.storage.lock import LockedError
from napari_sam.series.storage.project import check_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_sam.series.item import SeriesItem
    from napari_sam.series.storage.project import Project


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
) -> None:
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

    Raises
    ------
    LockedError
        When an image is opened by another process.
    ValueError
        When a state is damaged.
    OSError
        When a file cannot be written.
    """
    with ExitStack() as stack:
        editors = []
        for item in items:
            if not any(name in names for name in item.classes.values()):
                continue
            editor = stack.enter_context(ItemEditor(item))
            if editor.read_only:
                raise LockedError(f"{item.name}: {editor.read_only}")
            item.check_state()
            editors.append(editor)
        for editor in editors:
            classes = editor.item.classes
            editor.set_classes(
                {n: into if name in names else name for n, name in classes.items()}
            )
