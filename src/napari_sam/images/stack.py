"""Stack: the planes of a volume along the propagation axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import check_spacing
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The planes of a volume along one axis, read one at a time.

    Parameters
    ----------
    data : array-like or PlaneReader
        The volume, colour last: numpy, dask, zarr or any array with the same
        indexing; or a plane reader, for pyramids and selected channels.
    axis : int
        The propagation axis.
    rgb : bool
        Whether the last axis of an array is colour.
    fixed : mapping
        {axis: index} of further axes (time, channel); both may count from the end.
        Two axes must remain: the rows and columns of the planes.
    spacing : tuple of float, optional
        Physical size of a voxel along each axis of `shape`; all equal when None.

    Raises
    ------
    ValueError
        When axis, fixed or spacing do not fit the volume.
    """

    data: Any
    axis: int = 0
    rgb: bool = False
    fixed: Mapping[int, int] = field(default_factory=dict)
    spacing: tuple[float, ...] | None = None
    reader: PlaneReader = field(init=False)

    def __post_init__(self) -> None:
        reader = self.data
        if not isinstance(reader, PlaneReader):
            reader = PlaneReader((self.data,), self.rgb)
        object.__setattr__(self, "reader", reader)
        ndim = len(self.shape)
        if ndim - len(self.fixed) != 3:
            raise ValueError(
                f"The volume has shape {tuple(reader.levels[0].shape)}: give three "
                "axes (and a last one of 3 or 4 for colour); pick a time point or "
                "channel first."
            )
        fixed = _check_fixed(self.fixed, self.shape)
        if not -ndim <= self.axis < ndim or self.axis % ndim in fixed:
            raise ValueError(
                f"axis={self.axis} is not an axis of a volume of shape {self.shape}, "
                "or it is fixed: choose another."
            )
        object.__setattr__(self, "fixed", fixed)
        object.__setattr__(self, "axis", self.axis % ndim)
        if self.spacing is not None:
            sizes = tuple(check_spacing(self.spacing, ndim).tolist())
            object.__setattr__(self, "spacing", sizes)

    def __len__(self) -> int:
        return self.shape[self.axis]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume and of its labels, without colour."""
        return self.reader.shape

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of a plane."""
        rows, cols = self._of_plane(self.shape)
        return rows, cols

    @property
    def slice_spacing(self) -> float:
        """Physical distance between neighbouring slices."""
        return 1.0 if self.spacing is None else self.spacing[self.axis]

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Physical (height, width) of a pixel of a plane."""
        if self.spacing is None:
            return 1.0, 1.0
        rows, cols = self._of_plane(self.spacing)
        return rows, cols

    @property
    def voxel_size(self) -> NDArray[np.float64]:
        """(3,) size of a voxel along slices, rows and columns, in slices."""
        sizes = np.array([self.slice_spacing, *self.pixel_size])
        relative: NDArray[np.float64] = sizes / self.slice_spacing
        return relative

    def plane_index(self, slice_index: int) -> PlaneIndex:
        """Return the index of a plane in the volume and in its labels."""
        index = {**self.fixed, self.axis: slice_index}
        return tuple(index.get(axis, slice(None)) for axis in range(len(self.shape)))

    def read_plane(self, slice_index: int, min_side: int | None = None) -> NDArray[Any]:
        """Read one plane, (H, W) or (H, W, C); see `PlaneReader.read`."""
        return self.reader.read(self.plane_index(slice_index), min_side)

    def contrast_limits(self) -> ContrastLimits | None:
        """Compute limits for all planes from a sample of the volume."""
        return IntensityMapping.data().contrast_limits(
            self.reader, self.plane_index(0), None
        )

    def _of_plane(self, values: Sequence[Any]) -> list[Any]:
        """Select the values of the axes of a plane."""
        return [
            value
            for axis, value in enumerate(values)
            if axis != self.axis and axis not in self.fixed
        ]


def _check_fixed(fixed: Mapping[int, int], shape: tuple[int, ...]) -> dict[int, int]:
    """Return {axis: index} with both counted from the front."""
    ndim = len(shape)
    checked: dict[int, int] = {}
    for axis, index in fixed.items():
        if not -ndim <= axis < ndim or axis % ndim in checked:
            raise ValueError(
                f"fixed={dict(fixed)} does not name different axes of a volume of "
                f"shape {shape}: give {{axis: index}}."
            )
        size = shape[axis]
        if not -size <= index < size:
            raise ValueError(
                f"Axis {axis} of the volume has indices 0 to {size - 1}, not {index}: "
                "choose one of them."
            )
        checked[axis % ndim] = index % size
    return checked
