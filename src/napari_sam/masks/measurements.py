"""What the objects of a label array measure, read plane by plane; a table of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write
from napari_sam.images.axes import check_axis, check_spacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

# (slice index, score, status), see `napari_sam.requests.base.Score`.
SliceScore = tuple[int | None, float, str]
# Where the object ended, or the model was not asked, a score says nothing of it.
_WITHOUT_SCORE = ("stopped", "interpolated", "bridged")


@dataclass(frozen=True, slots=True)
class ObjectMeasurement:
    """One object of a label array: a row of the table.

    Parameters
    ----------
    label : int
        Its number in the array.
    voxels : int
        How many it has; of a plane, its pixels.
    volume : float
        In `unit` cubed; of a plane, its area in `unit` squared.
    first_slice, last_slice : int or None
        Where it begins and ends along the stack; None on a plane.
    lowest_score : float or None
        The model's lowest score on any slice of it; None when not known.
    lowest_slice : int or None
        Where that was.
    centroid : tuple of float
        Mean position of its voxels' centres in `unit`, one number an axis of the
        array; the centre of the array's first voxel is 0.
    unit : str
        Of length.
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
    """Measure every object of a label array, with one plane in memory at a time.

    Parameters
    ----------
    labels : array-like
        (Z, H, W) or (H, W), any integer dtype, 0 is background; numpy, a memory map,
        dask or zarr.
    spacing : array-like, optional
        Distance of neighbouring voxels along each axis of the array, in `unit`; 1
        when None.
    unit : str
        Of length, as it is to be named in tables.
    axis : int
        The axis of a stack whose indices are called slices.
    scores : mapping, optional
        {label: (slice index, score, status)}. Where the status is "stopped" or
        "interpolated" the score does not count.

    Returns
    -------
    list of ObjectMeasurement
        By label; labels without a voxel are not among them.

    Raises
    ------
    ValueError
        When labels, spacing or axis cannot be used.
    """
    shape = check_labels(labels)
    sizes = check_spacing(spacing, len(shape))
    axis = check_axis(axis, len(shape))
    sums: dict[int, _Sums] = {}
    for index, plane in label_planes(labels, axis):
        for label, voxels, place in _of_plane(plane):
            if len(shape) == 3:
                place = np.insert(place, axis, voxels * index)
            sums.setdefault(label, _Sums(index, place * 0)).add(index, voxels, place)
    return [
        _measurement(label, sums[label], sizes, unit, (scores or {}).get(label, ()))
        for label in sorted(sums)
    ]


def write_csv(rows: Sequence[ObjectMeasurement], path: str | Path) -> Path:
    """Write measurements as a table: UTF-8, commas, units in the names of columns.

    Parameters
    ----------
    rows : sequence of ObjectMeasurement
        Of one array. Without rows, the header is that of a stack in pixels.
    path : str or Path
        The file appears under its name only when it is complete; what has the name
        already is replaced.

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


def label_planes(labels: Any, axis: int = 0) -> Iterator[tuple[int, NDArray[Any]]]:
    """Planes of a label array across an axis, one in memory at a time.

    Parameters
    ----------
    labels : array-like
        (Z, H, W), or (H, W), which is one plane whatever the axis.
    axis : int
        Of the three.

    Yields
    ------
    tuple
        The slice and its (H, W) labels.
    """
    if len(labels.shape) == 2:
        yield 0, np.asarray(labels)
        return
    for index in range(labels.shape[axis]):
        window = [slice(None)] * 3
        window[axis] = slice(index, index + 1)
        yield index, np.asarray(labels[tuple(window)]).squeeze(axis)


def check_labels(labels: Any) -> tuple[int, ...]:
    """Shape of a label array.

    Raises
    ------
    ValueError
        When it has other than two or three axes, or no whole numbers.
    """
    shape = tuple(int(size) for size in labels.shape)
    if len(shape) not in (2, 3):
        raise ValueError(
            f"The labels have shape {shape}: give two or three axes; pick a time point "
            "or channel first."
        )
    if np.dtype(labels.dtype).kind not in "iu":
        raise ValueError(
            f"The labels have type {labels.dtype}: give whole numbers, 0 for the "
            "background."
        )
    return shape


@dataclass(slots=True)
class _Sums:
    """What is known of an object after some planes."""

    first: int
    places: NDArray[np.float64]
    last: int = 0
    voxels: int = 0

    def add(self, index: int, voxels: int, place: NDArray[np.float64]) -> None:
        self.last = index
        self.voxels += voxels
        self.places += place


def _of_plane(
    plane: NDArray[Any],
) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Label, number of pixels, and sums of their rows and columns."""
    places = np.nonzero(plane)
    found, which, counts = np.unique(
        plane[places], return_inverse=True, return_counts=True
    )
    sums = np.stack([np.bincount(which, axis, len(found)) for axis in places], axis=1)
    for label, count, place in zip(found, counts, sums, strict=True):
        yield int(label), int(count), place


def _measurement(
    label: int,
    sums: _Sums,
    sizes: NDArray[np.float64],
    unit: str,
    scores: Iterable[SliceScore],
) -> ObjectMeasurement:
    stack = len(sizes) == 3
    valid = [(s, index) for index, s, status in scores if status not in _WITHOUT_SCORE]
    score, index = min(valid, key=lambda entry: entry[0], default=(None, None))
    return ObjectMeasurement(
        label=label,
        voxels=sums.voxels,
        volume=sums.voxels * float(np.prod(sizes)),
        first_slice=sums.first if stack else None,
        last_slice=sums.last if stack else None,
        lowest_score=score,
        lowest_slice=index,
        centroid=tuple((sums.places / sums.voxels * sizes).tolist()),
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
    """Ten digits: more than was measured, and free of rounding."""
    return "" if value is None else f"{value:.10g}"
