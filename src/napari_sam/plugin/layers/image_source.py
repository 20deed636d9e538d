"""The image to segment: layer, channels and intensity that the model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.intensity import IntensityMapping, limits_for_channels
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.plugin.layers.transforms import (
    Sliders,
    label_grid,
    pyramid_levels,
    spatial_shape,
)
from napari_sam.requests.view import ImageView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam.images.axes import ContrastLimits

_CHANNEL_NAMES = {"c", "ch", "channel", "channels"}
# A longer axis without such a name is more likely space or time.
_MAX_UNNAMED_CHANNELS = 6


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
        active = layers.selection.active
        if isinstance(active, Image):
            return active
        if self.prompted in layers:
            return self.prompted
        images = [layer for layer in layers if isinstance(layer, Image)]
        return images[-1] if images else None

    def of(self, image: Image) -> ImageView:
        """Return the view of an image that the model sees.

        The reader stays the same until the data or the channels change.

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
        reader = self._reader
        if reader is None or _identity(levels, rgb, channels) != _identity(
            reader.levels, reader.rgb, reader.channels
        ):
            # A new reader has no contrast limits sampled from other data.
            reader = self._reader = PlaneReader(levels, rgb, channels)
        return ImageView(reader, self.intensity, self._displayed_limits(image))

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
    return bool(np.allclose(grid.matrix, np.eye(len(grid.matrix)), atol=1e-6))
