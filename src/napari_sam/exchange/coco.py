"""COCO's instances and results: run lengths, polygons and boxes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
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
from napari_sam.exchange.label_classes import NO_CLASSES, UNNAMED, LabelClasses
from napari_sam.optional import import_optional
from napari_sam.prompts.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_MAX_PIXELS = 2**32 - 1  # run lengths have 32 bits
# Of the text of run lengths: characters of 5 bits, from "0"; a sixth bit continues.
_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
_MAX_CHARACTERS = 7
_MAX_NAMES = 5


def is_coco(content: Any) -> bool:
    """Tell whether JSON is a data set or a list of results of COCO."""
    if isinstance(content, list):
        return bool(content) and all(
            isinstance(item, dict) and "image_id" in item for item in content
        )
    return isinstance(content, dict) and isinstance(content.get("annotations"), list)


@dataclass(frozen=True, slots=True, eq=False)
class CocoImage:
    """An image of a data set.

    Parameters
    ----------
    name : str
        Name of the image.
    labels : ndarray
        (H, W) integers from 0.
    classes : LabelClasses
        Classes of its labels.
    """

    name: str
    labels: NDArray[Any]
    classes: LabelClasses = NO_CLASSES


def write_coco(
    path: Path,
    images: Iterable[CocoImage],
    order: Sequence[str] = (),
    *,
    numbered: bool = False,
) -> None:
    """Write a data set, with each label as compressed run lengths.

    Parameters
    ----------
    path : Path
        File to write.
    images : iterable of CocoImage
        One is in memory at a time.
    order : sequence of str
        Classes in the order of their ids, from 1; those that are not there follow.
    numbered : bool
        Whether annotations are numbered and have their label as "label", as COCO wants
        ids that are unique among images; else their ids are the labels.
    """
    coder = import_optional("pycocotools.mask", "exchange")
    categories = {name: number for number, name in enumerate(order, 1)}
    entries: list[dict[str, Any]] = []
    with path.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        separator, count = "\n", 0
        for image_id, image in enumerate(images, 1):
            height, width = image.labels.shape
            size = {"height": height, "width": width}
            entries.append({"id": image_id, "file_name": image.name, **size})
            for annotation in _annotations_of(coder, image):
                label = annotation["id"]
                name = image.classes.of(label) or UNNAMED
                content = {
                    **annotation,
                    "image_id": image_id,
                    "category_id": categories.setdefault(name, len(categories) + 1),
                }
                count += 1
                if numbered:
                    content |= {"id": count, "label": label}
                file.write(separator + json.dumps(content))
                separator = ",\n"
        listed = [
            {"id": number, "name": name, "supercategory": ""}
            for name, number in (categories or {UNNAMED: 1}).items()
        ]
        tail = json.dumps({"images": entries, "categories": listed})
        file.write("\n], " + tail[1:] + "\n")


def _annotations_of(coder: Any, image: CocoImage) -> Iterator[dict[str, Any]]:
    """Yield the annotations of an image: their id is the label."""
    labels = image.labels
    if labels.size > _MAX_PIXELS:
        raise ValueError(
            f"The labels have shape {labels.shape}: COCO holds up to {_MAX_PIXELS} "
            "pixels; export GeoJSON."
        )
    height, width = size = list(labels.shape)
    for label, starts, ends in _column_runs(labels):
        counts = np.diff(np.stack([starts, ends], axis=1).ravel(), prepend=0)
        runs = {"size": size, "counts": [*counts.tolist(), labels.size - int(ends[-1])]}
        code = coder.frPyObjects(runs, height, width)["counts"].decode()
        yield {
            "id": label,
            "iscrowd": 0,
            "area": int((ends - starts).sum()),
            "bbox": _box(starts, ends, height),
            "segmentation": {"size": size, "counts": code},
        }


def _column_runs(
    labels: NDArray[Any],
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each label with starts and ends of its runs, column by column."""
    flat = labels.T.ravel()
    starts = np.r_[0, np.flatnonzero(flat[1:] != flat[:-1]) + 1][: flat.size]
    ends = np.r_[starts[1:], flat.size]
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    order = order[values[order] != 0]
    found, firsts = np.unique(values[order], return_index=True)
    for label, runs in zip(found.tolist(), np.split(order, firsts[1:]), strict=False):
        yield label, starts[runs], ends[runs]


