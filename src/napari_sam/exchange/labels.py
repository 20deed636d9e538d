"""Labels written as the annotations of other programs, and read from them."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from napari_sam.checks.arrays import as_image
from napari_sam.exchange.annotation import MAX_ID
from napari_sam.exchange.coco import CocoImage, write_coco
from napari_sam.exchange.formats import ENDINGS, Format, open_annotations
from napari_sam.exchange.geojson import write_geojson
from napari_sam.exchange.imagej import write_imagej
from napari_sam.exchange.label_classes import LabelClasses, class_order
from napari_sam.exchange.labelme import write_labelme
from napari_sam.exchange.painting import PlanePainter
from napari_sam.exchange.yolo import (
    check_names,
    write_ids,
    write_names,
    write_yolo,
)
from napari_sam.files import atomic_write
from napari_sam.prompts.selection import ImageSelection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.exchange.annotation import Annotation, LabelPlane
    from napari_sam.prompts.ignored import Ignored

_MAX_INT32 = 2**31 - 1
# Formats that know slices, and the axes of these.
_POSITIONS = "CZT"
_OF_STACKS = ("geojson", "imagej")


def export_labels(
    labels: ArrayLike,
    path: str | Path,
    format: Format = "coco",
    *,
    axes: str | None = None,
    classes: Mapping[int, str] | None = None,
    colors: Mapping[str, str] | None = None,
) -> Path:
    """Write labels as annotations for another program.

    Each label becomes one object that keeps its number. All formats hold the exact
    pixels, with holes and separate parts. The file appears under its name only when it
    is complete.

    Parameters
    ----------
    labels : array-like
        (H, W) integers from 0, which is background; GeoJSON and ImageJ also take
        stacks.
    path : str or Path
        File to write: .json for COCO and labelme, .geojson, .zip for ImageJ, .txt for
        YOLO.
    format : str
        - "coco": a data set of one image, compressed run lengths (pycocotools).
        - "geojson": QuPath; detections named by their number.
        - "imagej": a ROI set for ImageJ and Fiji, ROIs named by their number.
        - "yolo": polygons of one class. Holes and parts are joined by seams. YOLO has
          no numbers: where they are not 1, 2, 3, ..., a file of the same name that ends
          in .ids.json keeps them.
        - "labelme": masks, with the number as group.
    axes : str, optional
        Names of the axes of a stack, of C, Z, T and at last YX; "ZYX" or "TZYX" when
        None.
    classes : mapping, optional
        {label: name of its class}. Of YOLO, data.yaml beside the file has the names.
        ImageJ's ROIs have it as a property and in their name.
    colors : mapping, optional
        {name of a class: "#rrggbb"}, which QuPath shows; the classes are numbered in
        its order.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        When the labels are no integers from 0, or the format is unknown or cannot hold
        them.
    OSError
        When the file cannot be written.
    ModuleNotFoundError
        When the library of the format is not installed (extra ``exchange``).

    Examples
    --------
    >>> import napari_sam as ns
    >>> ns.export_labels(labels, "cells.geojson", format="geojson")
    >>> ns.import_labels("cells.geojson", shape=labels.shape).labels
    """
    stack, path = _check_labels(labels), Path(path)
    names = _check_export(stack, path, format, axes)
    known = LabelClasses(classes or {}, colors or {})
    order = class_order(known, stack) if format in ("coco", "yolo") else []
    if format == "yolo":
        check_names(path, order)
    with atomic_write(path, ENDINGS[format]) as part:
        if format == "geojson":
            write_geojson(part, _planes(stack, names), known)
        elif format == "imagej":
            write_imagej(part, _planes(stack, names), known)
        elif format == "coco":
            write_coco(part, [CocoImage(path.stem, stack, known)], order)
        elif format == "labelme":
            write_labelme(part, stack, path.stem, known)
        else:
            write_ids(path, write_yolo(part, stack, known, order))
            write_names(path, order)
    return path


def _check_export(
    stack: NDArray[Any], path: Path, format: Format, axes: str | None
) -> str:
    """Check that a format can hold labels, and return the names of their axes."""
    if format not in ENDINGS:
        raise ValueError(
            f"The format {format!r} is unknown: give one of {', '.join(ENDINGS)}."
        )
    names = _select(stack.shape, axes, None).axes
    if stack.ndim > 2 and format not in _OF_STACKS:
        raise ValueError(
            f"{format} holds one plane, and the labels have shape {stack.shape}: give "
            f"one plane, or export {' or '.join(_OF_STACKS)}."
        )
    if not {*names[:-2]} <= {*_POSITIONS}:
        raise ValueError(
            f"The axes {names} have other slices than {', '.join(_POSITIONS)}: name "
            "them so, or give one plane."
        )
    if format == "imagej" and path.suffix.lower() != ENDINGS["imagej"]:
        raise ValueError(f"{path} becomes a ROI set: name it .zip, as ImageJ expects.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}: make it first.")
    return names


@dataclass(frozen=True, slots=True, eq=False)
class ImportedLabels:
    """Labels read from annotations.

    Parameters
    ----------
    labels : ndarray
        Integers of the shape asked for: int32, or int64 where a number needs it.
    classes : dict
        {label: name of its class}, where the file tells.
    ignored : tuple of str
        Sentences on what was left out or changed.
    """

    labels: NDArray[Any]
    classes: dict[int, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def import_labels(
    path: str | Path,
    shape: Sequence[int] | None = None,
    *,
    axes: str | None = None,
    index: Mapping[str, int] | None = None,
    format: Format | None = None,
    image: str | Path | None = None,
) -> ImportedLabels:
    """Read annotations of another program as labels.

    Objects keep their number where the file has one: ids of COCO, groups of labelme,
    and names of ROIs and GeoJSON that are numbers; otherwise they are numbered in
    order. A pixel belongs to an object when its centre lies inside the outline. Where
    objects overlap, the later one is seen.

    Parameters
    ----------
    path : str or Path
        ImageJ ROI or ROI set, GeoJSON, COCO, labelme or YOLO; found by the content.
    shape : sequence of int, optional
        (H, W), or the shape of a stack. When None, as in the file (COCO, labelme).
    axes : str, optional
        Names of the axes of `shape`, for instance "TYX"; "ZYX" and "TZYX" when None.
        Annotations are painted on the plane of their position.
    index : mapping, optional
        {axis: index} of the plane of a stack that `shape` is, for instance {"Z": 3}:
        annotations at other positions are ignored.
    format : str, optional
        As for `export_labels`, to refuse any other; YOLO may then have any name.
    image : str or Path, optional
        Name of the image in a COCO data set of several.

    Returns
    -------
    ImportedLabels
        Labels, classes, and what was ignored.

    Raises
    ------
    ValueError
        When the file has other content, is damaged or for another shape, or has
        annotations on several planes and neither `axes` nor `index` tell which is
        which.
    OSError
        When the file cannot be read.
    ModuleNotFoundError
        When the library of the format is not installed (extra ``exchange``).
    """
    if format is not None and format not in get_args(Format):
        raise ValueError(
            f"The format {format!r} is unknown: give one of {', '.join(ENDINGS)}."
        )
    path = Path(path)
    stack = None if shape is None else _check_shape(shape)
    plane = None if stack is None else (stack[-2], stack[-1])
    file = open_annotations(path, plane, image, format)
    if stack is None:
        if file.shape is None:
            raise ValueError(f"{path} has no image size: give shape=(H, W).")
        stack = file.shape
    selection = _select(stack, axes, index)
    painting = _Painting(path, selection, is_whole=not index)
    for annotation in file.annotations:
        painting.add(annotation, file.ignored)
    labels, classes = painting.finish(file.ignored)
    return ImportedLabels(labels, classes, file.ignored.sentences(path))


class _Painting:
    """Annotations painted on the planes of a stack, or on one plane.

    Parameters
    ----------
    path : Path
        For messages.
    selection : ImageSelection
        Its axes and shape are those of the labels.
    is_whole : bool
        Whether no index was given, so that a plane is all there is.
    """

    def __init__(self, path: Path, selection: ImageSelection, is_whole: bool) -> None:
        self.path = path
        self.selection = selection
        self.is_plane = is_whole and len(selection.axes) == 2
        self.painters: dict[tuple[int, ...], PlanePainter] = {}
        self.objects: list[tuple[int | None, str]] = []
        self.positions: set[tuple[Any, ...]] = set()

    def add(self, annotation: Annotation, ignored: Ignored) -> None:
        """Paint an annotation on its plane."""
        if not annotation.is_area:
            ignored["points or lines, which have no area"] += 1
            return
        plane = self._plane_of(annotation, ignored)
        if plane is not None:
            if plane not in self.painters:
                height, width = self.selection.shape[-2:]
                self.painters[plane] = PlanePainter((height, width))
            self.objects.append((annotation.object_id, annotation.name))
            self.painters[plane].add(annotation, len(self.objects))

    def _plane_of(
        self, annotation: Annotation, ignored: Ignored
    ) -> tuple[int, ...] | None:
        """Return the index of the plane; None when it is not in the stack."""
        if self.is_plane:
            position = (annotation.page, *sorted(annotation.position.items()))
            if any(entry is not None for entry in position):
                self.positions.add(position)
            if len(self.positions) > 1:
                raise ValueError(
                    f"{self.path} has annotations on several slices, times or "
                    "channels: give the shape of the stack, or the index of a plane, "
                    'for instance {"Z": 3}.'
                )
            return ()
        found = self.selection.locate(annotation.position, annotation.page)
        if found is None:
            ignored["annotations at other slices, times or channels"] += 1
            return None
        stack_axes = self.selection.axes[:-2]
        missing = [name for name in stack_axes if name not in found]
        single = [name for name in missing if self.selection.size(name) == 1]
        if len(missing) > len(single):
            ignored[f"annotations without a position along {''.join(missing)}"] += 1
            return None
        return tuple(found.get(name, 0) for name in stack_axes)

    def finish(self, ignored: Ignored) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the labels and the classes, and note what the planes lack."""
        ignored.check_rest(self.path, len(self.objects))
        numbers = _numbers([number for number, _ in self.objects], ignored)
        dtype = np.int64 if numbers.max(initial=0) > _MAX_INT32 else np.int32
        labels, numbers = np.zeros(self.selection.shape, dtype), numbers.astype(dtype)
        seen = np.zeros(len(self.objects) + 1, bool)
        overlap = 0
        for index, painter in self.painters.items():
            painter.flush()
            counts = np.bincount(painter.plane.ravel(), minlength=len(seen))
            seen |= counts > 0
            overlap += painter.painted - int(counts[1:].sum())
            if painter.cropped:
                ignored["parts beyond the edge of the image"] += painter.cropped
            labels[index] = numbers[painter.plane]
        if overlap:
            ignored["pixels of objects under later ones"] += overlap
        if not seen[1:].all():
            what = "objects without a visible pixel on the image"
            ignored[what] += int(np.count_nonzero(~seen[1:]))
        names = zip(numbers[1:].tolist(), self.objects, strict=True)
        return labels, {number: name for number, (_, name) in names if name}


