"""Annotation files that napari opens, and Labels layers that it saves as them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_info

from napari_sam.exchange.formats import (
    find_format,
    format_of_name,
    holds_rois,
    open_annotations,
)
from napari_sam.exchange.labels import export_labels, import_labels
from napari_sam.plugin import colors
from napari_sam.prompts.prompt import NEGATIVE, NEGATIVE_NAME, POLARITY, POSITIVE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.exchange.annotation import Annotation

LayerData = tuple[Any, dict[str, Any], str]

# The usual order of the axes of images.
_STACK_AXES = "TCZ"


def get_reader(path: Any) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of a file; None when it holds no annotations.

    Parameters
    ----------
    path : str or list of str
        What napari opens.
    """
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    try:
        kind, _ = find_format(path)
    except (ValueError, OSError):
        return None
    if kind == "geojson" or (kind == "imagej" and holds_rois(Path(path))):
        return read_shapes
    # These know the size of their image.
    return read_labels if kind in ("coco", "labelme") else None


def read_labels(path: str) -> list[LayerData]:
    """Read COCO or labelme as a Labels layer."""
    found = import_labels(path)
    _say(found.ignored)
    return [(found.labels, {"name": Path(path).stem}, "labels")]


def read_shapes(path: str) -> list[LayerData]:
    """Read ImageJ ROIs or GeoJSON as Shapes and Points layers.

    Annotations with a position get layers with as many axes as positions differ along,
    in the order T, C, Z; others layers of a plane, which count on every slice.
    """
    file = open_annotations(path, None)
    annotations = list(file.annotations)
    positions = [_position(annotation) for annotation in annotations]
    used = {axis for position in positions for axis, n in position.items() if n > 0}
    axes = [axis for axis in _STACK_AXES if axis in used]
    groups = defaultdict(list)
    for annotation, position in zip(annotations, positions, strict=True):
        place = tuple(position.get(axis, 0) for axis in axes) if position else ()
        groups[len(place), annotation.kind == "points"].append((place, annotation))
    parts = [part for a in annotations for part in a.polygons]
    holes = sum(len(part) - len(_exteriors(part)) for part in parts)
    if holes:
        file.ignored["holes, which shapes do not have"] += holes
    _say(file.ignored.sentences(path))
    name = Path(path).stem
    return [
        _points(name, items) if are_points else _shapes(name, items)
        for (_, are_points), items in groups.items()
    ]


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        show_info(sentence)


def _position(annotation: Annotation) -> Mapping[str, int]:
    """Return the position; the page of a stack is its slice."""
    if annotation.page is not None:
        return {"Z": annotation.page}
    return annotation.position


_Items = list[tuple[tuple[int, ...], "Annotation"]]


def _points(name: str, items: _Items) -> LayerData:
    data = np.concatenate([_at(place, a.vertices) for place, a in items])
    owners = [a for _, a in items for _ in a.vertices]
    polarity = [
        NEGATIVE_NAME if a.point_label == NEGATIVE else POSITIVE_NAME for a in owners
    ]
    features = {POLARITY: np.array(polarity, object), **_features(owners)}
    return data, {"name": f"{name} points", "features": features}, "points"


def _shapes(name: str, items: _Items) -> LayerData:
    data, kinds, owners = [], [], []
    for place, annotation in items:
        for kind, vertices in _outlines(annotation):
            data.append(_at(place, vertices))
            kinds.append(kind)
            owners.append(annotation)
    kwargs = {
        "name": name,
        "shape_type": kinds,
        "features": _features(owners),
        "edge_color": colors.YELLOW,
        "face_color": "transparent",
    }
    return data, kwargs, "shapes"


def _outlines(annotation: Annotation) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the napari shapes of an annotation; of polygons the exteriors."""
    if annotation.kind == "line":
        kind = "line" if len(annotation.vertices) == 2 else "path"
        yield kind, annotation.vertices
    elif annotation.kind == "polygon":
        for part in annotation.polygons:
            yield from (("polygon", ring) for ring in _exteriors(part))
    else:
        yield annotation.kind, annotation.vertices


def _exteriors(part: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return the rings that lie inside an even number of the others."""
    from skimage.measure import points_in_poly

    if len(part) == 1:
        return list(part)
    found = []
    for ring in part:
        # Rings may share a corner, but no edge.
        middle = ring[:2].mean(axis=0, keepdims=True)
        around = [
            points_in_poly(middle, other)[0] for other in part if other is not ring
        ]
        if sum(around) % 2 == 0:
            found.append(ring)
    return found


def _features(owners: list[Annotation]) -> dict[str, NDArray[Any]]:
    return {
        "class": np.array([a.name for a in owners], object),
        "object": np.array([a.object_id for a in owners], object),
    }


def _at(place: tuple[int, ...], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the coordinates of the slice to (N, 2) vertices."""
    return np.hstack([np.tile(np.array(place, float), (len(vertices), 1)), vertices])


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer; the writer of napari's *Save Selected Layers*.

    Parameters
    ----------
    path : str
        File; its ending tells the format.
    data : array-like
        Labels of a plane or a stack, or the levels of a pyramid.
    meta : mapping
        Metadata of the layer.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    RuntimeError
        When the format cannot hold the labels.
    """
    largest = data[0] if meta.get("multiscale") else data
    names = "".join(map(str, meta.get("axis_labels") or ())).upper()
    # Unless the user named them, napari numbers the axes.
    axes = names if names.endswith("YX") and len(names) == largest.ndim else None
    try:
        kind = format_of_name(Path(path))
        return [str(export_labels(np.asarray(largest), path, kind, axes=axes))]
    except ValueError as error:
        # napari takes a ValueError for a missing writer, and hides its sentence.
        raise RuntimeError(str(error)) from error