def _box(starts: NDArray[np.int64], ends: NDArray[np.int64], height: int) -> list[int]:
    """Return (x, y, width, height) of the runs."""
    cols, rows = np.divmod(starts, height)
    last_cols, last_rows = np.divmod(ends - 1, height)
    top, bottom = int(rows.min()), int(last_rows.max())
    if (cols != last_cols).any():  # such a run holds the last row and the first
        top, bottom = 0, height - 1
    left, right = int(cols[0]), int(last_cols[-1])
    return [left, top, right - left + 1, bottom - top + 1]


def read_coco(
    path: Path,
    content: Any,
    shape: tuple[int, int] | None,
    image: str | Path | None = None,
) -> AnnotationFile:
    """Read the annotations of one image.

    Parameters
    ----------
    path : Path
        For messages.
    content : object
        JSON for which `is_coco` is true.
    shape : tuple of int, optional
        (H, W) of the image, when it is known.
    image : str or Path, optional
        File of the image, to find it among several by its name.

    Raises
    ------
    ValueError
        When the file has several images and none has this name, or when the image has
        another shape; or when an annotation is damaged, as they are read.
    """
    ignored = Ignored()
    if isinstance(content, list):
        annotations, records = content, {}
    else:
        annotations, records = content["annotations"], _images(content)
    names = _class_names(content)
    ids = (item.get("image_id") for item in annotations if isinstance(item, dict))
    used = {image_id for image_id in ids if isinstance(image_id, int | str)}
    image_id = _choose_image(path, used, records, image)
    record = records.get(image_id, {})
    sides = [record.get("height"), record.get("width")]
    plane = check_shape(path, sides, shape)

    def chosen() -> Iterator[Annotation]:
        for number, item in enumerate(annotations, 1):
            if isinstance(item, dict) and item.get("image_id") != image_id:
                ignored["annotations of other images"] += 1
                continue
            annotation = _annotation(item, f"{path}, annotation {number}", plane, names)
            if annotation is None:
                ignored["annotations without a segmentation or box"] += 1
            else:
                yield annotation

    return AnnotationFile(chosen(), ignored, plane)


def _images(content: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    images = content.get("images")
    listed = images if isinstance(images, list) else []
    return {
        item.get("id"): item
        for item in listed
        if isinstance(item, dict) and isinstance(item.get("id"), int | str)
    }


def _class_names(content: Any) -> dict[Any, str]:
    classes = content.get("categories") if isinstance(content, dict) else None
    return {
        item["id"]: str(item.get("name", ""))
        for item in (classes if isinstance(classes, list) else [])
        if isinstance(item, dict) and isinstance(item.get("id"), int | str)
    }


def _choose_image(
    path: Path, used: set[Any], records: dict[Any, dict[str, Any]], image: Any
) -> Any:
    """Return the id of the image; None when there are no annotations."""
    known = list(records) or list(used)
    if image is not None:
        stem = Path(image).name.partition(".")[0]
        for image_id, record in records.items():
            name = str(record.get("file_name", ""))
            if Path(name.replace("\\", "/")).name.partition(".")[0] == stem:
                return image_id
    if len(known) <= 1:
        return known[0] if known else None
    names = [str(records.get(i, {}).get("file_name", i)) for i in known]
    shown = ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
    raise ValueError(
        f"{path} has {len(known)} images, and none is named like "
        f"{image or 'the image'}: name one of {shown}."
    )


def _annotation(
    item: Any, source: str, shape: tuple[int, int] | None, names: dict[Any, str]
) -> Annotation | None:
    if not isinstance(item, dict):
        raise ValueError(f"{source} is no object: export it again.")
    category = item.get("category_id")
    about: dict[str, Any] = {
        "source": source,
        "object_id": read_id(item.get("label", item.get("id"))),
        "name": names.get(category, "") if isinstance(category, int | str) else "",
    }
    segmentation, box = item.get("segmentation"), item.get("bbox")
    if isinstance(segmentation, dict):
        origin, mask = _decode(segmentation, shape, source)
        return Annotation(kind="mask", mask=mask, origin=origin, **about)
    if isinstance(segmentation, list) and segmentation:
        polygons = [[_ring(part, source)] for part in segmentation]
        return Annotation(kind="polygon", polygons=polygons, **about)
    if not box:
        return None
    if not (isinstance(box, list) and len(box) == 4):
        raise ValueError(f"{source} has no box of four numbers: export it again.")
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} has no box of four numbers: export it.") from error
    corners = box_corners((x, y, x + width, y + height), source)
    return Annotation(kind="rectangle", vertices=corners, **about)


