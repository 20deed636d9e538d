"""The image to segment: layer, channels and intensity that the model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.intensity import IntensityMapping, limits_for_channels
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.projection import Projection
from napari_sam.plugin.layers.transforms import (
    Sliders,
    displayed_plane,
    label_grid,
    pyramid_levels,
    spatial_shape,
    world_affine,
)
from napari_sam.requests.view import ImageView

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari.components import Dims, ViewerModel
    from napari.layers import Image

    from napari_sam.images.axes import ContrastLimits

_CHANNEL_NAMES = {"c", "ch", "channel", "channels"}
# A longer axis without such a name is more likely space or time.
_MAX_UNNAMED_CHANNELS = 6
_MODES = {"mean": "mean", "sum": "sum", "max": "maximum", "min": "minimum"}
# Of the thickness of a slice in pixels: equal ones are computed at each slider step.
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """A channel that the user chose.

    Parameters
    ----------
    layer : Image, optional
        The layer to read; by default the image of the session.
    axis : int, optional
        The channel axis, when the channel is one index of an axis.
    index : int
        Index along the channel axis.
    """

    layer: Image | None = None
    axis: int | None = None
    index: int = 0


class ImageSource:
    """The image to segment and how the model sees it.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images.

    Attributes
    ----------
    chosen, prompted : Image or None
        The image that the user chose, and the one under the new prompt layers.
    intensity : IntensityMapping
        The rule for the values that become black and white.
    channels : tuple of ChannelChoice
        The channels that the model sees instead of the displayed image.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.chosen: Image | None = None
        self.prompted: Image | None = None
        self.intensity = IntensityMapping.display()
        self.channels: tuple[ChannelChoice, ...] = ()
        self._reader: PlaneReader | None = None

    @property
    def image(self) -> Image | None:
        """The chosen, the active, the prompted or the topmost image."""
        from napari.layers import Image

        layers = self._viewer.layers
        if self.chosen in layers:
            return self.chosen
        images = [layer for layer in layers if isinstance(layer, Image)]
        for image in images:
            # A plugin sees the active layer through a proxy, which is only equal to it.
            if image == layers.selection.active:
                return image
        if self.prompted in layers:
            return self.prompted
        return images[-1] if images else None

    def of(self, image: Image) -> ImageView:
        """Return the view of an image that the model sees.

        The reader stays the same until the data, the channels or the thickness of the
        displayed slice change. Of a thick slice the model sees the projection that the
        viewer shows, and of all other slices a projection of the same thickness.

        Raises
        ------
        ValueError
            When a channel does not fit the image.
        """
        channels = [
            Channel(pyramid_levels(c.layer or image), c.axis, c.index)
            for c in self.channels
        ]
        levels, rgb = pyramid_levels(image), bool(image.rgb)
        channel_axes = {c.axis for c in channels if c.axis is not None}
        projection = displayed_projection(image, self._viewer.dims, channel_axes)
        reader = self._reader
        if (
            reader is None
            or projection != reader.projection
            or _identity(levels, rgb, channels)
            != _identity(reader.levels, reader.rgb, reader.channels)
        ):
            # A new reader has no contrast limits sampled from other data.
            reader = self._reader = PlaneReader(levels, rgb, channels, projection)
        return ImageView(reader, self.intensity, self._displayed_limits(image))

    def thick_slice_text(self, image: Image) -> str:
        """Describe the thick slice that the viewer shows; empty for a single plane."""
        try:
            plane, reader = (
                displayed_plane(image, self._viewer.dims),
                self.of(image).reader,
            )
        except ValueError:  # a 3D view, or a slider outside the image
            return ""
        projection = reader.projection
        if projection is None:
            return ""
        count = projection.count(plane.plane_index(), reader.shape)
        return f"the {_MODES[projection.mode]} of {count} slices" if count > 1 else ""

    def _displayed_limits(self, image: Image) -> ContrastLimits | None:
        """Return the contrast limits in the viewer; None for RGB, which has none."""
        if not self.channels:
            return None if image.rgb else _contrast_limits(image)
        return limits_for_channels(
            [_contrast_limits(c.layer or image) for c in self.channels]
        )


