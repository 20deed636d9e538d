"""Labels of other programs, for the images of a series."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_sam.exchange.folders import FolderReader, flat_names
from napari_sam.scale_out.jobs.failures import describe_failure
from napari_sam.series.editing import ItemEditor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_sam.series.item import SeriesItem


def import_folder(
    items: Sequence[SeriesItem], folder: Path
) -> tuple[dict[str, str], list[str]]:
    """Take the labels of new images from a folder of cellpose, StarDist or nnU-Net.

    They become "needs review". Images that have labels already are left as they are.

    Parameters
    ----------
    items : sequence of SeriesItem
        All images of a series; files of the folder are named like them.
    folder : Path
        See `FolderReader`.

    Returns
    -------
    dict
        {name: why the labels of an image were not taken}.
    list of str
        Classes of the objects that were taken.

    Raises
    ------
    ValueError
        When the folder is none of these.
    """
    reader, problems = FolderReader(folder), {}
    classes: dict[str, None] = {}
    names = flat_names(item.name for item in items)
    stems = {item.name: PurePosixPath(item.name).stem for item in items}
    counts = Counter(stems.values())
    for item in items:
        if item.status != "new":
            continue
        wanted = [names[item.name]]
        if counts[stems[item.name]] == 1:
            wanted.append(stems[item.name].removesuffix(".ome"))
        try:
            classes |= dict.fromkeys(_take(item, reader, wanted))
        except Exception as error:  # noqa: BLE001 - the other images go on
            problems[item.name] = describe_failure(error)
    return problems, list(classes)


def _take(item: SeriesItem, reader: FolderReader, names: list[str]) -> list[str]:
    """Write the labels of an image, if the folder has them; return their classes."""
    found = next((f for f in map(reader.read, dict.fromkeys(names)) if f), None)
    if found is None:
        return []
    used = item.read().used
    with ItemEditor(item) as editor:
        classes = found.classes
        editor.save(found.labels, used, status="needs review", classes=classes)
    return list(classes.values())
