"""Prompt files: layers that napari saved as CSV, and JSON.

CSV: napari saves a Points layer with the columns ``index``, ``axis-0``, ``axis-1``,
... and one per feature; a Shapes layer with ``index``, ``shape-type``,
``vertex-index``, ``axis-0``, ``axis-1``, ... and without features. The numbers are
data coordinates of the layer. Its scale and translation are not saved, so the layer
must have the pixels of the image, as the prompt layers of the widget do.

Two more columns are read. ``polarity`` is "positive" or "negative"; without it, 0 and
negative numbers in ``label`` are negative. ``object`` is the object id, which joins
prompts on several slices, and several points. napari does not save features of
shapes: give an object id to a point inside the box, or add the column.

JSON: a list of prompts, ``[{"object": 1, "slice": 12, "box": [r0, c0, r1, c1],
"points": [[r, c]], "labels": [1]}]``, where "object" is optional and "slice" is for
stacks only; or, for a stack, ``{object: {slice: {"box": ...}}}``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.images.axes import check_axis
from napari_sam.prompts.csv_files import csv_entries
from napari_sam.prompts.grouping import PromptEntry, group_entries
from napari_sam.prompts.json_files import json_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam.prompts.prompt import ObjectPrompts


def read_prompts(
    paths: str | Path | Iterable[str | Path],
    axis: int = 0,
    ndim: int = 3,
    plane_shape: tuple[int, int] | None = None,
) -> ObjectPrompts:
    """Read the prompts of an image from one or several files.

    Several files are read as one: a file of points and a file of boxes may describe
    the same objects, by the rules of `napari_sam.prompts.grouping.group_entries`.
    Without object ids, each box, line, JSON entry and positive point outside all
    boxes is an object of its own, on one slice.

    Parameters
    ----------
    paths : str, Path or iterable of them
        CSV where the name ends in .csv, else JSON; the module describes both.
    axis : int
        Propagation axis of a stack; the other two are the rows and columns.
    ndim : int
        Number of axes of the image without colour: 3 for a stack, 2 for a plane.
    plane_shape : tuple of int, optional
        (H, W) of the planes, to which masks of ellipses and polygons are cropped.
        When None, they are not cropped at the last row and column.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}; the slice is 0 for a plane.

    Raises
    ------
    ValueError
        When a file has other content; the message names file and row or entry.
    OSError
        When a file cannot be read.
    """
    if ndim not in (2, 3):
        raise ValueError(f"ndim={ndim} is not supported: give 2 or 3 axes.")
    axis = check_axis(axis, ndim)
    entries: list[PromptEntry] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if Path(path).suffix.lower() == ".csv":
            entries += csv_entries(path, axis, ndim, plane_shape)
        else:
            entries += json_entries(path, ndim)
    return group_entries(entries)
