"""labelme's JSON: one file for each image, with polygons, boxes and masks."""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.exchange.annotation import (
    Annotation,
    AnnotationFile,
    box_corners,
    check_shape,
    from_corner,
    read_id,
)
from napari_sam.exchange.label_classes import NO_CLASSES, UNNAMED
from napari_sam.exchange.outlines import trace_labels
from napari_sam.files import first_line
from napari_sam.prompts.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.exchange.label_classes import LabelClasses

# The version of labelme whose format is written.
_VERSION = "5.4.1"


def is_labelme(content: Any) -> bool:
    """Tell whether JSON is a file of labelme."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def write_labelme(
    path: Path,
    labels: NDArray[Any],
    image: str,
    classes: LabelClasses = NO_CLASSES,
) -> None:
    """Write each label as a mask, with its number as group.

    Parameters
    ----------
    path : Path
        File to write.
    labels : ndarray
        (H, W) integers from 0.
    image : str
        Name of the image.
    classes : LabelClasses
        Classes of the labels.
    """
    shapes = []
    for outline in trace_labels(labels):
        exteriors = np.concatenate([polygon[0] for polygon in outline.polygons])
        (top, left), (bottom, right) = exteriors.min(axis=0), exteriors.max(axis=0)
        mask = labels[top:bottom, left:right] == outline.label
        shapes.append(
            {
                "label": classes.of(outline.label) or UNNAMED,
                "points": [[int(left), int(top)], [int(right) - 1, int(bottom) - 1]],
                "group_id": outline.label,
                "description": "",
                "shape_type": "mask",
                "flags": {},
                "mask": _encode_mask(mask),
            }
        )
    content = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": labels.shape[0],
        "imageWidth": labels.shape[1],
    }
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content))


def read_labelme(
    path: Path, content: Any, shape: tuple[int, int] | None
) -> AnnotationFile:
    """Read the shapes.

    Parameters
    ----------
    path : Path
        For messages.
    content : dict
        JSON for which `is_labelme` is true.
    shape : tuple of int, optional
        (H, W) of the image, when it is known.

    Raises
    ------
    ValueError
        When the file is for another shape; or when an annotation is damaged, as they
        are read.
    """
    ignored = Ignored()
    sides = [content.get(f"image{side}") for side in ("Height", "Width")]
    shape = check_shape(path, sides, shape)
    shapes = _annotations(path, content["shapes"], ignored)
    return AnnotationFile(shapes, ignored, shape)


def _annotations(
    path: Path, shapes: list[Any], ignored: Ignored
) -> Iterator[Annotation]:
    for number, shape in enumerate(shapes, 1):
        source = f"{path}, shape {number}"
        if not isinstance(shape, dict):
            raise ValueError(f"{source} is no object: save it again.")
        kind = shape.get("shape_type") or "polygon"
        annotation = _annotation(shape, kind, source)
        if annotation is None:
            ignored[f"shapes of the unknown type {str(kind)[:40]!r}"] += 1
        else:
            yield annotation


def _annotation(shape: dict[str, Any], kind: Any, source: str) -> Annotation | None:
    """Convert a shape; None when its type is unknown."""
    about: dict[str, Any] = {
        "source": source,
        "name": str(shape.get("label") or ""),
        "object_id": read_id(shape.get("group_id")),
    }
    points = shape.get("points")
    if kind in ("point", "points"):
        return Annotation(kind="points", vertices=from_corner(points, source), **about)
    if kind in ("line", "linestrip"):
        return Annotation(kind="line", vertices=from_corner(points, source, 2), **about)
    if kind in ("polygon", "oriented_rectangle"):
        rings = [from_corner(points, source, 3)]
        return Annotation(kind="polygon", polygons=[rings], **about)
    if kind not in ("rectangle", "circle", "mask"):
        return None
    ends = from_corner(points, source, 2)
    if kind == "rectangle":
        box = np.r_[ends.min(axis=0), ends.max(axis=0)][[1, 0, 3, 2]] + 0.5
        return Annotation(kind="rectangle", vertices=box_corners(box, source), **about)
    if kind == "circle":
        centre, radius = ends[0], float(np.linalg.norm(ends[1] - ends[0]))
        corners = centre + radius * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
        return Annotation(kind="ellipse", vertices=corners, **about)
    first, last = (ends + 0.5).astype(int)
    mask = _decode_mask(shape.get("mask"), last - first + 1, source)
    origin = int(first[0]), int(first[1])
    return Annotation(kind="mask", mask=mask, origin=origin, **about)


def _encode_mask(mask: NDArray[np.bool_]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _decode_mask(text: Any, shape: NDArray[Any], source: str) -> NDArray[np.bool_]:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"])
        if image.size != (shape[1], shape[0]):  # before the pixels are read
            raise ValueError(f"its mask has {image.size} pixels, its box {shape[::-1]}")
        mask: NDArray[np.bool_] = np.asarray(image.convert("L")) > 0
    except (
        *(TypeError, ValueError, OSError, SyntaxError),
        *(binascii.Error, Image.DecompressionBombError),
    ) as error:
        raise ValueError(
            f"{source} has no readable mask ({first_line(error)}): save it again."
        ) from error
    return mask
