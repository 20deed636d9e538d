"""Transforms of napari layers: units, the displayed plane, placement of new layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.masks.label_grid import LabelGrid, is_within_half_pixel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import Dims
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex


@dataclass(frozen=True, slots=True, eq=False)
class DisplayedPlane:
    """The plane of a layer that the viewer displays.

    Parameters
    ----------
    axes : tuple of int
        The two axes of the layer that are displayed, ascending: rows and columns.
    index : dict
        {axis: index} of the other axes of the layer.
    shape : tuple of int
        (H, W) of the plane.
    """

    axes: tuple[int, int]
    index: dict[int, int]
    shape: tuple[int, int]

    def plane_index(self) -> PlaneIndex:
        """Return the index of the plane in the layer's data."""
        count = len(self.axes) + len(self.index)
        return tuple(self.index.get(axis, slice(None)) for axis in range(count))


@dataclass(frozen=True, slots=True)
class Sliders:
    """Slider positions of a viewer, with their units.

    Parameters
    ----------
    point : tuple of float
        World position along each axis of the viewer.
    units : tuple or None
        Unit of each axis; None for napari versions without units in the viewer.
    order : tuple of int
        Order of the axes; the last two are displayed.
    """

    point: tuple[float, ...]
    units: tuple[Any, ...] | None
    order: tuple[int, ...] = ()

    @classmethod
    def of(cls, dims: Dims) -> Self:
        """Read the current slider positions."""
        point = tuple(map(float, dims.point))
        return cls(point, getattr(dims, "units", None), tuple(dims.order))

    def restore(self, dims: Dims) -> None:
        """Display the same axes and slice again; axes are aligned on the right."""
        if len(self.order) == dims.ndim:
            dims.order = self.order
        shift = dims.ndim - len(self.point)
        for axis, position in enumerate(self.point):
            if axis + shift >= 0 and axis + shift not in dims.displayed:
                dims.set_point(axis + shift, position)


def displayed_plane(layer: Image | Labels, dims: Dims) -> DisplayedPlane:
    """Find the plane of a layer that the viewer displays.

    Raises
    ------
    ValueError
        When the view is 3D, the layer is rotated or sheared out of the displayed
        plane, or a slider is outside the layer.
    """
    if dims.ndisplay != 2:
        raise ValueError("The viewer is in 3D: switch to 2D to segment a slice.")
    shift = dims.ndim - layer.ndim
    axes = tuple(sorted(axis - shift for axis in dims.displayed))
    if axes[0] < 0:
        raise ValueError(
            f"{_kind(layer)} {layer.name!r} does not have the displayed axes: change "
            "the order of the axes to display it."
        )
    others = [axis for axis in range(layer.ndim) if axis not in axes]
    affine = world_affine(layer, Sliders.of(dims))
    linear = affine[:-1, :-1]
    if not _are_separate(linear, spatial_shape(layer), axes, others):
        raise ValueError(
            f"{_kind(layer)} {layer.name!r} is rotated or sheared out of the displayed "
            "plane: display other axes, or resample it first."
        )
    point = np.asarray(dims.point, float)[shift:]
    position = np.linalg.solve(linear, point - affine[:-1, -1])
    shape = spatial_shape(layer)
    index = {axis: int(nearest(position[axis])) for axis in others}
    if not all(0 <= i < shape[axis] for axis, i in index.items()):
        raise ValueError(_slider_outside(layer))
    return DisplayedPlane((axes[0], axes[1]), index, (shape[axes[0]], shape[axes[1]]))


def _kind(layer: Layer) -> str:
    return f"The {type(layer).__name__.lower()} layer"


def _slider_outside(layer: Layer) -> str:
    return (
        f"The slider is outside {_kind(layer).lower()} {layer.name!r}: move it to one "
        "of the slices of the layer."
    )


def spatial_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Return the shape of a layer at full resolution, without the colour axis."""
    shape = tuple(int(size) for size in pyramid_levels(layer)[0].shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def pyramid_levels(layer: Image | Labels) -> tuple[Any, ...]:
    """Return the arrays of a layer, from the highest resolution down."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def layer_affine(layer: Layer) -> NDArray[np.float64]:
    """Return the matrix from data to world coordinates, (n + 1, n + 1).

    It combines scale, translate, rotate, shear and affine, in the units of the layer.
    """
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = np.asarray(layer.data_to_world(unit)) - origin
    return matrix


def world_affine(layer: Layer, sliders: Sliders) -> NDArray[np.float64]:
    """Return the matrix from data to world coordinates in the units of the viewer.

    Recent napari converts layers to the units of the viewer. Earlier versions, and
    viewers whose layers have incompatible units, ignore units.

    Returns
    -------
    ndarray
        (n + 1, n + 1).
    """
    matrix = layer_affine(layer)
    if sliders.units is None:
        return matrix
    shown_units = sliders.units[-layer.ndim :]
    for axis, (own, shown) in enumerate(zip(layer.units, shown_units, strict=True)):
        if own != shown:
            matrix[axis] *= (1 * own).to(shown).magnitude
    return matrix


