"""GeoJSON of QuPath: polygons with holes in pixels of the full resolution."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_sam.exchange.annotation import (
    Annotation,
    AnnotationFile,
    from_corner,
    read_id,
)
from napari_sam.exchange.label_classes import NO_CLASSES
from napari_sam.exchange.outlines import LabelPolygons, trace_labels
from napari_sam.prompts.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.exchange.annotation import LabelPlane
    from napari_sam.exchange.label_classes import LabelClasses

_GEOMETRIES = {
    *("Point", "MultiPoint", "LineString", "MultiLineString"),
    *("Polygon", "MultiPolygon", "GeometryCollection"),
}
_AXES = ("C", "Z", "T")


def is_geojson(content: Any) -> bool:
    """Tell whether JSON is a feature, a geometry, or a collection or list of them."""
    if isinstance(content, list):
        return bool(content) and all(map(is_geojson, content))
    kinds = {"FeatureCollection", "Feature", *_GEOMETRIES}
    return isinstance(content, dict) and content.get("type") in tuple(kinds)


def write_geojson(
    path: Path, planes: Iterable[LabelPlane], classes: LabelClasses = NO_CLASSES
) -> None:
    """Write each label of each plane as a detection, named by its number."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for position, labels in planes:
            for outline in trace_labels(labels):
                file.write(separator + json.dumps(_feature(outline, position, classes)))
                separator = ",\n"
        file.write("\n]}\n")


def _feature(
    outline: LabelPolygons, position: Mapping[str, int], classes: LabelClasses
) -> dict[str, Any]:
    polygons = [
        [[*ring[:, ::-1].tolist(), ring[0, ::-1].tolist()] for ring in polygon]
        for polygon in outline.polygons
    ]
    geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": polygons}
    if len(polygons) == 1:
        geometry = {"type": "Polygon", "coordinates": polygons[0]}
    if position:
        everywhere = {"c": -1, "z": 0, "t": 0}
        at = {axis.lower(): index for axis, index in position.items()}
        geometry["plane"] = {**everywhere, **at}
    properties: dict[str, Any] = {"objectType": "detection", "name": str(outline.label)}
    name = classes.of(outline.label)
    if name:
        color = classes.rgb(name)
        properties["classification"] = {"name": name}
        if color is not None:
            properties["classification"]["color"] = color
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def read_geojson(
    path: Path, content: Any, shape: tuple[int, int] | None
) -> AnnotationFile:
    """Read the geometries of all features.

    Parameters
    ----------
    path : Path
        For messages.
    content : object
        JSON for which `is_geojson` is true.
    shape : tuple of int, optional
        (H, W) of the image, when it is known.

    Raises
    ------
    ValueError
        When a geometry is damaged, as the annotations are read.
    """
    ignored = Ignored()
    features = list(_features(content))
    return AnnotationFile(_annotations(path, features, ignored), ignored, shape)


def _features(content: Any) -> Iterator[Any]:
    if isinstance(content, list):
        for item in content:
            yield from _features(item)
    elif content.get("type") == "FeatureCollection":
        features = content.get("features")
        yield from features if isinstance(features, list) else ()
    elif content.get("type") == "Feature":
        yield content
    else:
        yield {"geometry": content}


def _annotations(
    path: Path, features: list[Any], ignored: Ignored
) -> Iterator[Annotation]:
    # QuPath leaves out the plane of objects on the first slice and time point.
    default = {"Z": 0, "T": 0} if any(map(_position, features)) else {}
    for number, feature in enumerate(features, 1):
        source = f"{path}, feature {number}"
        if not isinstance(feature, dict):
            raise ValueError(f"{source} is no object: export it again.")
        geometry = feature.get("geometry")
        if not isinstance(geometry, dict):
            ignored["features without a geometry"] += 1
            continue
        if feature.get("nucleusGeometry"):
            ignored["nuclei inside cells"] += 1
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        name = str(properties.get("name") or "")
        object_id = read_id(name)
        about = {
            "source": source,
            "object_id": object_id,
            "name": _class_name(properties) or ("" if object_id else name),
            "position": {**default, **_position(feature)},
        }
        yield from _shapes(geometry, about, ignored)


def _class_name(properties: dict[str, Any]) -> str:
    classification = properties.get("classification")
    if not isinstance(classification, dict):
        return ""
    names = classification.get("names")  # QuPath 0.4: derived classes
    if isinstance(names, list):
        return ": ".join(map(str, names))
    return str(classification.get("name") or "")


def _position(feature: Any) -> dict[str, int]:
    """Read the position along C, Z and T; negative means all."""
    plane = feature
    for key in ("geometry", "plane"):
        plane = plane.get(key) if isinstance(plane, dict) else None
    if not isinstance(plane, dict):
        return {}
    indices = {axis: plane.get(axis.lower()) for axis in _AXES}
    return {
        axis: index
        for axis, index in indices.items()
        if isinstance(index, int) and index >= 0
    }


def _shapes(
    geometry: Any, about: dict[str, Any], ignored: Ignored, depth: int = 0
) -> Iterator[Annotation]:
    source = about["source"]
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in tuple(_GEOMETRIES) or depth > 2:
        raise ValueError(f"{source} has a geometry {kind!r}: export a polygon.")
    if kind == "GeometryCollection":
        parts = geometry.get("geometries")
        for part in parts if isinstance(parts, list) else ():
            yield from _shapes(part, about, ignored, depth + 1)
        return
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list) or not coordinates:
        ignored["empty geometries"] += 1
    elif kind in ("Point", "MultiPoint"):
        points = [coordinates] if kind == "Point" else coordinates
        yield Annotation(kind="points", vertices=from_corner(points, source), **about)
    elif kind in ("LineString", "MultiLineString"):
        for line in [coordinates] if kind == "LineString" else coordinates:
            yield Annotation(
                kind="line", vertices=from_corner(line, source, 2), **about
            )
    else:
        polygons = [coordinates] if kind == "Polygon" else coordinates
        rings = [_rings(polygon, source) for polygon in polygons]
        yield Annotation(kind="polygon", polygons=rings, **about)


def _rings(polygon: Any, source: str) -> list[NDArray[Any]]:
    if not isinstance(polygon, list) or not polygon:
        raise ValueError(f"{source} has a polygon without a ring: export it again.")
    return [from_corner(ring, source, 3) for ring in polygon]