def _ring(part: Any, source: str) -> NDArray[np.float64]:
    """Read x, y, x, y, ..."""
    if not isinstance(part, list) or len(part) % 2:
        raise ValueError(f"{source} has a polygon with a number too few: export again.")
    return from_corner([part[i : i + 2] for i in range(0, len(part), 2)], source, 3)


def _decode(
    segmentation: dict[str, Any], shape: tuple[int, int] | None, source: str
) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Return origin (row, col) and mask of run lengths, cropped to some columns."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(isinstance(side, int) and side > 0 for side in size)
        or tuple(size) != shape
    ):
        raise ValueError(
            f"{source} has run lengths for {size!r} pixels, and its image has "
            f"{shape or 'no known shape'}: give its (height, width)."
        )
    height, width = size
    runs = _parse(counts) if isinstance(counts, str) else _as_counts(counts)
    if runs is None or (runs < 0).any() or int(runs.sum()) != height * width:
        raise ValueError(
            f"{source} has run lengths that do not add up to {height} x {width}: "
            "export it again."
        )
    ends = np.cumsum(runs)
    inside = np.arange(len(runs)) % 2 == 1
    filled = inside & (runs > 0)
    if not filled.any():
        return (0, 0), np.zeros((1, 1), bool)
    first = int((ends - runs)[filled][0]) // height
    last = (int(ends[filled][-1]) - 1) // height
    start, stop = first * height, (last + 1) * height
    lengths = np.minimum(ends, stop) - np.maximum(ends - runs, start)
    mask = np.repeat(inside, lengths.clip(0)).reshape(-1, height).T
    return (0, first), mask


def _as_counts(counts: Any) -> NDArray[np.int64] | None:
    try:
        numbers = np.array(counts)
    except ValueError:
        return None
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        return None
    return numbers.astype(np.int64)


def _parse(text: str) -> NDArray[np.int64] | None:
    """Read compressed run lengths; None when the text is damaged."""
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST
    except UnicodeEncodeError:
        return None
    is_last = (codes & _MORE) == 0
    if not len(codes) or (codes < 0).any() or (codes >= 2 * _MORE).any():
        return None
    ends = np.flatnonzero(is_last) + 1
    lengths = np.diff(ends, prepend=0)
    if not is_last[-1] or lengths.max() > _MAX_CHARACTERS:
        return None
    place = np.arange(len(codes)) - np.repeat(ends - lengths, lengths)
    parts = (codes & (_MORE - 1)) << (_BITS * place)
    values = np.add.reduceat(parts, ends - lengths)
    negative = (codes[ends - 1] & _SIGN) > 0
    values[negative] -= 1 << (_BITS * lengths[negative])
    # From the fourth on, each is the difference to the one before the last.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
