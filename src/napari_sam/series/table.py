"""One table of the objects of all images of a series, as CSV."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam.files import atomic_write
from napari_sam.masks.measurements import mean_intensities, measure
from napari_sam.scale_out.jobs.failures import describe_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.masks.measurements import ObjectMeasurement, SliceScore
    from napari_sam.records.record import Record
    from napari_sam.series.item import OpenImage, SeriesItem

COLUMNS = (
    *("image", "status", "object", "class", "pixels", "size", "unit"),
    *("z", "y", "x", "first_slice", "last_slice", "score"),
)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectRow:
    """One object of one image.

    Parameters
    ----------
    item : SeriesItem
        The image.
    measurement : ObjectMeasurement
        Size, position and lowest score.
    intensities : list of float
        Mean of each channel.
    """

    item: SeriesItem
    measurement: ObjectMeasurement
    intensities: list[float]

    def cells(self) -> list[str]:
        """Return the cells of the table."""
        found, item = self.measurement, self.item
        ndim = len(found.centroid)
        position = [""] * (3 - ndim) + [_number(value) for value in found.centroid]
        unit = found.unit if found.unit == "pixel" else f"{found.unit}^{ndim}"
        slices = [
            "" if n is None else str(n) for n in (found.first_slice, found.last_slice)
        ]
        return [
            *(item.name, item.status, str(found.label)),
            item.classes.get(found.label, ""),
            *(str(found.voxels), _number(found.volume), unit),
            *(*position, *slices, _number(found.lowest_score)),
            *(_number(value) for value in self.intensities),
        ]


def iter_objects(item: SeriesItem) -> Iterator[ObjectRow]:
    """Measure the objects of an image; none without labels.

    Raises
    ------
    ValueError, OSError
        When a file cannot be read, or the image has changed since.
    """
    labels = item.read_labels()
    if labels is None:
        return
    item.check_unchanged()
    image = item.read()
    spacing, unit = image.used.voxel_size
    record = item.read_record()
    scores = {} if record is None else _scores(record)
    means = [
        mean_intensities(labels, channel) for channel in _channels(item, image, labels)
    ]
    for found in measure(labels, spacing, unit, scores=scores):
        yield ObjectRow(item, found, [mean[found.label] for mean in means])


def write_table(path: Path, items: Iterable[SeriesItem]) -> dict[str, str]:
    """Write a row for each object of all images.

    Parameters
    ----------
    path : Path
        CSV file, which appears under its name only when it is complete.
    items : iterable of SeriesItem
        The images.

    Returns
    -------
    dict
        {name: why the image is not in the table}, of images with labels.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    rows: list[ObjectRow] = []
    problems: dict[str, str] = {}
    for item in items:
        try:
            rows += iter_objects(item)
        except Exception as error:  # noqa: BLE001 - the other images go on
            problems[item.name] = describe_failure(error)
    count = max((len(row.intensities) for row in rows), default=0)
    header = [*COLUMNS, *(f"intensity-{channel}" for channel in range(count))]
    with (
        atomic_write(path, ".csv") as part,
        # Names of files may have bytes that are no text.
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(header)
        for row in rows:
            cells = row.cells()
            table.writerow(cells + [""] * (len(header) - len(cells)))
    return problems


def _channels(item: SeriesItem, image: OpenImage, labels: NDArray[Any]) -> list[Any]:
    """Return the channels of an image: all of the file, also if one was segmented."""
    index = {name: n for name, n in item.choice.index.items() if name != "C"}
    for source in (image.file.select(**index), image.used):
        channels = source.channels()
        if all(tuple(channel.shape) == labels.shape for channel in channels):
            return channels
    return [image.used.data]  # channels are an axis of the labels


def _scores(record: Record) -> dict[int, list[SliceScore]]:
    return {
        int(label): [
            (score["index"], score["score"], score["status"])
            for score in entries[-1].get("scores", ())
        ]
        for label, entries in record["objects"].items()
        if entries
    }


def _number(value: float | None) -> str:
    """Format with ten digits; nothing where the value is unknown."""
    return "" if value is None or math.isnan(value) else f"{value:.10g}"
