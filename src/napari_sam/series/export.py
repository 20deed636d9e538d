"""Labels of a series, with their classes, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.exchange.coco import CocoImage, write_coco
from napari_sam.exchange.folders import FOLDER_FORMATS, FolderWriter, flat_names
from napari_sam.exchange.formats import ENDINGS, Format
from napari_sam.exchange.label_classes import UNNAMED, LabelClasses
from napari_sam.exchange.labels import export_labels
from napari_sam.files import atomic_write
from napari_sam.scale_out.jobs.failures import describe_failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.exchange.folders import FolderFormat
    from napari_sam.series.item import SeriesItem


def export_items(
    path: Path,
    items: Sequence[SeriesItem],
    format: Format | FolderFormat,
    colors: Mapping[str, str],
) -> dict[str, str]:
    """Write the labels of images; see `ImageSeries.export`.

    Parameters
    ----------
    path : Path
        File of COCO, else folder.
    items : sequence of SeriesItem
        Images with labels.
    format : str
        See `export_labels`.
    colors : mapping
        {name of a class: "#rrggbb"}.

    Returns
    -------
    dict
        {name: why an image was not exported}.
    """
    if format not in (*ENDINGS, *FOLDER_FORMATS):
        known = ", ".join([*ENDINGS, *FOLDER_FORMATS])
        raise ValueError(f"The format {format!r} is unknown: give one of {known}.")
    problems: dict[str, str] = {}
    if format == "cellpose" or format == "stardist" or format == "nnunet":
        return _export_folder(path, items, format, colors)
    if format == "coco":
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {path.parent}: make it first.")
        with atomic_write(path, ENDINGS[format]) as part:
            images = _coco_images(items, colors, problems)
            write_coco(part, images, list(colors), numbered=True)
        return problems
    if format == "yolo":  # the same numbers in all files
        names = [name for item in items for name in item.classes.values()]
        colors = {**colors, **dict.fromkeys([*names, UNNAMED], "#808080"), **colors}
    for item in items:
        target = path / (item.name + ENDINGS[format])
        try:
            labels = _read(item)
            target.parent.mkdir(parents=True, exist_ok=True)
            classes: dict[str, Any] = {"classes": item.classes, "colors": colors}
            axes = item.read().used.axes.removesuffix("S") if labels.ndim > 2 else None
            export_labels(labels, target, format, axes=axes, **classes)
        except Exception as error:  # noqa: BLE001 - the other images go on
            problems[item.name] = describe_failure(error)
    return problems


def _export_folder(
    path: Path,
    items: Sequence[SeriesItem],
    format: FolderFormat,
    colors: Mapping[str, str],
) -> dict[str, str]:
    """Write images and labels as a folder of another program."""
    problems: dict[str, str] = {}
    found = [name for item in items for name in item.classes.values()]
    writer = FolderWriter(path, format, list(dict.fromkeys([*colors, *found])))
    names = flat_names(item.name for item in items)
    for item in items:
        try:
            labels = _read(item)
            writer.add(names[item.name], item.read().used, labels, item.classes)
        except Exception as error:  # noqa: BLE001 - the other images go on
            problems[item.name] = describe_failure(error)
    writer.finish()
    return problems


def _read(item: SeriesItem) -> NDArray[Any]:
    labels = item.read_labels()
    if labels is None:
        raise FileNotFoundError(f"There is no file {item.labels_path} any more.")
    return labels


def _coco_images(
    items: Sequence[SeriesItem], colors: Mapping[str, str], problems: dict[str, str]
) -> Iterator[CocoImage]:
    for item in items:
        try:
            labels = _read(item)
            if labels.ndim != 2:
                raise ValueError(
                    f"COCO holds planes, and the labels have shape {labels.shape}: "
                    "export GeoJSON."
                )
        except Exception as error:  # noqa: BLE001 - the other images go on
            problems[item.name] = describe_failure(error)
        else:
            yield CocoImage(item.name, labels, LabelClasses(item.classes, colors))
