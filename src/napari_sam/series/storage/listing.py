"""The images of a series: files of a folder, of a list or of a table."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.images.reading.read import ENDINGS, ZARR_ENDING
from napari_sam.prompts.csv_table import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROJECT_FILE = "series.json"
LABELS, RECORD, STATE, LOCK = ".labels.tif", ".record.json", ".state.json", ".lock"
OWN_ENDINGS = (LABELS, RECORD, STATE, LOCK)
_TABLES = (".csv", ".tsv")
_COLUMNS = ("image", "path", "file", "filename", "name")


@dataclass(frozen=True, slots=True)
class Listing:
    """Images that were found.

    Parameters
    ----------
    root : Path
        Folder that the names are relative to.
    problems : dict
        {name: why it cannot be used, or ""}; names have slashes.
    sizes : dict
        {name: bytes}, of files.
    ignored : dict
        {name: why it is no image}.
    is_complete : bool
        Whether these are all images below the root.
    """

    root: Path
    problems: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False

    def add(self, name: str, size: int | None) -> None:
        """Add an image; without a size it is a folder."""
        self.problems[name] = "The file is empty: copy it again." if size == 0 else ""
        if size is not None:
            self.sizes[name] = size


def list_folder(folder: Path, output: Path, pattern: str | None = None) -> Listing:
    """List the images in a folder and its sub-folders, but not in the output folder.

    Parameters
    ----------
    folder : Path
        The folder.
    output : Path
        Folder of the series, which may be this one.
    pattern : str, optional
        Names to list, for instance "*.tif", or "day1/*.tif" with a sub-folder.
    """
    found = Listing(folder, is_complete=pattern is None)
    own = output.resolve()
    for name, entry in _walk(folder, "", own):
        if pattern is not None:
            compared = name if "/" in pattern else entry.name
            if not fnmatchcase(compared, pattern):
                continue
        ending = os.path.splitext(entry.name)[1].lower()
        is_folder = entry.is_dir()
        if ending not in ENDINGS or is_folder != (ending == ZARR_ENDING):
            found.ignored[name] = f"{ending or 'A name without ending'} is no image."
            continue
        try:
            found.add(name, None if is_folder else entry.stat().st_size)
        except OSError as error:  # a broken link
            found.problems[name] = f"The file cannot be read ({error.strerror})."
    return found


def _walk(
    folder: Path, prefix: str, own: Path, inside: bool = False
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files and zarr stores below a folder, but hidden ones and own ones.

    `inside` tells whether the folder lies in that of the series.
    """
    inside = inside or folder.resolve() == own
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: natural_key(entry.name))
    names = {entry.name for entry in listed}
    for entry in listed:
        if entry.name.startswith(".") or (inside and _is_own(entry.name, names)):
            continue
        name = f"{prefix}{entry.name}"
        is_store = entry.name.lower().endswith(ZARR_ENDING)
        if not entry.is_dir(follow_symlinks=False) or is_store:
            yield name, entry
        elif inside or Path(entry.path).resolve() != own:
            yield from _walk(Path(entry.path), f"{name}/", own, inside)


def _is_own(name: str, names: set[str]) -> bool:
    """Tell whether a file belongs to the series of the folder that it is in."""
    return name == PROJECT_FILE or any(
        name.endswith(ending) and name.removesuffix(ending) in names
        for ending in OWN_ENDINGS
    )


def list_paths(paths: Iterable[str | Path], root: Path | None = None) -> Listing:
    """List given images.

    Parameters
    ----------
    paths : iterable of str or Path
        Image files, or folders of OME-Zarr.
    root : Path, optional
        Folder that names are relative to, if all images are in it; the smallest common
        folder when None.

    Raises
    ------
    ValueError
        When no image is given.
    """
    files = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))
    if not files:
        raise ValueError("The list of images is empty: give at least one file.")
    if root is None or not all(path.is_relative_to(root) for path in files):
        root = Path(os.path.commonpath([path.parent for path in files]))
    found = Listing(root)
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.is_dir() and path.suffix.lower() == ZARR_ENDING:
            found.add(name, None)
        elif path.is_file():
            found.add(name, path.stat().st_size)
        else:
            found.problems[name] = f"There is no file {path}: check the path."
    return found


def is_table(path: Path) -> bool:
    """Tell whether a file is named like a table."""
    return path.suffix.lower() in _TABLES


def read_image_table(path: Path) -> list[Path]:
    """Read the paths of images from a CSV file, relative to its folder.

    They are in the column image, path, file, filename or name, else in the first one.

    Raises
    ------
    ValueError
        When the file is not CSV or has no rows.
    OSError
        When it cannot be read.
    """
    table = read_table(path)
    named = [name for name in _COLUMNS if name in table.columns]
    column = (named or table.columns[:1] or [""])[0]
    # Without a header, the first row is an image, too.
    first = [] if named else [column for column in table.columns[:1] if "." in column]
    if first:
        raise ValueError(
            f"{path} has no header: name the column of the paths 'image' in the first "
            "row."
        )
    found = [row[column] for _, row in table.rows if row[column]]
    if not found:
        raise ValueError(f"{path} has no images: write one path a row, below 'image'.")
    return [path.parent / text for text in found]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts cell2 before cell10."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts] + [(-1, name)]


def files_of(output: Path) -> set[str]:
    """Return the names of all files of a series, with slashes."""
    found: set[str] = set()
    for folder, _, names in os.walk(output):
        own = [name for name in names if name.endswith(OWN_ENDINGS)]
        if own:
            prefix = Path(folder).relative_to(output).as_posix()
            prefix = "" if prefix == "." else f"{prefix}/"
            found.update(prefix + name for name in own)
    return found
