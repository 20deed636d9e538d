"""The displayed stack: the slices that the viewer scrolls through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.images.stack import Stack
from napari_sam.plugin.layers.transforms import displayed_plane, spatial_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.layers.transforms import DisplayedPlane
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class LayerSlices:
    """The slices of a labels layer that are parallel to the displayed plane.

    Parameters
    ----------
    axis : int or None
        The axis of the layer along which the slices lie; None for a single plane.
    fixed : dict
        {axis: index} of the other axes that are not displayed.
    """

    axis: int | None
    fixed: dict[int, int]

    @classmethod
    def displayed(
        cls, labels: Labels, dims: Dims, axis: int | None = None
    ) -> LayerSlices:
        """Find the slices that are parallel to the displayed plane.

        Parameters
        ----------
        labels : Labels
            The layer.
        dims : Dims
            The dims of the viewer.
        axis : int, optional
            The axis of the slices; by default the last axis with a slider.

        Raises
        ------
        ValueError
            When no plane of the layer is displayed.
        """
        index = displayed_plane(labels, dims).index
        shape = spatial_shape(labels)
        if axis not in index:
            axis = max((a for a in index if shape[a] > 1), default=None)
        return cls(axis, {a: i for a, i in index.items() if a != axis})


def go_to_slice(dims: Dims, layer: Image | Labels, axis: int, slice_index: int) -> None:
    """Move the slider of an axis of a layer to one of its slices."""
    shift = dims.ndim - layer.ndim
    position = list(layer.world_to_data(dims.point[shift:]))
    position[axis] = slice_index
    dims.set_point(axis + shift, layer.data_to_world(position)[axis])


def propagation_axes(view: ImageView, plane: DisplayedPlane) -> list[int]:
    """Return the axes with several planes parallel to this one, except channels."""
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
    """Return the stack of planes parallel to the displayed one.

    Parameters
    ----------
    view : ImageView
        The image as the model sees it.
    name : str
        Name of the image, for error messages.
    plane : DisplayedPlane
        Gives the index along all axes that are not displayed.
    axis : int, optional
        The propagation axis; by default the last axis with a slider.
    image : Image, optional
        The layer that knows the voxel sizes. A stack through time has none.

    Raises
    ------
    ValueError
        When the image is a single plane, or has no slices along the axis.
    """
    axes = propagation_axes(view, plane)
    if not axes:
        raise ValueError(f"The image {name!r} is a single plane: use 'This slice'.")
    axis = max(axes) if axis is None else axis
    if axis not in axes:
        raise ValueError(
            f"Objects of {name!r} cannot be propagated along axis {axis} in this view: "
            f"choose axis {' or '.join(map(str, axes))}."
        )
    fixed = {a: i for a, i in plane.index.items() if a != axis}
    spacing = None if image is None else voxel_sizes(image, (axis, *plane.axes))
    return Stack(view.reader, axis, fixed=fixed, spacing=spacing)


def planes_ahead(
    view: ImageView,
    name: str,
    plane: DisplayedPlane,
    step: int,
    axis: int | None = None,
) -> list[PlaneIndex]:
    """Return the displayed plane and the next one in the direction of `step`."""
    planes = [plane.plane_index()]
    axes = propagation_axes(view, plane)
    if axes:
        stack = displayed_stack(view, name, plane, axis if axis in axes else None)
        slice_index = plane.index[stack.axis] + step
        if 0 <= slice_index < len(stack):
            planes.append(stack.plane_index(slice_index))
    return planes


def voxel_sizes(image: Image, axes: Sequence[int]) -> tuple[float, ...] | None:
    """Return the voxel size along each axis of an image, in a common unit.

    Parameters
    ----------
    image : Image
        Its scale and units are read.
    axes : sequence of int
        The axes to compare. The other axes get size 1.

    Returns
    -------
    tuple of float or None
        One size an axis; None when the units of `axes` cannot be compared, such as
        seconds and micrometres.
    """
    units = [image.units[axis] for axis in axes]
    if len({unit.dimensionality for unit in units}) > 1:
        return None
    sizes = [1.0] * image.ndim
    for axis, unit in zip(axes, units, strict=True):
        own = abs(float(image.scale[axis]))
        sizes[axis] = own if unit == units[0] else (own * unit).to(units[0]).magnitude
    return tuple(sizes) if all(sizes) else None
