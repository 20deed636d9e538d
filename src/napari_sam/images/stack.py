"""The planes of a volume along one axis, read one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import check_spacing
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The planes of a volume along one axis, read one at a time.

    Parameters
    ----------
    data : array-like or PlaneReader
        numpy, dask, zarr or anything that is indexed like them, colour last; or
        a reader of planes, for pyramids and chosen channels.
    axis : int
        The axis that is walked along.
    rgb : bool
        The last axis of an array is colour.
    fixed : mapping
        {axis: index} of further axes (time, channel) that stay where they are;
        both may count from the end. Two axes must remain: the rows and columns
        of the planes.
    spacing : tuple of float, optional
        Physical size of a voxel along each axis of `shape`; all alike when None.
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
                f"The volume has shape {self._data_shape}: give three axes "
                "(and a last one of 3 or 4 for colour); pick a time point or channel "
                "first."
            )
        fixed = {}
        for axis, index in self.fixed.items():
            if not (-ndim <= axis < ndim) or axis % ndim in fixed:
                raise ValueError(
                    f"fixed={dict(self.fixed)} does not name different axes of a "
                    f"volume of shape {self.shape}."
                )
            size = self.shape[axis]
            if not -size <= index < size:
                raise ValueError(
                    f"Axis {axis} of the volume has indices 0 to {size - 1}, not "
                    f"{index}: choose one of them."
                )
            fixed[axis % ndim] = index % size
        if not -ndim <= self.axis < ndim or self.axis % ndim in fixed:
            raise ValueError(
                f"axis={self.axis} is not an axis of a volume of shape {self.shape} "
                "that can be walked along."
            )
        object.__setattr__(self, "axis", self.axis % ndim)
        if self.spacing is not None:
            sizes = tuple(check_spacing(self.spacing, ndim).tolist())
            object.__setattr__(self, "spacing", sizes)
        object.__setattr__(self, "fixed", fixed)

    def __len__(self) -> int:
        return self.shape[self.axis]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data and of its labels, without colour."""
        return self.reader.shape

    @property
    def _data_shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.reader.levels[0].shape)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of a plane."""
        apart = {self.axis, *self.fixed}
        rows, cols = (s for i, s in enumerate(self.shape) if i not in apart)
        return rows, cols

    @property
    def step(self) -> float:
        """Physical distance of two slices."""
        return 1.0 if self.spacing is None else self.spacing[self.axis]

    @property
    def pixel(self) -> tuple[float, float]:
        """Physical (height, width) of a pixel of a slice."""
        if self.spacing is None:
            return 1.0, 1.0
        apart = {self.axis, *self.fixed}
        rows, cols = (s for i, s in enumerate(self.spacing) if i not in apart)
        return rows, cols

    @property
    def voxel(self) -> NDArray[np.float64]:
        """(3,) size of a voxel along slices, rows and columns, in slices."""
        sizes: NDArray[np.float64] = np.array([self.step, *self.pixel]) / self.step
        return sizes

    def plane_index(self, index: int) -> PlaneIndex:
        """Index of one plane in the volume and in its labels."""
        chosen = {**self.fixed, self.axis: index}
        return tuple(chosen.get(i, slice(None)) for i in range(len(self.shape)))

    def plane(self, index: int, enough: int | None = None) -> NDArray[Any]:
        """Read one plane, (H, W) or (H, W, C); see `PlaneReader.read`."""
        return self.reader.read(self.plane_index(index), enough)

    def contrast_limits(self) -> ContrastLimits | None:
        """Limits for all planes alike, from a sample of the whole volume."""
        return IntensityMapping.data().contrast_limits(
            self.reader, self.plane_index(0), None
        )
