"""Opening of a series: new, or where it was left."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.files import remove_abandoned
from napari_sam.images.reading.read import ZARR_ENDING
from napari_sam.records.image_record import Choice
from napari_sam.series.image_series import ImageSeries
from napari_sam.series.storage.listing import (
    PROJECT_FILE,
    Listing,
    is_table,
    list_folder,
    list_paths,
    natural_key,
    read_image_table,
)
from napari_sam.series.storage.project import Project, relative_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def open_series(
    images: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    *,
    pattern: str | None = None,
    index: Mapping[str, int] | None = None,
    image: str | None = None,
    axes: str | None = None,
) -> ImageSeries:
    """Open a series of images: new, or where it was left.

    The folder of the series holds plain files: series.json, and for each image
    NAME.labels.tif, NAME.record.json and NAME.state.json, where NAME is the path of
    the image below the folder of all images. The folders of two people can be copied
    together. Files that are no images, or cannot be used, are listed with the reason.

    Parameters
    ----------
    images : str, Path or iterable of them
        Folder, with its sub-folders; list of files; CSV file with a column "image"; or
        the folder of a series, to open it again.
    output : str or Path, optional
        Folder of the series, which is made if it does not exist; not needed when
        `images` is one.
    pattern : str, optional
        Files of the folder to use, for instance ``"*.tif"``.
    index : mapping, optional
        {axis: index} to use of each image, for instance {"C": 1}.
    image : str, optional
        Number or name of the image to use of files with several.
    axes : str, optional
        Names of the axes as they are stored, for instance "ZYX".

    Returns
    -------
    ImageSeries
        Its items have `name`, `status`, `labels_path` and `problem`.

    Raises
    ------
    ValueError
        When the output is missing, belongs to other images, or was made with other
        choices of index, image or axes; or when a list or table is empty.
    OSError
        When a folder does not exist or cannot be written to.

    Examples
    --------
    >>> import napari_sam as ns
    >>> series = ns.open_series("images", output="annotations")  # doctest: +SKIP
    >>> series.segment()  # doctest: +SKIP
    >>> [item.name for item in series if item.problem]  # doctest: +SKIP
    """
    source = Path(images) if isinstance(images, str | Path) else None
    known: Project | None
    if output is None:
        if source is None or not (source / PROJECT_FILE).is_file():
            raise ValueError(
                f"{images} is not the folder of a series: give output=, the folder to "
                "write to."
            )
        folder, known = source, (stored := Project.read(source / PROJECT_FILE))
        listing = _list_known(folder, stored)
    else:
        folder = Path(output)
        known = _known_project(folder)
        listing = _list(images, source, folder, known, pattern)
    given = Choice({k.upper(): v for k, v in (index or {}).items()}, image, axes)
    project = _joined(known, listing, folder, given)
    folder.mkdir(parents=True, exist_ok=True)
    if project != known:
        project.write(folder / PROJECT_FILE)
    series = ImageSeries(folder, project, listing)
    # Nothing is written again into the folders of finished images.
    remove_abandoned(folder, *{item.labels_path.parent for item in series})
    return series


def _known_project(folder: Path) -> Project | None:
    path = folder / PROJECT_FILE
    return Project.read(path) if path.is_file() else None


def _list(
    images: Any,
    source: Path | None,
    folder: Path,
    known: Project | None,
    pattern: str | None,
) -> Listing:
    root = None if known is None else (folder / known.root).resolve()
    if source is not None and source.is_dir() and not _is_store(source):
        return list_folder(source, folder, pattern)
    if pattern is not None:
        raise ValueError("A pattern chooses files of a folder: give a folder.")
    if source is None:
        return list_paths(images, root)
    if not source.exists():
        raise FileNotFoundError(f"There is no folder or file {source}: check the path.")
    return list_paths(read_image_table(source) if is_table(source) else [source], root)


def _is_store(path: Path) -> bool:
    return path.suffix.lower() == ZARR_ENDING


def _list_known(folder: Path, known: Project) -> Listing:
    """List the images of an existing series."""
    root = Path(os.path.abspath(folder / known.root))
    if not known.images:
        return Listing(root)
    return list_paths([root / name for name in known.images], root)


def _joined(
    known: Project | None, listing: Listing, folder: Path, choice: Choice
) -> Project:
    """Return the project with the images of a listing; add to it those that are gone.

    Raises
    ------
    ValueError
        When the folder belongs to other images, or to another choice.
    """
    found = tuple(sorted(listing.problems, key=natural_key))
    root = relative_root(listing.root.absolute(), folder.absolute())
    if known is None:
        return Project(root, found, choice)
    if known.images and found and not set(known.images) & set(found):
        same = (folder / known.root).resolve() == listing.root.resolve()
        if not same:
            raise ValueError(
                f"{folder} is the series of the images in {known.root}: give another "
                "output."
            )
    if choice and choice != known.choice:
        raise ValueError(
            f"{folder} was made with other choices of index, image or axes: leave them "
            "out, or give another output."
        )
    gone = [name for name in known.images if name not in listing.problems]
    if listing.is_complete:
        for name in gone:
            listing.problems[name] = (
                f"There is no file {listing.root / name} any more: restore it."
            )
    names = tuple(sorted({*found, *gone}, key=natural_key))
    return replace(known, root=root, images=names)