def _numbers(given: list[int | None], ignored: Ignored) -> NDArray[np.int64]:
    """Return the label of each object, after 0: as given, or else in order."""
    if given and None not in given:
        return np.array([0, *given], np.int64)
    known = {number for number in given if number is not None}
    if known:
        ignored["numbers, as not all objects have one: they are numbered in order"] += (
            len(given) - given.count(None)
        )
    return np.arange(len(given) + 1)


def _select(
    shape: tuple[int, ...], axes: str | None, index: Mapping[str, int] | None
) -> ImageSelection:
    """Name the axes of a shape, and check the index of a plane."""
    names = "TZYX"[-len(shape) :] if axes is None else axes.upper()
    if len(names) != len(shape) or len({*names}) != len(names) or names[-2:] != "YX":
        raise ValueError(
            f"The axes {names!r} do not fit the shape {shape}: give one letter for "
            "each, with YX last, for instance TZYX."
        )
    try:
        fixed = {name.upper(): operator.index(n) for name, n in (index or {}).items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f'index={index!r} is not {{axis: index}}: give for instance {{"Z": 3}}.'
        ) from error
    for name, position in fixed.items():
        if name in names or position < 0:
            raise ValueError(
                f"The index {name}={position} is not of an axis besides {names}: give "
                "{axis: index} of the plane, from 0."
            )
    return ImageSelection(names, shape, fixed)


def _check_labels(labels: ArrayLike) -> NDArray[Any]:
    stack = np.asarray(as_image(labels, "labels"))
    if stack.ndim not in (2, 3, 4) or stack.dtype.kind not in "iub" or 0 in stack.shape:
        raise ValueError(
            f"The labels have shape {stack.shape} and type {stack.dtype}: give "
            "integers of a plane (H, W), or of a stack."
        )
    if stack.dtype.kind == "b":
        stack = stack.astype(np.uint8)
    if stack.min() < 0 or stack.max() > MAX_ID:
        raise ValueError(
            f"The labels range from {stack.min()} to {stack.max()}: number them from "
            "1; 0 is background."
        )
    return stack


def _planes(stack: NDArray[Any], axes: str) -> Iterator[LabelPlane]:
    """Yield the planes of a stack with their positions."""
    for index in np.ndindex(stack.shape[:-2]):
        yield dict(zip(axes, index, strict=False)), stack[index]


def _check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        sides = tuple(int(side) for side in shape)
    except (TypeError, ValueError):
        sides = ()
    if len(sides) not in range(2, 5) or min(sides) < 1:
        raise ValueError(f"shape={shape!r} is not a shape: give (H, W) or (Z, H, W).")
    return sides
