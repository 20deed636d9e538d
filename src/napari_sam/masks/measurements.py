"""Measurements of the objects of a label array, plane by plane; their CSV table."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write
from napari_sam.images.axes import check_axis, check_spacing
from napari_sam.masks.label_tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

# (slice index, score, status), see `napari_sam.requests.base.Score`.
SliceScore = tuple[int | None, float, str]
# Scores with this status do not measure a mask of the model.
_IGNORED_STATUSES = ("stopped", "interpolated", "bridged")


@dataclass(frozen=True, slots=True)
class ObjectMeasurement:
    """Measurements of one object: a row of the table.

    Parameters
    ----------
    label : int
        Label of the object.
    voxels : int
        Number of voxels; of a plane, of pixels.
    volume : float
        Volume in `unit` cubed; of a plane, area in `unit` squared.
    first_slice, last_slice : int or None
        First and last slice along the stack; None on a plane.
    lowest_score : float or None
        The lowest score of the model on any slice; None when unknown.
    lowest_slice : int or None
        The slice of the lowest score.
    centroid : tuple of float
        Mean of the voxel centres in `unit`, one number per axis of the array; the
        centre of the first voxel of the array is 0.
    unit : str
        Unit of length.
    """

    label: int
    voxels: int
    volume: float
    first_slice: int | None
    last_slice: int | None
    lowest_score: float | None
    lowest_slice: int | None
    centroid: tuple[float, ...]
    unit: str = "pixel"


def measure(
    labels: Any,
    spacing: ArrayLike | None = None,
    unit: str = "pixel",
    axis: int = 0,
    scores: Mapping[int, Iterable[SliceScore]] | None = None,
) -> list[ObjectMeasurement]:
    """Measure all objects of a label array, with a part of a plane in memory at a time.

    Parameters
    ----------
    labels : array-like
        (Z, H, W) or (H, W), any integer dtype, 0 is background; numpy, a memory map,
        dask or zarr.
    spacing : array-like, optional
        Distance between neighbouring voxels along each axis, in `unit`; 1 when None.
    unit : str
        Unit of length, as named in the table.
    axis : int
        The slice axis of a stack.
    scores : mapping, optional
        {label: (slice index, score, status)}. Scores with the status "stopped" or
        "interpolated" are ignored.

    Returns
    -------
    list of ObjectMeasurement
        By label, of the labels in the array.

    Raises
    ------
    ValueError
        When labels, spacing or axis are not valid.
    """
    shape = check_labels(labels)
    sizes = check_spacing(spacing, len(shape))
    axis = check_axis(axis, len(shape))
    sums: dict[int, _Sums] = {}
    for index, origin, part in _plane_parts(labels, axis):
        if not part.any():
            continue  # much faster than to look for labels
        for label, voxels, rows, cols in _plane_sums(part, origin):
            sums.setdefault(label, _Sums(index)).add(index, voxels, rows, cols)
    return [
        _measurement(
            label, sums[label], axis, sizes, unit, (scores or {}).get(label, ())
        )
        for label in sorted(sums)
    ]


def mean_intensities(labels: Any, image: Any) -> dict[int, float]:
    """Compute the mean intensity of each object, a part of a plane at a time.

    Parameters
    ----------
    labels : array-like
        See `measure`.
    image : array-like
        Of the same shape, real numbers. Pixels that are not finite do not count.

    Returns
    -------
    dict
        {label: mean}; NaN where no pixel counts.

    Raises
    ------
    ValueError
        When the labels are not valid, or the image has another shape.
    """
    shape = check_labels(labels)
    if tuple(image.shape) != shape:
        raise ValueError(
            f"The image has shape {tuple(image.shape)}, the labels {shape}: give "
            "arrays of the same shape."
        )
    totals: dict[int, NDArray[np.float64]] = {}
    for index, origin, part in _plane_parts(labels, 0):
        if not part.any():
            continue
        region = [
            slice(a, a + size) for a, size in zip(origin, part.shape, strict=True)
        ]
        place = (index, *region) if len(shape) == 3 else tuple(region)
        pixels = np.asarray(image[place], float)
        inside = part != 0
        found, inverse = np.unique(part[inside], return_inverse=True)
        values = pixels[inside]
        finite = np.isfinite(values)
        sums = np.bincount(inverse, np.where(finite, values, 0), len(found))
        counts = np.bincount(inverse, finite, len(found))
        for label, of_part in zip(
            found.tolist(), np.stack([sums, counts], 1), strict=True
        ):
            totals[label] = totals.get(label, 0) + of_part
    return {
        label: float(total / count) if count else math.nan
        for label, (total, count) in sorted(totals.items())
    }


def write_csv(rows: Sequence[ObjectMeasurement], path: str | Path) -> Path:
    """Write measurements as CSV: UTF-8, commas, units in the column names.

    Parameters
    ----------
    rows : sequence of ObjectMeasurement
        Of one array. Without rows, the header is that of a stack in pixels.
    path : str or Path
        The file appears, or replaces an existing one, only when it is complete.

    Raises
    ------
    ValueError
        When the rows have different units or numbers of axes.
    OSError
        When the file cannot be written.
    """
    kinds = {(len(row.centroid), row.unit) for row in rows} or {(3, "pixel")}
    if len(kinds) > 1:
        raise ValueError(
            "The measurements have different units or numbers of axes: write those of "
            "each array to a table of its own."
        )
    ((ndim, unit),) = kinds
    path = Path(path)
    with (
        atomic_write(path, ".csv") as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(_header(ndim, unit))
        table.writerows(_cells(row) for row in rows)
    return path


def _plane_parts(
    labels: Any, axis: int
) -> Iterator[tuple[int, tuple[int, ...], NDArray[Any]]]:
    """Yield the parts of each plane: slice index, first (row, col), and labels."""
    shape = labels.shape
    for index in range(shape[axis] if len(shape) == 3 else 1):
        region: list[slice | int] = [slice(None)] * len(shape)
        if len(shape) == 3:
            region[axis] = index
        for tile in tiles(labels, tuple(region)):
            origin = tuple(side.start for side in tile if isinstance(side, slice))
            yield index, origin, np.asarray(labels[tile])


def check_labels(labels: Any) -> tuple[int, ...]:
    """Return the shape of a label array.

    Raises
    ------
    ValueError
        When it does not have two or three axes, or is not of an integer dtype.
    """
    shape = tuple(int(size) for size in labels.shape)
    if len(shape) not in (2, 3):
        raise ValueError(
            f"The labels have shape {shape}: give two or three axes; pick a time point "
            "or channel first."
        )
    if np.dtype(labels.dtype).kind not in "iu":
        raise ValueError(
            f"The labels have type {labels.dtype}: give integers, 0 for background."
        )
    return shape


@dataclass(slots=True)
class _Sums:
    """Slices, voxel count and sums of the voxel positions of one object so far."""

    first: int
    last: int = 0
    voxels: int = 0
    slices: float = 0
    rows: float = 0
    cols: float = 0

    def add(self, index: int, voxels: int, rows: float, cols: float) -> None:
        self.last = index
        self.voxels += voxels
        self.slices += index * voxels
        self.rows += rows
        self.cols += cols

    def positions(self, axis: int | None) -> list[float]:
        """Return the sum along each axis; `axis` is that of the slices, if any."""
        found = [self.rows, self.cols]
        if axis is not None:
            found.insert(axis, self.slices)
        return found


def _plane_sums(
    plane: NDArray[Any], origin: tuple[int, ...]
) -> Iterator[tuple[int, int, float, float]]:
    """Yield each label, its number of pixels, and the sums of their rows and columns.

    It counts runs of pixels along rows, of which there are far fewer than pixels. Much
    faster than `skimage.measure.regionprops_table` for many scattered labels.

    Parameters
    ----------
    plane : ndarray
        (H, W) labels.
    origin : tuple of int
        (row, col) of the first pixel.
    """
    begins = np.ones(plane.shape, bool)
    np.not_equal(plane[:, 1:], plane[:, :-1], out=begins[:, 1:])
    rows, cols = np.nonzero(begins)
    values = plane[rows, cols]
    lengths = np.diff(np.flatnonzero(begins), append=plane.size)
    inside = values != 0
    rows, cols, lengths = rows[inside], cols[inside], lengths[inside]
    labels, inverse = np.unique(values[inside], return_inverse=True)
    row_sums = (rows + origin[0]) * lengths
    col_sums = (2 * (cols + origin[1]) + lengths - 1) * lengths / 2
    counts, *sums = (
        np.bincount(inverse, weights, len(labels)).tolist()
        for weights in (lengths, row_sums, col_sums)
    )
    yield from zip(labels.tolist(), map(int, counts), *sums, strict=True)


def _measurement(
    label: int,
    sums: _Sums,
    axis: int,
    sizes: NDArray[np.float64],
    unit: str,
    scores: Iterable[SliceScore],
) -> ObjectMeasurement:
    stack = len(sizes) == 3
    positions = np.array(sums.positions(axis if stack else None))
    valid = [
        (s, index) for index, s, status in scores if status not in _IGNORED_STATUSES
    ]
    score, index = min(valid, key=lambda entry: entry[0], default=(None, None))
    return ObjectMeasurement(
        label=label,
        voxels=sums.voxels,
        volume=sums.voxels * float(np.prod(sizes)),
        first_slice=sums.first if stack else None,
        last_slice=sums.last if stack else None,
        lowest_score=score,
        lowest_slice=index,
        centroid=tuple((positions / sums.voxels * sizes).tolist()),
        unit=unit,
    )


def _header(ndim: int, unit: str) -> list[str]:
    centroid = [f"centroid-{axis} ({unit})" for axis in range(ndim)]
    if ndim == 2:
        return ["label", "pixels", f"area ({unit}^2)", "lowest_score", *centroid]
    slices = ["first_slice", "last_slice", "lowest_score", "lowest_slice"]
    return ["label", "voxels", f"volume ({unit}^3)", *slices, *centroid]


def _cells(row: ObjectMeasurement) -> list[Any]:
    score = _number(row.lowest_score)
    size = [row.label, row.voxels, _number(row.volume)]
    centroid = [_number(value) for value in row.centroid]
    if len(row.centroid) == 2:
        return [*size, score, *centroid]
    slices = [row.first_slice, row.last_slice, score, row.lowest_slice]
    return [*size, *slices, *centroid]


def _number(value: float | None) -> str:
    """Format with ten digits, which hides rounding errors."""
    return "" if value is None else f"{value:.10g}"