def label_grid(labels: Layer, image: Layer, sliders: Sliders) -> LabelGrid:
    """Map the pixels of a labels layer to an image, through world coordinates.

    Raises
    ------
    ValueError
        When the slider is outside the labels along an axis that only they have, when
        such an axis is mixed with others, or when the viewer had no slider for it.
    """
    for layer in (labels, image):
        if layer.ndim > len(sliders.point):
            raise ValueError(
                f"{_kind(layer)} {layer.name!r} has more axes than the viewer had when "
                "the object was segmented: segment the object again."
            )
    shared = min(labels.ndim, image.ndim)
    from_labels, from_image = (world_affine(la, sliders) for la in (labels, image))
    extra = _extra_index(labels, from_labels, labels.ndim - shared, sliders)
    _check_separable(image, from_image, image.ndim - shared)
    inverse = np.linalg.inv(_trailing(from_image, shared))
    matrix = np.asarray(inverse @ _trailing(from_labels, shared), np.float64)
    return LabelGrid(spatial_shape(labels), image.ndim, matrix, extra)


def _extra_index(
    labels: Layer, affine: NDArray[np.float64], count: int, sliders: Sliders
) -> tuple[int, ...]:
    """Return the slider index along the leading axes that only the labels have."""
    _check_separable(labels, affine, count)
    if not count:
        return ()
    point = np.asarray(sliders.point)[-labels.ndim :][:count]
    position = np.linalg.solve(affine[:count, :count], point - affine[:count, -1])
    index = tuple(nearest(position).tolist())
    sizes = spatial_shape(labels)[:count]
    if not all(0 <= i < size for i, size in zip(index, sizes, strict=True)):
        raise ValueError(_slider_outside(labels))
    return index


def axes_separable(
    affine: NDArray[np.float64], shape: Sequence[int], count: int
) -> bool:
    """Whether an affine of a layer does not mix its first `count` axes with others."""
    axes = range(len(affine) - 1)
    return _are_separate(affine[:-1, :-1], shape, axes[:count], axes[count:])


def _are_separate(
    linear: NDArray[np.float64],
    shape: Sequence[int],
    some: Sequence[int],
    others: Sequence[int],
) -> bool:
    """Whether no pixel is moved along some axes by its place along the others."""
    sizes = np.asarray(shape)
    for moved, along in ((some, others), (others, some)):
        moved, along = list(moved), list(along)
        own, mixed = linear[np.ix_(moved, moved)], linear[np.ix_(moved, along)]
        try:
            in_pixels = np.linalg.solve(own, mixed)
        except np.linalg.LinAlgError:  # turned by a right angle
            return False
        if not is_within_half_pixel(in_pixels, sizes[along]):
            return False
    return True


def _check_separable(layer: Layer, affine: NDArray[np.float64], count: int) -> None:
    """Refuse a layer whose first `count` axes are mixed with the others."""
    if not axes_separable(affine, spatial_shape(layer), count):
        raise ValueError(
            f"{_kind(layer)} {layer.name!r} is rotated or sheared along axes that the "
            "other layer does not have: choose a layer with the same axes."
        )


def _trailing(affine: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the affine of the last `count` axes."""
    axes = [*range(len(affine) - 1 - count, len(affine) - 1), len(affine) - 1]
    part: NDArray[np.float64] = affine[np.ix_(axes, axes)]
    return part


def to_image_data(
    layer: Layer, image: Image, sliders: Sliders
) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Make the function from data coordinates of a layer to those of an image.

    Axes are aligned on the right, as in the viewer. Along axes that only the image
    has, coordinates take the position of the slider.

    Returns
    -------
    callable
        Takes (N, layer.ndim) and returns (N, image.ndim).
    """
    forward = world_affine(layer, sliders)
    back = np.linalg.inv(world_affine(image, sliders))
    missing = max(image.ndim - layer.ndim, 0)
    current = np.asarray(sliders.point)[-image.ndim :][:missing]

    def transform(coordinates: NDArray[Any]) -> NDArray[np.float64]:
        world = coordinates @ forward[:-1, :-1].T + forward[:-1, -1]
        world = np.concatenate([np.tile(current, (len(world), 1)), world], axis=1)
        world = world[:, -image.ndim :]
        data: NDArray[np.float64] = world @ back[:-1, :-1].T + back[:-1, -1]
        return data

    return transform


def transform_kwargs(layer: Layer, skip: int = 0) -> dict[str, Any]:
    """Return keyword arguments that place a new layer exactly over another one.

    Parameters
    ----------
    layer : Layer
        Its scale, translate, rotate, shear, affine, units and axis labels are copied.
    skip : int
        Number of leading axes that the new layer lacks. The layer must not mix them
        with the others.
    """
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    if not skip:
        return {name: getattr(layer, name) for name in names}
    return {
        # One affine for everything: a rotation of n axes cannot be cut in parts.
        "affine": _trailing(layer_affine(layer), layer.ndim - skip),
        "units": layer.units[skip:],
        "axis_labels": layer.axis_labels[skip:],
    }
