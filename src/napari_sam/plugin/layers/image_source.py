"""What of an image layer the model sees: its planes, channels and brightness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.intensity import IntensityMapping, for_channels
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.plugin.layers.transforms import (
    Sliders,
    grid_between,
    pyramid_levels,
    spatial_shape,
)
from napari_sam.requests.view import ImageView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.plugin.layers.transforms import DisplayedPlane

_CHANNEL_NAMES = {"c", "ch", "channel", "channels"}
# A longer axis without such a name is rather space or time.
_MOST_UNNAMED_CHANNELS = 6


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """One channel that the user picked.

    Parameters
    ----------
    layer : Image, optional
        The layer to read; the session's image when None.
    axis : int, optional
        The channel axis, when the channel is one index of it.
    index : int
        Along that axis.
    """

    layer: Image | None = None
    axis: int | None = None
    index: int = 0


class ImageSource:
    """Which image is segmented, and what of it the model sees.

    Parameters
    ----------
    viewer : ViewerModel
        Whose images there are.

    Attributes
    ----------
    chosen, prompted : Image or None
        What the user chose, and the image under the new prompt layers.
    intensity : IntensityMapping
        Which values become black and white.
    channels : tuple of ChannelChoice
        What the model sees instead of what is displayed.
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
        """What the model sees of an image.

        The reader is the same as long as nothing about the image changes.

        Raises
        ------
        ValueError
            When a channel does not fit the image.
        """
        chosen = [
            Channel(pyramid_levels(c.layer or image), c.axis, c.index)
            for c in self.channels
        ]
        reader = self._reader
        if reader is None or not _reads(reader, image, chosen):
            # Without limits sampled from other data, or before an edit of a layer.
            reader = PlaneReader(pyramid_levels(image), bool(image.rgb), chosen)
            self._reader = reader
        return ImageView(reader, self.intensity, self._displayed(image))

    def _displayed(self, image: Image) -> ContrastLimits | None:
        """Contrast limits as the viewer shows them; None for RGB, shown as it is."""
        if not self.channels:
            return None if image.rgb else display_limits(image)
        return for_channels([display_limits(c.layer or image) for c in self.channels])


def display_limits(layer: Image) -> tuple[float, float]:
    """Contrast limits of a layer."""
    low, high = layer.contrast_limits
    return float(low), float(high)


def _reads(reader: PlaneReader, image: Image, channels: Sequence[Channel]) -> bool:
    """Whether a reader reads exactly this."""
    same = (
        _same_arrays(reader.levels, pyramid_levels(image)) and reader.rgb == image.rgb
    )
    return (
        same
        and len(reader.channels) == len(channels)
        and all(
            (a.axis, a.index) == (b.axis, b.index) and _same_arrays(a.levels, b.levels)
            for a, b in zip(reader.channels, channels, strict=True)
        )
    )


def _same_arrays(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(
        a is b for a, b in zip(some, others, strict=True)
    )


def is_view_of(reader: PlaneReader, image: Image) -> bool:
    """Whether a reader still reads what the layer holds."""
    return _same_arrays(reader.levels, pyramid_levels(image))


def channel_choices(viewer: ViewerModel, image: Image) -> list[ChannelChoice]:
    """Channels that can be picked for an image.

    Indices of its channel axes, recognised by name or shortness, and other layers
    of the same shape and place.
    """
    if image.rgb:
        return []
    shift = viewer.dims.ndim - image.ndim
    displayed = {axis - shift for axis in viewer.dims.displayed}
    choices = []
    for axis, size in enumerate(spatial_shape(image)):
        named = str(image.axis_labels[axis]).lower() in _CHANNEL_NAMES
        few = 1 < size <= _MOST_UNNAMED_CHANNELS and image.ndim > 2
        if axis not in displayed and (named or few):
            choices += [ChannelChoice(None, axis, index) for index in range(size)]
    for layer in viewer.layers:
        gray = type(layer) is type(image) and not layer.rgb
        if gray and layer is not image and _lies_on(layer, image, viewer):
            choices.append(ChannelChoice(layer))
    return [ChannelChoice(image)] * bool(choices) + choices


def _lies_on(layer: Image, image: Image, viewer: ViewerModel) -> bool:
    if spatial_shape(layer) != spatial_shape(image):
        return False
    grid = grid_between(layer, image, Sliders.of(viewer.dims))
    return bool(np.allclose(grid.matrix, np.eye(len(grid.matrix)), atol=1e-6))


def planes_ahead(
    view: ImageView,
    name: str,
    plane: DisplayedPlane,
    step: int,
    axis: int | None = None,
) -> list[PlaneIndex]:
    """The displayed plane and the one a step further along its stack, if there is."""
    planes = [plane.plane_index()]
    walkable = propagation_axes(view, plane)
    if walkable:
        stack = displayed_stack(view, name, plane, axis if axis in walkable else None)
        following = plane.index[stack.axis] + step
        if 0 <= following < len(stack):
            planes.append(stack.plane_index(following))
    return planes


def propagation_axes(view: ImageView, plane: DisplayedPlane) -> list[int]:
    """Axes with more than one plane parallel to this one; channels do not count."""
    reader = view.reader
    return [
        a for a in plane.index if reader.shape[a] > 1 and a not in reader.channel_axes
    ]


def displayed_stack(
    view: ImageView,
    name: str,
    plane: DisplayedPlane,
    axis: int | None = None,
    image: Image | None = None,
) -> Stack:
    """The stack of planes parallel to the displayed one.

    Parameters
    ----------
    view : ImageView
        Of an image with at least one axis besides the plane's and its channels'.
    name : str
        Of the image, for the sentence.
    plane : DisplayedPlane
        Fixes the axes that are neither displayed nor walked along.
    axis : int, optional
        The axis to walk along; the last one with a slider when None.
    image : Image, optional
        Knows the sizes of voxels; a walk through time has none.

    Raises
    ------
    ValueError
        When the image is a single plane, or the axis cannot be walked along.
    """
    walkable = propagation_axes(view, plane)
    if not walkable:
        raise ValueError(f"The image {name!r} is a single plane: use 'Segment slice'.")
    walk = max(walkable) if axis is None else axis
    if walk not in walkable:
        choices = " or ".join(map(str, walkable))
        raise ValueError(
            f"Objects of {name!r} cannot be followed along axis {walk} in this view: "
            f"choose axis {choices}."
        )
    fixed = {a: i for a, i in plane.index.items() if a != walk}
    spacing = None if image is None else voxel_sizes(image, (walk, *plane.axes))
    return Stack(view.reader, walk, fixed=fixed, spacing=spacing)


def voxel_sizes(image: Image, axes: Sequence[int]) -> tuple[float, ...] | None:
    """Sizes of a voxel along the axes of an image; None without a common unit.

    Parameters
    ----------
    image : Image
        Its scale and units.
    axes : sequence of int
        Those that count; seconds cannot be compared with micrometres. The others
        get 1.
    """
    units = [image.units[axis] for axis in axes]
    if len({unit.dimensionality for unit in units}) > 1:
        return None
    sizes = [1.0] * image.ndim
    for axis, unit in zip(axes, units, strict=True):
        own = abs(float(image.scale[axis]))
        sizes[axis] = own if unit == units[0] else (own * unit).to(units[0]).magnitude
    return tuple(sizes) if all(sizes) else None
