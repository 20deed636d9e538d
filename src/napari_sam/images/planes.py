"""Plane reader: planes of arrays, pyramids and channels, read one at a time."""

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

    from napari_sam.images.projection import Projection
    from napari_sam.images.window import Window

MAX_CHANNELS = 3
# Contrast limits of a volume are computed from this many planes, spread evenly.
_SAMPLED_PLANES = 16
# Sampled planes of a pyramid have at least this many pixels along the longer side.
_SAMPLED_SIDE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One of up to three channels that the model gets as colours.

    Parameters
    ----------
    levels : sequence of array-like
        The pyramid of the channel, full resolution first.
    axis : int, optional
        The channel axis; None when the array is the channel.
    index : int
        Index of the channel along that axis.
    """

    levels: Sequence[Any]
    axis: int | None = None
    index: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PlaneReader:
    """Reader of the planes of an image: an array, a pyramid, or selected channels.

    Parameters
    ----------
    levels : sequence of array-like
        The image at full resolution and, for a pyramid, at reduced ones; colour last.
        numpy, dask, zarr or any array with the same indexing.
    rgb : bool
        Whether the last axis is colour.
    channels : sequence of Channel
        One to three gray channels that the model gets instead: one as gray, two as
        red and green, three as red, green and blue.
    projection : Projection, optional
        Makes each plane of several neighbouring ones.

    Raises
    ------
    ValueError
        When a channel does not fit the image.
    """

    levels: Sequence[Any]
    rgb: bool = False
    channels: Sequence[Channel] = ()
    projection: Projection | None = None
    # Contrast limits by intensity mapping and plane axes: they take many planes.
    contrast_limits: dict[Any, ContrastLimits] = field(default_factory=dict, init=False)
    # Contrast limits and indices of planes that are known to show something.
    with_content: set[Any] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        if len(self.channels) > MAX_CHANNELS:
            raise ValueError(
                f"{len(self.channels)} channels are selected: select up to three."
            )
        if self.channels and self.rgb:
            raise ValueError("The image is RGB: select no channels of it.")
        for channel in self.channels:
            self._check_channel(channel)

    def _check_channel(self, channel: Channel) -> None:
        shape = tuple(int(size) for size in channel.levels[0].shape)
        if shape != self.shape:
            raise ValueError(
                f"A channel has shape {shape}, the image {self.shape}: select "
                "channels of the image's shape."
            )
        if channel.axis is not None:
            if not 0 <= channel.axis < len(shape):
                raise ValueError(
                    f"Channel axis {channel.axis} is out of range for the image shape "
                    f"{shape}: choose another axis."
                )
            if not 0 <= channel.index < shape[channel.axis]:
                raise ValueError(
                    f"Axis {channel.axis} has channels 0 to {shape[channel.axis] - 1}, "
                    f"not {channel.index}: choose one of them."
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at full resolution, without colour."""
        shape = tuple(int(size) for size in self.levels[0].shape)
        return shape[:-1] if self.rgb else shape

    @property
    def channel_axes(self) -> frozenset[int]:
        """Axes of the selected channels."""
        return frozenset(c.axis for c in self.channels if c.axis is not None)

    def plane_shape(self, plane_index: PlaneIndex) -> tuple[int, int]:
        """Return (H, W) of a plane at full resolution."""
        return plane_sides(self.shape, plane_index)

    def read(
        self,
        plane_index: PlaneIndex,
        min_side: int | None = None,
        window: Window | None = None,
    ) -> NDArray[Any]:
        """Read one plane, or a window of it.

        Parameters
        ----------
        plane_index : tuple
            Index at full resolution: an integer for each axis, a full slice for the
            two of the plane.
        min_side : int, optional
            Read the smallest level of a pyramid with at least this many pixels along
            the longer side of the plane or window; full resolution when None.
        window : Window, optional
            The part of the plane to read, in pixels of the full resolution.

        Returns
        -------
        ndarray
            (H, W) or (H, W, 3 or 4) of the image's dtype, the plane or the window;
            smaller when read from a reduced level.

        Raises
        ------
        ValueError
            When the image has no such plane.
        """
        self._check_index(plane_index)
        if not self.channels:
            channel = Channel(self.levels)
            return self._read_channel(channel, plane_index, min_side, window)
        if len(self.channels) == 1:
            return self._read_channel(self.channels[0], plane_index, min_side, window)
        dtypes = [c.levels[0].dtype for c in self.channels]
        if self.projection is not None:
            dtypes.append(np.dtype(np.float64))  # that of sums and means
        return self._read_colours(
            plane_index,
            min_side,
            window,
            np.result_type(*dtypes),
            lambda plane, _: plane,
        )

    def read_uint8(
        self,
        plane_index: PlaneIndex,
        min_side: int | None,
        contrast_limits: ContrastLimits | None,
        window: Window | None = None,
    ) -> NDArray[np.uint8]:
        """Read one plane or window as 8 bits, with one channel in memory at a time.

        Parameters
        ----------
        plane_index, min_side, window
            See `read`.
        contrast_limits : tuple or None
            See `napari_sam.images.uint8.to_uint8`.
        """
        if len(self.channels) < 2 or contrast_limits is None:
            pixels = self.read(plane_index, min_side, window)
            return to_uint8(pixels, contrast_limits)
        self._check_index(plane_index)
        pairs = np.broadcast_to(
            np.asarray(contrast_limits, float), (MAX_CHANNELS, 2)
        ).tolist()
        return self._read_colours(
            plane_index,
            min_side,
            window,
            np.dtype(np.uint8),
            lambda plane, channel: to_uint8(plane, pairs[channel]),
        )

    def sample(self, plane_index: PlaneIndex) -> Iterator[NDArray[Any]]:
        """Read up to 16 planes parallel to a plane, spread evenly over the image."""
        free = [
            axis
            for axis, entry in enumerate(plane_index)
            if not isinstance(entry, slice) and not self._selects_index(axis)
        ]
        sizes = tuple(self.shape[axis] for axis in free)
        total = int(np.prod(sizes, dtype=np.int64))
        numbers = np.linspace(0, total - 1, min(total, _SAMPLED_PLANES)).round()
        for number in numbers.astype(np.int64):
            index = list(plane_index)
            for axis, i in zip(free, np.unravel_index(number, sizes), strict=True):
                index[axis] = int(i)
            yield self.read(tuple(index), _SAMPLED_SIDE)

    def _read_colours(
        self,
        plane_index: PlaneIndex,
        min_side: int | None,
        window: Window | None,
        dtype: np.dtype[Any],
        convert: Callable[[NDArray[Any], int], NDArray[Any]],
    ) -> NDArray[Any]:
        """Read several channels as colours, with one in memory at a time.

        All are resampled to the smallest of the levels they are read from.
        """
        shapes = [
            _shape_on_level(c.levels, plane_index, min_side, window)
            for c in self.channels
        ]
        shape = tuple(min(side) for side in zip(*shapes, strict=True))
        colours = np.zeros((*shape, MAX_CHANNELS), dtype)
        for i, channel in enumerate(self.channels):
            plane = self._read_channel(channel, plane_index, min_side, window)
            if plane.shape != shape:
                plane = plane[np.ix_(*map(sample_centres, plane.shape, shape))]
            colours[..., i] = convert(plane, i)
            del plane  # free it before the next one is read
        return colours

    def _read_channel(
        self,
        channel: Channel,
        plane_index: PlaneIndex,
        min_side: int | None,
        window: Window | None,
    ) -> NDArray[Any]:
        """Read a plane of one channel: a thick slice, if there is a projection."""
        if self.projection is None:
            return _read_channel(channel, plane_index, min_side, window)
        planes = self.projection.indices(plane_index, self.shape)
        combined = self.projection.combine(
            _read_channel(channel, index, min_side, window) for index in planes
        )
        dtype = channel.levels[0].dtype
        if self.rgb and dtype == np.uint8:  # it has no contrast limits
            combined = np.rint(np.minimum(combined, 255)).astype(dtype)
        return combined

    def _check_index(self, plane_index: PlaneIndex) -> None:
        for axis, (size, entry) in enumerate(zip(self.shape, plane_index, strict=True)):
            if not isinstance(entry, slice) and not 0 <= entry < size:
                raise ValueError(
                    f"Axis {axis} of the image has indices 0 to {size - 1}, not "
                    f"{entry}: choose one of them."
                )

    def _selects_index(self, axis: int) -> bool:
        """Return whether the channels select the index along an axis."""
        return bool(self.channels) and all(c.axis == axis for c in self.channels)


