"""An image of a file: data with named axes, pixel sizes, what else the file has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from napari_sam.images.reading.axis_names import (
    COLOUR,
    PLANE,
    SPACE_AND_TIME,
    in_memory,
)
from napari_sam.images.reading.stored_array import StoredArray

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLOURS = 3
# Of files that give a pixel size without a unit.
DEFAULT_UNIT = "µm"


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image with named axes and pixel size.

    Parameters
    ----------
    data : array-like
        The pixels, a numpy array; or a `StoredArray` where the format is read plane by
        plane. The axes end in Y, X, and for colour S, of length 3.
    axes : str
        One letter per axis: T, C, Z, Y, X, S (colour) or any other.
    spacing : mapping
        {axis: distance of neighbouring pixels}, of the axes where it is known.
    units : mapping
        {axis: unit} of these axes; X, Y and Z have the same.
    order : str
        The axes, without colour, in the order of the file; that of `axes` when empty.
    notes : tuple of str
        Sentences about what the file holds beyond these pixels, and what is in doubt.
    named : bool
        Whether the file, or the user, names the axes; else they are names by position.
    """

    data: Any
    axes: str
    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    notes: tuple[str, ...] = ()
    named: bool = True

    def __post_init__(self) -> None:
        if not self.order:
            object.__setattr__(self, "order", self.axes.replace(COLOUR, ""))

    @classmethod
    def arrange(cls, data: Any, axes: str, **fields: Any) -> Self:
        """Bring stored data to ...YX, and colour last and without alpha.

        Parameters
        ----------
        data : array-like
            As stored.
        axes : str
            A letter of its own for each axis; S only where it is colour.
        **fields
            Further fields.
        """
        names = in_memory(axes)
        order = axes.replace(COLOUR, "")
        data = data.transpose([axes.index(name) for name in names])
        if names.endswith(COLOUR):
            data = data[..., :_COLOURS]
        return cls(data, names, order=order, **fields)

    @property
    def rgb(self) -> bool:
        """Whether the last axis is colour."""
        return self.axes.endswith(COLOUR)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without colour, (..., H, W)."""
        return tuple(int(size) for size in self.data.shape[: len(self.order)])

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape without colour, in the order of the file."""
        return tuple(self.shape[self.axes.index(name)] for name in self.order)

    @property
    def unit(self) -> str | None:
        """Unit of the lengths; None when none is known."""
        return next((self.units[name] for name in "XYZ" if name in self.units), None)

    @property
    def voxel_size(self) -> tuple[list[float] | None, str]:
        """Size along each axis but colour, and its unit.

        None and "pixel" where a size is unknown, or time is an axis: a volume of time
        has no unit.
        """
        sizes = [self.spacing.get(name) for name in self.axes.removesuffix(COLOUR)]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or "T" in self.axes:
            return None, "pixel"
        return known, self.unit or DEFAULT_UNIT

    def channels(self) -> list[Any]:
        """Return the arrays of all channels and colours, with the other axes."""
        image, arrays = self, [self.data]
        if "C" in self.order:
            count = self.shape[self.axes.index("C")]
            image = self.select(C=0)
            arrays = [self.select(C=index).data for index in range(count)]
        if image.rgb:
            axis = len(image.order)
            arrays = [_take(a, axis, n) for a in arrays for n in range(_COLOURS)]
        return arrays

    def select(self, **indices: int) -> Self:
        """Select an index along named axes (T=0, C=1, ...); drop axes of length 1.

        Rows and columns are kept unless they are named.

        Raises
        ------
        ValueError
            When the image has no such axis or index.
        """
        data, axes = self.data, self.axes
        for name, index in indices.items():
            if name not in self.order:
                raise ValueError(
                    f"The image has no axis {name}: choose one of its axes, "
                    f"{self.order}."
                )
            axis = axes.index(name)
            if not 0 <= index < data.shape[axis]:
                raise ValueError(
                    f"Axis {name} has indices 0 to {data.shape[axis] - 1}, not "
                    f"{index}: choose one of them."
                )
            data, axes = _take(data, axis, index), axes.replace(name, "")
        for name in axes:
            axis = axes.index(name)
            if data.shape[axis] == 1 and name not in PLANE:
                data, axes = _take(data, axis, 0), axes.replace(name, "")
        return replace(
            self,
            data=data,
            axes=axes,
            spacing={n: size for n, size in self.spacing.items() if n in axes},
            units={n: unit for n, unit in self.units.items() if n in axes},
            order="".join(name for name in self.order if name in axes),
        )

    def axis(self, name: str | None = None) -> int:
        """Find the axis of a stack along which objects are followed.

        Parameters
        ----------
        name : str, optional
            Its name (Z, T, ...), or its number in the order of the file, as text. The
            first axis when None, which must be one of space or time.

        Raises
        ------
        ValueError
            When the image has no such axis, or an axis that is not of space or time
            is not named.
        """
        if name is None:
            found = self.axes[0]
            if found in SPACE_AND_TIME:
                return 0
            raise ValueError(
                f"The axis {found} of the image, of axes {self.order} and shape "
                f"{self.stored_shape}, is not one of space or time: choose one with "
                f"--index {found}=0, name what it is with --axes, or follow objects "
                f"along it with --axis {found}."
            )
        if re.fullmatch(r"-?[0-9]+", name):
            number = int(name)
            if -len(self.order) <= number < len(self.order):
                return self.axes.index(self.order[number])
        elif len(name) == 1 and name.upper() in self.order:
            return self.axes.index(name.upper())
        raise ValueError(
            f"The image has no axis {name!r}: choose one of its axes, {self.order}, "
            "to propagate along."
        )

    def plane(self) -> Any:
        """Return the pixels as one plane, (H, W) or (H, W, 3)."""
        if len(self.order) != 2:
            raise ValueError(
                f"The image has axes {self.order}, shape {self.stored_shape}: "
                f"choose one plane with --index, {self._example(2)}."
            )
        return self.data

    def volume(self) -> Any:
        """Return the pixels as one stack, (Z, Y, X) or (Z, Y, X, 3).

        The stack axis may also be another one.
        """
        if len(self.order) == 2:
            raise ValueError(
                f"The image is one plane of shape {self.shape}, not a stack: "
                "segment it as a plane."
            )
        if len(self.order) != 3:
            raise ValueError(
                f"The image has axes {self.order}, shape {self.stored_shape}: "
                f"choose one stack with --index, {self._example(3)}."
            )
        return self.data

    def as_stored(self, array: Any) -> Any:
        """Bring an array, without or with colour, to the order of the file."""
        axes = self.axes[: array.ndim]
        stored = self.order + axes[len(self.order) :]
        return array.transpose([axes.index(name) for name in stored])

    def in_order(self) -> Self:
        """Return the image with its axes in the order of the file; colour is last."""
        axes = self.order + self.axes[len(self.order) :]
        return replace(self, data=self.as_stored(self.data), axes=axes)

    def _example(self, ndim: int) -> str:
        """Return an example of --index that leaves a number of axes."""
        # Channels first: what is no axis of space or time cannot be followed.
        names = sorted(
            (name for name in self.axes.removesuffix(COLOUR) if name not in PLANE),
            key=SPACE_AND_TIME[1::-1].find,
        )
        count = max(len(self.order) - ndim, 1)
        indices = ",".join(f"{name}=0" for name in names[:count])
        return f"for instance --index {indices}"


def _take(data: Any, axis: int, index: int) -> Any:
    """Return an array without an axis, at an index of it."""
    if isinstance(data, StoredArray):
        return data.at(axis, index)
    return data[(slice(None),) * axis + (index,)]
