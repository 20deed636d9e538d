"""ROI files of ImageJ and Fiji: single ROIs and ZIP files of them."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.exchange.annotation import (
    Annotation,
    AnnotationFile,
    Kind,
    box_corners,
    from_corner,
    read_id,
)
from napari_sam.exchange.label_classes import NO_CLASSES
from napari_sam.exchange.outlines import trace_labels
from napari_sam.files import first_line
from napari_sam.optional import import_optional
from napari_sam.prompts.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.exchange.annotation import LabelPlane
    from napari_sam.exchange.label_classes import LabelClasses

# ImageJ keeps the corners of ROIs in 16 bits; below, they would be negative.
_MAX_SIDE = 60_535
# Of one ROI; the largest have millions of points.
_MAX_BYTES = 256 * 2**20
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError),
    *(NotImplementedError, RuntimeError),  # of a compression, or a password
)
# Of a name that is a number, as it is written.
_POSITIONS = re.compile(r"(?<=\d)(_[czt]\d+)+$")
# The class of a ROI: in its properties, and after its number in its name. Fiji itself
# names ROIs with two or three numbers, and roifile with a UUID, which may begin with
# eight digits.
_CLASS = "class"
_CLASS_IN_NAME = re.compile(
    r"(?!\d{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$)"
    r"(\d+(?:_[czt]\d+)*)-(?=.*[^\d-])(.+)",
    re.DOTALL,
)
_NO_FILE_NAME = re.compile(r"[\x00-\x1f/\\]+")
# Segments of a path, and the number of coordinates that follow each.
_MOVE, _LINE, _QUADRATIC, _CUBIC, _CLOSE = range(5)
_COORDINATES = {_MOVE: 2, _LINE: 2, _QUADRATIC: 4, _CUBIC: 6, _CLOSE: 0}
_CURVE_STEPS = np.linspace(0, 1, 17)[1:, None]


def write_imagej(
    path: Path, planes: Iterable[LabelPlane], classes: LabelClasses = NO_CLASSES
) -> None:
    """Write a ROI set of all planes, with a ROI for each label.

    Its name is the number and the class of the label. The class is a property of the
    ROI as well, and its colour that of the outline.
    """
    roifile = import_optional("roifile", "exchange")

    def rois() -> Iterator[Any]:
        for position, labels in planes:
            if max(labels.shape) > _MAX_SIDE:
                raise ValueError(
                    f"The labels have planes of {labels.shape}: ImageJ's ROIs reach to "
                    f"pixel {_MAX_SIDE}; export GeoJSON or COCO."
                )
            for outline in trace_labels(labels):
                roi = _roi(roifile, outline.polygons)
                _set_position(roi, outline.label, position)
                _set_class(roi, classes, outline.label)
                yield roi

    roifile.roiwrite(path, rois(), mode="w")


def _set_position(roi: Any, label: int, position: Mapping[str, int]) -> None:
    """Set the position, and a name that is the label and unique in the set."""
    at = [f"_{axis.lower()}{index + 1}" for axis, index in position.items()]
    roi.name = "".join([f"{label:04d}", *at])
    if len(position) == 1:  # of a stack that is no hyperstack
        roi.position = next(iter(position.values())) + 1
        return
    for axis, index in position.items():
        setattr(roi, f"{axis.lower()}_position", index + 1)


def _set_class(roi: Any, classes: LabelClasses, label: int) -> None:
    name = classes.of(label)
    if not name:
        return
    # Names of files in the set have no slashes and lines.
    roi.name += "-" + _NO_FILE_NAME.sub(" ", name)
    roi.props = f"{_CLASS}: {' '.join(name.splitlines())}\n"
    color = classes.rgb(name)
    if color is not None:
        roi.stroke_color = bytes([255, *color])


def _class_of(roi: Any) -> str:
    """Return the class in the properties of a ROI, or in a name like 0012-cell."""
    for line in str(roi.props).splitlines():
        key, _, value = line.partition(": ")
        if key == _CLASS:
            return value.strip()
    found = _CLASS_IN_NAME.match(roi.name)
    return found[2].strip() if found else ""


def _roi(roifile: Any, polygons: list[list[NDArray[np.int64]]]) -> Any:
    """Make a ROI of polygons."""
    rings = [ring for polygon in polygons for ring in polygon]
    if len(rings) == 1:
        roi = roifile.ImagejRoi.frompoints(rings[0][:, ::-1].astype(np.int32))
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.right, roi.bottom = (int(end) for end in rings[0].max(axis=0)[::-1])
        return roi
    path: list[NDArray[np.float32]] = []
    for ring in rings:
        segments = np.full((len(ring), 3), _LINE, np.float32)
        segments[0, 0] = _MOVE
        segments[:, 1:] = ring[:, ::-1]
        path += [segments.ravel(), np.array([_CLOSE], np.float32)]
    vertices = np.concatenate(rings)
    (top, left), (bottom, right) = vertices.min(axis=0), vertices.max(axis=0)
    coordinates = np.concatenate(path)
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        top=int(top),
        left=int(left),
        bottom=int(bottom),
        right=int(right),
        shape_roi_size=len(coordinates),
        multi_coordinates=coordinates,
    )


def read_imagej(path: Path, shape: tuple[int, int] | None) -> AnnotationFile:
    """Read a ROI, or all of a ROI set.

    Parameters
    ----------
    path : Path
        A .roi file, or a ZIP file of them.
    shape : tuple of int, optional
        (H, W) of the image, when it is known.

    Raises
    ------
    ValueError
        When a ROI is damaged, as the annotations are read.
    """
    roifile = import_optional("roifile", "exchange")
    ignored = Ignored()
    return AnnotationFile(_annotations(roifile, path, ignored), ignored, shape)


def _annotations(roifile: Any, path: Path, ignored: Ignored) -> Iterator[Annotation]:
    for name, data in _files(path, ignored):
        source = f"{path}, ROI {name}" if name else str(path)
        try:
            roi = roifile.ImagejRoi.frombytes(data)
            annotation = _annotation(roifile, roi, source)
        except Exception as error:  # a damaged file fails anywhere in the library
            raise ValueError(
                f"{source} is no readable ROI ({first_line(error)}): save it again."
            ) from error
        if annotation is None:
            ignored["ROIs that are texts or images"] += 1
        else:
            yield from _by_position(roi, annotation)


def _files(path: Path, ignored: Ignored) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each ROI; the name is "" outside a ZIP file."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield "", file.read(_MAX_BYTES)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.filename.lower().endswith(".roi"):
                    ignored["files that are no ROIs"] += not entry.filename.endswith(
                        "/"
                    )
                    continue
                if entry.file_size > _MAX_BYTES:
                    raise ValueError(
                        f"{path} has {entry.file_size:,} bytes in one ROI, more than "
                        "any has: save it again."
                    )
                with archive.open(entry) as file:
                    yield entry.filename[:-4], file.read(_MAX_BYTES)
    except _DAMAGED as error:
        raise ValueError(
            f"{path} cannot be read as a ROI set ({first_line(error)}): save it again."
        ) from error
    if not ignored["files that are no ROIs"]:
        del ignored["files that are no ROIs"]


def _annotation(roifile: Any, roi: Any, source: str) -> Annotation | None:
    """Convert a ROI; None when it has no shape."""
    types = roifile.ROI_TYPE
    text_or_image = (roifile.ROI_SUBTYPE.TEXT, roifile.ROI_SUBTYPE.IMAGE)
    if roi.subtype in text_or_image or roi.roitype == types.NOROI:
        return None
    name = _class_of(roi)
    number = roi.name.partition("-")[0] if name else roi.name
    object_id = read_id(_POSITIONS.sub("", number))
    if not object_id and not name:
        name = roi.name
    about: dict[str, Any] = {"source": source, "name": name, "object_id": object_id}
    if roi.roitype == types.RECT and roi.multi_coordinates is not None:
        paths = _paths(roi.multi_coordinates, source)
        rings = [from_corner(p, source, 3) for p in paths if len(p) > 2]
        return Annotation(kind="polygon", polygons=[rings], **about) if rings else None
    if roi.roitype in (types.RECT, types.OVAL):
        box: tuple[float, ...] = (roi.left, roi.top, roi.right, roi.bottom)
        if roi.subpixelrect:
            box = (roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd)
        kind: Kind = "rectangle" if roi.roitype == types.RECT else "ellipse"
        return Annotation(kind=kind, vertices=box_corners(box, source), **about)
    points = roi.coordinates()
    if roi.roitype in (types.POLYGON, types.FREEHAND, types.TRACED):
        rings = [from_corner(points, source, 3)]
        return Annotation(kind="polygon", polygons=[rings], **about)
    vertices = from_corner(points, source)
    if (vertices + 0.5 == np.round(vertices + 0.5)).all():
        vertices += 0.5  # whole numbers name pixels
    kind = "points" if roi.roitype == types.POINT else "line"
    return Annotation(kind=kind, vertices=vertices, **about)


def _by_position(roi: Any, annotation: Annotation) -> Iterator[Annotation]:
    """Yield the annotation at its position; points may have one each."""
    from dataclasses import replace

    pages = getattr(roi, "counter_positions", None)
    if annotation.kind == "points" and pages is not None and np.any(pages):
        for page in np.unique(pages).tolist():
            yield replace(
                annotation,
                vertices=annotation.vertices[pages == page],
                page=page - 1 if page else None,
            )
        return
    indices = {"C": roi.c_position, "Z": roi.z_position, "T": roi.t_position}
    position = {axis: index - 1 for axis, index in indices.items() if index > 0}
    page = roi.position - 1 if roi.position > 0 and not position else None
    yield replace(annotation, position=position, page=page)


def _paths(coordinates: NDArray[np.float32], source: str) -> list[list[Any]]:
    """Return the closed paths of a composite ROI as lists of (x, y)."""
    values = coordinates.tolist()
    paths: list[list[Any]] = []
    index = 0
    while index < len(values):
        segment = int(values[index]) if math.isfinite(values[index]) else -1
        count = _COORDINATES.get(segment, -1)
        numbers = values[index + 1 : index + 1 + count]
        if len(numbers) != count or (segment != _MOVE and not paths):
            raise ValueError(f"{source} has a damaged path")
        index += 1 + count
        if segment == _MOVE:
            paths.append([numbers])
        elif segment == _LINE:
            paths[-1].append(numbers)
        elif segment != _CLOSE:
            controls = [paths[-1][-1], *np.reshape(numbers, (-1, 2)).tolist()]
            paths[-1] += _curve(np.array(controls)).tolist()
    return paths


def _curve(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample a Bézier curve, without its start."""
    degree = len(controls) - 1
    points = np.zeros((len(_CURVE_STEPS), 2))
    for i, control in enumerate(controls):
        weight = math.comb(degree, i) * _CURVE_STEPS**i
        points += weight * (1 - _CURVE_STEPS) ** (degree - i) * control
    return points
