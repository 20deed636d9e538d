"""Planes of an image array as a model sees them: read one at a time, never more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import (
    ContrastLimits,
    PlaneIndex,
    plane_sides,
    sample_centres,
)
from napari_sam.images.uint8 import to_uint8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


# What holds for a whole volume is taken from this many planes, spread evenly.
_SAMPLED_PLANES = 16
# Sampled planes of a pyramid come from a level of at least this many pixels a side.
_SAMPLED_SIDE = 512
MOST_CHANNELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One of the up to three channels that a model sees as colour.

    Parameters
    ----------
    levels : sequence of array-like
        Where it is read, full resolution first.
    axis : int, optional
        The channel axis, when the channel is one index of it; the array has no
        such axis when None.
    index : int
        Along that axis.
    """

    levels: Sequence[Any]
    axis: int | None = None
    index: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PlaneReader:
    """Reads planes of an image: of one array, a pyramid of them, or chosen channels.

    Parameters
    ----------
    levels : sequence of array-like
        numpy, dask, zarr or anything that is indexed like them, of one image at
        full resolution and, where there are, at reduced ones; colour last.
    rgb : bool
        The last axis is colour.
    channels : sequence of Channel
        One to three gray channels that are shown to the model instead: one as
        gray, two as red and green, three as red, green and blue.

    Raises
    ------
    ValueError
        When a channel does not fit the image.
    """

    levels: Sequence[Any]
    rgb: bool = False
    channels: Sequence[Channel] = ()
    # Sampled contrast limits by what they were asked for; they cost many planes.
    contrast_limits: dict[Any, ContrastLimits] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if len(self.channels) > MOST_CHANNELS:
            raise ValueError(
                f"{len(self.channels)} channels are chosen: the model sees three at "
                "most."
            )
        if self.channels and self.rgb:
            raise ValueError("An RGB image has its colours: choose no channels of it.")
        for channel in self.channels:
            self._check(channel)

    def _check(self, channel: Channel) -> None:
        shape = tuple(int(size) for size in channel.levels[0].shape)
        if shape != self.shape:
            raise ValueError(
                f"A channel has shape {shape}, the image {self.shape}: choose "
                "channels of the image's shape."
            )
        if channel.axis is not None:
            if not 0 <= channel.axis < len(shape):
                raise ValueError(f"The image has no axis {channel.axis} of channels.")
            if not 0 <= channel.index < shape[channel.axis]:
                raise ValueError(
                    f"Axis {channel.axis} has channels 0 to {shape[channel.axis] - 1}, "
                    f"not {channel.index}."
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at full resolution, without colour."""
        shape = tuple(int(size) for size in self.levels[0].shape)
        return shape[:-1] if self.rgb else shape

    @property
    def channel_axes(self) -> frozenset[int]:
        """Axes along which channels were chosen."""
        return frozenset(c.axis for c in self.channels if c.axis is not None)

    def plane_shape(self, plane_index: PlaneIndex) -> tuple[int, int]:
        """(H, W) of a plane at full resolution."""
        return plane_sides(self.shape, plane_index)

    def read(self, plane_index: PlaneIndex, enough: int | None = None) -> NDArray[Any]:
        """Read one plane.

        Parameters
        ----------
        at : tuple
            Index at full resolution: an integer for each axis, a full slice for
            the two of the plane.
        enough : int, optional
            Pixels along the longer side that do: of a pyramid the smallest level
            that has them is read. Full resolution when None.

        Returns
        -------
        ndarray
            (H, W) or (H, W, 3 or 4) of the image's type; smaller when it was
            read from a reduced level.

        Raises
        ------
        ValueError
            When the image has no such plane.
        """
        self._check_index(plane_index)
        if not self.channels:
            return self._read(self.levels, plane_index, enough)
        if len(self.channels) == 1:
            return self._read_channel(self.channels[0], plane_index, enough)
        kind = np.result_type(*(c.levels[0].dtype for c in self.channels))
        return self._read_colours(plane_index, enough, kind, lambda plane, _: plane)

    def read_uint8(
        self,
        plane_index: PlaneIndex,
        enough: int | None,
        contrast_limits: ContrastLimits | None,
    ) -> NDArray[np.uint8]:
        """Read one plane as `to_uint8` maps it, holding one channel at a time.

        Parameters
        ----------
        at, enough : tuple, int
            See `read`.
        limits : tuple or None
            Contrast limits, see `napari_sam.images.uint8.to_uint8`.
        """
        if len(self.channels) < 2 or contrast_limits is None:
            return to_uint8(self.read(plane_index, enough), contrast_limits)
        self._check_index(plane_index)
        pairs = np.broadcast_to(
            np.asarray(contrast_limits, float), (MOST_CHANNELS, 2)
        ).tolist()
        return self._read_colours(
            plane_index,
            enough,
            np.dtype(np.uint8),
            lambda plane, n: to_uint8(plane, pairs[n]),
        )

    def _read_colours(
        self,
        plane_index: PlaneIndex,
        enough: int | None,
        kind: np.dtype[Any],
        mapped: Callable[[NDArray[Any], int], NDArray[Any]],
    ) -> NDArray[Any]:
        """Several channels as colours of one type, one held at a time.

        They have the size of the smallest of the levels that they are read from.
        """
        sides = [
            plane_sides(_level(c.levels, plane_index, enough).shape, plane_index)
            for c in self.channels
        ]
        shape = tuple(min(side) for side in zip(*sides, strict=True))
        colours = np.zeros((*shape, MOST_CHANNELS), kind)
        for number, channel in enumerate(self.channels):
            plane = _of_size(self._read_channel(channel, plane_index, enough), shape)
            colours[..., number] = mapped(plane, number)
            del plane  # before the next one is read
        return colours

    def _read_channel(
        self, channel: Channel, plane_index: PlaneIndex, enough: int | None
    ) -> NDArray[Any]:
        where = list(plane_index)
        if channel.axis is not None:
            if isinstance(plane_index[channel.axis], slice):
                raise ValueError(
                    "The channel axis is displayed as rows or columns: show other "
                    "axes, or choose no channels."
                )
            where[channel.axis] = channel.index
        return self._read(channel.levels, tuple(where), enough)

    def _check_index(self, plane_index: PlaneIndex) -> None:
        for axis, (size, entry) in enumerate(zip(self.shape, plane_index, strict=True)):
            if not isinstance(entry, slice) and not 0 <= entry < size:
                raise ValueError(
                    f"Axis {axis} of the image has indices 0 to {size - 1}, not "
                    f"{entry}: choose one of them."
                )

    def _read(
        self, levels: Sequence[Any], plane_index: PlaneIndex, enough: int | None
    ) -> NDArray[Any]:
        level = _level(levels, plane_index, enough)
        full = levels[0].shape
        where = tuple(
            entry
            if isinstance(entry, slice)
            # The reduced plane that holds the middle of the full one.
            else min(int((entry + 0.5) * there / size), there - 1)
            for entry, there, size in zip(plane_index, level.shape, full, strict=False)
        )
        return np.asarray(level[where])

    def _is_chosen(self, axis: int) -> bool:
        """Whether each channel has its own index along an axis, wherever one looks."""
        return bool(self.channels) and all(c.axis == axis for c in self.channels)

    def sample(self, plane_index: PlaneIndex) -> Iterator[NDArray[Any]]:
        """Read up to 16 planes parallel to a plane, spread evenly over the image."""
        free = [
            axis
            for axis, entry in enumerate(plane_index)
            if not isinstance(entry, slice) and not self._is_chosen(axis)
        ]
        sizes = tuple(self.shape[axis] for axis in free)
        total = int(np.prod(sizes, dtype=np.int64))
        chosen = np.linspace(0, total - 1, min(total, _SAMPLED_PLANES)).round()
        for number in chosen.astype(np.int64):
            where = list(plane_index)
            for axis, index in zip(free, np.unravel_index(number, sizes), strict=True):
                where[axis] = int(index)
            yield self.read(tuple(where), _SAMPLED_SIDE)


def _level(levels: Sequence[Any], plane_index: PlaneIndex, enough: int | None) -> Any:
    """The smallest level whose planes have enough pixels along their longer side."""
    level = levels[0]
    for smaller in levels[1:]:
        if (
            enough is not None
            and max(plane_sides(smaller.shape, plane_index)) >= enough
        ):
            level = smaller
    return level


def _of_size(plane: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A plane at fewer pixels, those in the middle of equal parts."""
    if plane.shape == shape:
        return plane
    return plane[np.ix_(*map(sample_centres, plane.shape, shape))]