def _contrast_limits(layer: Image) -> tuple[float, float]:
    low, high = layer.contrast_limits
    return float(low), float(high)


def _identity(
    levels: Sequence[Any], rgb: bool = False, channels: Sequence[Channel] = ()
) -> tuple[Any, ...]:
    """Return a key that is equal for readers of the same array objects."""
    arrays = tuple(map(id, levels))
    return arrays, rgb, [(_identity(c.levels), c.axis, c.index) for c in channels]


def displayed_projection(
    image: Image, dims: Dims, channel_axes: Collection[int] = ()
) -> Projection | None:
    """Return the projection of the thick slice that the viewer shows.

    Parameters
    ----------
    image : Image
        The layer, with its projection mode.
    dims : Dims
        The thickness of the slice along each axis of the viewer, in world units.
    channel_axes : collection of int
        Axes of the image along which the model sees one channel.

    Returns
    -------
    Projection or None
        None when a single plane is shown, or none of the image.
    """
    mode: Any = str(image.projection_mode)
    if mode == "none" or not any((*dims.margin_left, *dims.margin_right)):
        return None
    try:
        plane = displayed_plane(image, dims)
    except ValueError:  # a 3D view, or a slider outside the image
        return None
    affine, shift = world_affine(image, Sliders.of(dims)), dims.ndim - image.ndim
    to_data = np.linalg.inv(affine[:-1, :-1])
    point, left, right = (
        np.asarray(values, float)[shift:]
        for values in (dims.point, dims.margin_left, dims.margin_right)
    )
    position = to_data @ (point - affine[:-1, -1])
    margins = [(0.0, 0.0)] * image.ndim
    hidden = [axis for axis in plane.index if axis not in channel_axes]
    for axis in hidden:
        before, after = (
            abs(to_data[axis, hidden] @ margin[hidden]) for margin in (left, right)
        )
        off = position[axis] - plane.index[axis]  # a slider between two planes
        margins[axis] = (
            round(float(before - off), _DECIMALS),
            round(float(after + off), _DECIMALS),
        )
    return Projection(mode, tuple(margins)) if np.any(margins) else None


def is_view_of(reader: PlaneReader, image: Image) -> bool:
    """Whether a reader still reads the data of the layer."""
    return _identity(reader.levels) == _identity(pyramid_levels(image))


def channel_choices(viewer: ViewerModel, image: Image) -> list[ChannelChoice]:
    """List the channels that a user can choose for an image.

    These are the indices of its channel axes, recognised by name or length, and the
    gray images of the same shape and place.
    """
    if image.rgb:
        return []
    shift = viewer.dims.ndim - image.ndim
    displayed = {axis - shift for axis in viewer.dims.displayed}
    choices = []
    for axis, size in enumerate(spatial_shape(image)):
        named = str(image.axis_labels[axis]).lower() in _CHANNEL_NAMES
        short = 1 < size <= _MAX_UNNAMED_CHANNELS and image.ndim > 2
        if axis not in displayed and (named or short):
            choices += [ChannelChoice(None, axis, index) for index in range(size)]
    for layer in viewer.layers:
        gray = type(layer) is type(image) and not layer.rgb
        if gray and layer is not image and _overlays(layer, image, viewer):
            choices.append(ChannelChoice(layer))
    return [ChannelChoice(image)] * bool(choices) + choices


def _overlays(layer: Image, image: Image, viewer: ViewerModel) -> bool:
    """Whether each pixel of a layer lies on the same pixel of the image."""
    if spatial_shape(layer) != spatial_shape(image):
        return False
    grid = label_grid(layer, image, Sliders.of(viewer.dims))
    return grid.is_same_place
