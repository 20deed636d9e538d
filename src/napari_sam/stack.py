"""The planes of a volume along one axis, read one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.image import data_limits, to_uint8

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Contrast limits of a stack come from this many planes, spread evenly.
_SAMPLED_PLANES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The planes of a volume along one axis, read one at a time.

    Parameters
    ----------
    data : array-like
        numpy, dask, zarr or anything that is indexed like them; colour last.
    axis : int
        The axis that is walked along.
    rgb : bool
        The last axis is colour.
    fixed : mapping
        {axis: index} of further axes (time, channel) that stay where they are;
        both may count from the end. Two axes must remain: the rows and columns
        of the planes.
    """

    data: Any
    axis: int = 0
    rgb: bool = False
    fixed: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ndim = len(self.data.shape) - self.rgb
        if ndim - len(self.fixed) != 3:
            raise ValueError(
                f"The volume has shape {tuple(self.data.shape)}: give three axes "
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
        object.__setattr__(self, "fixed", fixed)

    def __len__(self) -> int:
        return self.shape[self.axis]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data and of its labels, without colour."""
        shape = tuple(int(size) for size in self.data.shape)
        return shape[:-1] if self.rgb else shape

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of a plane."""
        apart = {self.axis, *self.fixed}
        rows, cols = (s for i, s in enumerate(self.shape) if i not in apart)
        return rows, cols

    def at(self, index: int) -> tuple[slice | int, ...]:
        """Index of one plane in the volume and in its labels."""
        chosen = {**self.fixed, self.axis: index}
        return tuple(chosen.get(i, slice(None)) for i in range(len(self.shape)))

    def plane(self, index: int) -> NDArray[Any]:
        """Read one plane, (H, W) or (H, W, C)."""
        return np.asarray(self.data[self.at(index)])

    def contrast_limits(self) -> tuple[float, float]:
        """Limits for all planes alike, from a sample of the whole volume."""
        count = min(len(self), _SAMPLED_PLANES)
        chosen = np.unique(np.linspace(0, len(self) - 1, count).round().astype(int))
        planes = [self.plane(int(i)) for i in chosen]
        to_uint8(planes[0])  # refuses what is no image, before its limits are taken
        return data_limits(np.stack(planes))
