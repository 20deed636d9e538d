"""Prompt files: layers that napari saved as CSV, JSON, and files of other programs.

CSV: napari saves a Points layer with the columns ``index``, ``axis-0``, ``axis-1``,
... and one per feature; a Shapes layer with ``index``, ``shape-type``,
``vertex-index``, ``axis-0``, ``axis-1``, ... and without features. The numbers are
data coordinates of the layer. Its scale and translation are not saved, so the layer
must have the pixels of the image, as the prompt layers of the widget do. The layer may
have more axes than are segmented, as many as the image file: prompts at other positions
are ignored. Columns may be in any order and separated by commas, semicolons or tabs;
without commas between them, numbers may have decimal commas.

Two more columns are read. ``polarity`` is "positive" or "negative"; without it, 0 and
negative numbers in ``label`` are negative. ``object`` is the object id, which joins
prompts on several slices, and several points. napari does not save features of
shapes: give an object id to a point inside the box, or add the column.

JSON: a list of prompts, ``[{"object": 1, "slice": 12, "box": [r0, c0, r1, c1],
"points": [[r, c]], "labels": [1]}]``, where "object" is optional and "slice" is for
stacks only; or, for a stack, ``{object: {slice: {"box": ...}}}``.

Other programs: ImageJ ROIs and ROI sets, GeoJSON (QuPath), COCO, labelme and YOLO.
Points and lines become points, and points of a class "negative" or "background" lie on
the background; rectangles become boxes; all other shapes a box and a mask. Numbers of
objects are their object ids, and shapes of the same number on a slice one prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.exchange.formats import find_format, open_annotations
from napari_sam.exchange.painting import area_mask
from napari_sam.prompts.csv_files import csv_entries
from napari_sam.prompts.grouping import PromptEntry, group_entries
from napari_sam.prompts.ignored import Ignored
from napari_sam.prompts.json_files import json_entries
from napari_sam.prompts.prompt import Prompt
from napari_sam.prompts.shapes import bounding_box, points_along

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_sam.exchange.annotation import Annotation, AnnotationFile
    from napari_sam.prompts.prompt import ObjectPrompts
    from napari_sam.prompts.selection import ImageSelection


@dataclass(frozen=True, slots=True, eq=False)
class FilePrompts:
    """Prompts read from files.

    Parameters
    ----------
    objects : dict
        {object id: {slice: Prompt}}; the slice is 0 for a plane.
    ignored : tuple of str
        Sentences on what was not used of the files.
    """

    objects: ObjectPrompts
    ignored: tuple[str, ...]


def read_prompts(
    paths: str | Path | Iterable[str | Path],
    selection: ImageSelection,
    image: str | Path | None = None,
) -> FilePrompts:
    """Read the prompts of an image from one or several files.

    Several files are read as one: a file of points and a file of boxes may describe
    the same objects, by the rules of `napari_sam.prompts.grouping.group_entries`.
    Without object ids, each box, line, JSON entry and positive point outside all
    boxes is an object of its own, on one slice.

    Parameters
    ----------
    paths : str, Path or iterable of them
        CSV where the name ends in .csv or .tsv, otherwise by the content; the module
        describes the formats.
    selection : ImageSelection
        The plane or stack that is segmented. Masks are cropped to its planes.
    image : str or Path, optional
        File of the image, to find it in a COCO data set of several images.

    Returns
    -------
    FilePrompts
        Prompts by object, and what was ignored.

    Raises
    ------
    ValueError
        When a file has other content, or nothing for the selection; the message names
        file and row or entry.
    OSError
        When a file cannot be read.
    ModuleNotFoundError
        When the library of a format is not installed (extra ``exchange``).
    """
    entries: list[PromptEntry] = []
    sentences: list[str] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        ignored = Ignored()
        found = list(_entries(Path(path), selection, image, ignored))
        ignored.check_rest(path, len(found))
        entries += found
        sentences += ignored.sentences(path)
    return FilePrompts(group_entries(entries), tuple(sentences))


def _entries(
    path: Path,
    selection: ImageSelection,
    image: str | Path | None,
    ignored: Ignored,
) -> Iterator[PromptEntry]:
    """Yield the prompts of one file."""
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from csv_entries(path, selection, ignored)
        return
    kind, content = find_format(path)
    if kind is None:
        yield from json_entries(path, content, len(selection.free))
        return
    if selection.plane_axes != "YX":
        raise ValueError(
            f"{path} has annotations in planes YX, and the planes here are "
            f"{selection.plane_axes}: propagate along another axis, or give CSV."
        )
    file = open_annotations(path, selection.plane_shape, image)
    yield from _annotation_entries(file, selection)
    ignored.update(file.ignored)


def _annotation_entries(
    file: AnnotationFile, selection: ImageSelection
) -> Iterator[PromptEntry]:
    """Yield the prompts of annotations; areas of one object on a slice are one."""
    # By object and slice; what has no number, and points, stay apart.
    groups: dict[tuple[int, int], list[Annotation]] = {}
    for number, annotation in enumerate(file.annotations):
        found = selection.locate(annotation.position, annotation.page)
        if found is None:
            file.ignored["annotations at other slices, times or channels"] += 1
        elif selection.along is not None and selection.along not in found:
            what = f"annotations without a position along {selection.along}"
            file.ignored[what] += 1
        else:
            slice_index = found[selection.along] if selection.along is not None else 0
            key = -number - 1
            if annotation.object_id is not None and annotation.is_area:
                key = annotation.object_id
            groups.setdefault((key, slice_index), []).append(annotation)
    for (_, slice_index), group in groups.items():
        if group[0].is_area:
            prompt = _area_prompt(group, selection.plane_shape)
            object_id = group[0].object_id
            yield PromptEntry(group[0].source, slice_index, prompt, object_id)
        else:
            yield from _point_entries(group[0], slice_index)


def _point_entries(annotation: Annotation, slice_index: int) -> Iterator[PromptEntry]:
    groups = list(annotation.vertices[:, None])
    if annotation.kind == "line":
        groups = [points_along(annotation.vertices)]
    for points in groups:
        labels = np.full(len(points), annotation.point_label)
        prompt = Prompt(points=points, labels=labels)
        yield PromptEntry(
            annotation.source, slice_index, prompt, annotation.object_id, is_point=True
        )


def _area_prompt(group: Sequence[Annotation], plane_shape: tuple[int, int]) -> Prompt:
    """Make a box around areas and, but for a single rectangle, a mask of them."""
    crops = [area_mask(annotation, plane_shape) for annotation in group]
    boxes = [
        _box(annotation, crop) for annotation, crop in zip(group, crops, strict=True)
    ]
    corners = np.concatenate([box.reshape(2, 2) for box in boxes])
    box = bounding_box(corners)
    if len(group) == 1 and group[0].kind == "rectangle":
        return Prompt(box=box)
    masks = [crop for crop in crops if crop is not None]
    if not masks:
        return Prompt(box=box)
    origins = np.array([origin for origin, _ in masks])
    ends = origins + [mask.shape for _, mask in masks]
    first = origins.min(axis=0)
    joined = np.zeros(ends.max(axis=0) - first, bool)
    for (row, col), mask in masks:
        top, left = row - first[0], col - first[1]
        joined[top : top + mask.shape[0], left : left + mask.shape[1]] |= mask
    return Prompt(box=box, mask=joined, mask_origin=(int(first[0]), int(first[1])))


def _box(
    annotation: Annotation, crop: tuple[tuple[int, int], NDArray[np.bool_]] | None
) -> NDArray[np.float64]:
    if annotation.kind == "polygon":
        rings = [ring for part in annotation.polygons for ring in part]
        return bounding_box(np.concatenate(rings))
    if annotation.kind != "mask":
        return bounding_box(annotation.vertices)
    if crop is None:
        raise ValueError(
            f"{annotation.source} has no pixel on the image: choose the image that was "
            "annotated, or delete it."
        )
    (row, col), mask = crop
    edges = np.array([row, col, row + mask.shape[0], col + mask.shape[1]])
    return edges - 0.5