def _read_channel(
    channel: Channel,
    plane_index: PlaneIndex,
    min_side: int | None,
    window: Window | None,
) -> NDArray[Any]:
    index = list(plane_index)
    if channel.axis is not None:
        if isinstance(plane_index[channel.axis], slice):
            raise ValueError(
                "The channel axis is displayed as rows or columns: display other axes, "
                "or select no channels."
            )
        index[channel.axis] = channel.index
    return _read_level(channel.levels, tuple(index), min_side, window)


def _read_level(
    levels: Sequence[Any],
    plane_index: PlaneIndex,
    min_side: int | None,
    window: Window | None,
) -> NDArray[Any]:
    level = _level(levels, plane_index, min_side, window)
    parts = iter(_on_level(level, levels[0], plane_index, window))
    index = tuple(
        (next(parts) if window is not None else entry)
        if isinstance(entry, slice)
        # The reduced plane that contains the centre of the full one.
        else min(int((entry + 0.5) * reduced / full), reduced - 1)
        for entry, reduced, full in zip(
            plane_index, level.shape, levels[0].shape, strict=False
        )
    )
    return np.asarray(level[index])


def _level(
    levels: Sequence[Any],
    plane_index: PlaneIndex,
    min_side: int | None,
    window: Window | None,
) -> Any:
    """Find the smallest level with enough pixels along the longer side."""
    level = levels[0]
    if min_side is None:
        return level
    for smaller in levels[1:]:
        parts = _on_level(smaller, levels[0], plane_index, window)
        if max(part.stop - part.start for part in parts) >= min_side:
            level = smaller
    return level


def _on_level(
    level: Any, full: Any, plane_index: PlaneIndex, window: Window | None
) -> tuple[slice, slice]:
    """Return the rows and columns of a level that show a window of the full plane."""
    sides = plane_sides(level.shape, plane_index)
    if window is None:
        return slice(0, sides[0]), slice(0, sides[1])
    full_sides = plane_sides(full.shape, plane_index)
    rows, cols = (
        slice(
            round(part.start * side / size),
            max(round(part.stop * side / size), round(part.start * side / size) + 1),
        )
        for part, side, size in zip(window.slices, sides, full_sides, strict=True)
    )
    return rows, cols


def _shape_on_level(
    levels: Sequence[Any],
    plane_index: PlaneIndex,
    min_side: int | None,
    window: Window | None,
) -> tuple[int, int]:
    """Return (h, w) of what `_read_level` reads."""
    level = _level(levels, plane_index, min_side, window)
    rows, cols = _on_level(level, levels[0], plane_index, window)
    return rows.stop - rows.start, cols.stop - cols.start
