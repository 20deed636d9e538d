"""Where napari layers lie: transforms, units, the displayed plane, placing new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.masks.label_grid import LabelGrid

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class DisplayedPlane:
    """The plane of a layer that the viewer shows.

    Parameters
    ----------
    axes : tuple of int
        The two layer axes of the plane, ascending: its rows and columns.
    index : dict
        {axis: index} of the other axes of the layer.
    shape : tuple of int
        (H, W) of the plane.
    """

    axes: tuple[int, int]
    index: dict[int, int]
    shape: tuple[int, int]

    def plane_index(self) -> PlaneIndex:
        """Index of the plane in the layer's data."""
        count = len(self.axes) + len(self.index)
        return tuple(self.index.get(axis, slice(None)) for axis in range(count))


@dataclass(frozen=True, slots=True)
class Sliders:
    """Where the viewer's sliders stood, and in which units.

    Parameters
    ----------
    point : tuple of float
        Position along each axis of the viewer.
    units : tuple or None
        Unit of each axis, where the viewer has one.
    order : tuple of int
        Of the axes; the last two are displayed.
    """

    point: tuple[float, ...]
    units: tuple[Any, ...] | None
    order: tuple[int, ...] = ()

    @classmethod
    def of(cls, dims: Dims) -> Self:
        """As they stand now."""
        point = tuple(map(float, dims.point))
        return cls(point, getattr(dims, "units", None), tuple(dims.order))

    def restore(self, dims: Dims) -> None:
        """Show the same axes and slice again; axes are aligned on the right."""
        if len(self.order) == dims.ndim:
            dims.order = self.order
        shift = dims.ndim - len(self.point)
        for axis, position in enumerate(self.point):
            if axis + shift >= 0 and axis + shift not in dims.displayed:
                dims.set_point(axis + shift, position)


def displayed_plane(layer: Image | Labels, dims: Dims) -> DisplayedPlane:
    """Find the plane of a layer that the viewer shows.

    Raises
    ------
    ValueError
        When the view is 3D, the layer is turned out of the view's plane, or the
        slider stands outside the layer.
    """
    if dims.ndisplay != 2:
        raise ValueError("The viewer shows 3D: switch to 2D to segment a slice.")
    shift = dims.ndim - layer.ndim
    axes = tuple(sorted(axis - shift for axis in dims.displayed))
    if axes[0] < 0:
        raise ValueError(
            f"{_kind(layer)} {layer.name!r} has no axes along the displayed plane: "
            "show it with its own axes."
        )
    others = [axis for axis in range(layer.ndim) if axis not in axes]
    affine = world_affine(layer, Sliders.of(dims))
    linear = affine[:-1, :-1]
    mixed = [linear[np.ix_(others, axes)], linear[np.ix_(axes, others)]]
    if any(np.abs(part).max(initial=0) > _ROUNDING for part in mixed):
        raise ValueError(
            f"{_kind(layer)} {layer.name!r} is rotated or sheared out of the displayed "
            "plane: show another pair of axes, or resample it first."
        )
    point = np.asarray(dims.point, float)[shift:]
    position = np.linalg.solve(linear, point - affine[:-1, -1])
    shape = spatial_shape(layer)
    index = {axis: nearest(position[axis]) for axis in others}
    for axis, plane_index in index.items():
        if not 0 <= plane_index < shape[axis]:
            raise ValueError(
                f"The slider stands outside {_kind(layer).lower()} {layer.name!r}: "
                "move it back to one of its slices."
            )
    return DisplayedPlane((axes[0], axes[1]), index, (shape[axes[0]], shape[axes[1]]))


def _kind(layer: Layer) -> str:
    kind = type(layer).__name__.lower()
    return f"The {kind} layer" if kind.endswith("s") else f"The {kind}"


def nearest(position: float) -> int:
    """Index of the pixel that holds a position; half way belongs to the upper one."""
    return int(np.floor(np.round(position, 6) + 0.5))


def spatial_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Shape of a layer's data at full resolution, without colour."""
    shape = tuple(int(size) for size in pyramid_levels(layer)[0].shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def pyramid_levels(layer: Image | Labels) -> tuple[Any, ...]:
    """The layer's array, or its arrays from the highest resolution down."""
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def layer_affine(layer: Layer) -> NDArray[np.float64]:
    """Matrix from data to the layer's own world coordinates, (n + 1, n + 1).

    Scale, translate, rotate, shear and affine in one.
    """
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = np.asarray(layer.data_to_world(unit)) - origin
    return matrix


def world_affine(layer: Layer, sliders: Sliders) -> NDArray[np.float64]:
    """Matrix from data to the viewer's coordinates, (n + 1, n + 1).

    Recent napari shows layers of different units in one unit; earlier ones, and
    viewers whose layers have units that do not go together, take the numbers as
    they are.
    """
    matrix = layer_affine(layer)
    if sliders.units is None:
        return matrix
    shown_units = sliders.units[-layer.ndim :]
    for axis, (own, shown) in enumerate(zip(layer.units, shown_units, strict=True)):
        if own != shown:
            matrix[axis] *= (1 * own).to(shown).magnitude
    return matrix


def grid_between(labels: Layer, image: Layer, sliders: Sliders) -> LabelGrid:
    """How the pixels of one layer lie in another one, through world coordinates.

    Raises
    ------
    ValueError
        When the slider stands outside the labels along an axis that only they have,
        such an axis is mixed with others, or the viewer had no slider for it.
    """
    for layer in (labels, image):
        if layer.ndim > len(sliders.point):
            raise ValueError(
                f"{_kind(layer)} {layer.name!r} has more axes than the viewer had: "
                "segment the object again."
            )
    shared = min(labels.ndim, image.ndim)
    there, here = world_affine(labels, sliders), world_affine(image, sliders)
    extra = _extra_index(labels, there, labels.ndim - shared, sliders)
    _check_separate(image, here, image.ndim - shared)
    inverse = np.linalg.inv(_trailing(here, shared))
    matrix = np.asarray(inverse @ _trailing(there, shared), np.float64)
    return LabelGrid(spatial_shape(labels), image.ndim, matrix, extra)


def _extra_index(
    labels: Layer, affine: NDArray[np.float64], count: int, sliders: Sliders
) -> tuple[int, ...]:
    """Index along the leading axes that only the labels have, at the sliders."""
    _check_separate(labels, affine, count)
    if not count:
        return ()
    point = np.asarray(sliders.point)[-labels.ndim :][:count]
    position = np.linalg.solve(affine[:count, :count], point - affine[:count, -1])
    index = tuple(nearest(value) for value in position)
    sizes = spatial_shape(labels)[:count]
    if not all(0 <= i < size for i, size in zip(index, sizes, strict=True)):
        raise ValueError(
            f"The slider stands outside {_kind(labels).lower()} {labels.name!r}: move "
            "it back to one of its slices."
        )
    return index


def axes_separable(affine: NDArray[np.float64], count: int) -> bool:
    """Whether an affine leaves its first axes and the others to themselves."""
    linear = affine[:-1, :-1]
    mixed = linear[:count, count:], linear[count:, :count]
    return not any(np.abs(part).max(initial=0) > _ROUNDING for part in mixed)


def _check_separate(layer: Layer, affine: NDArray[np.float64], count: int) -> None:
    """Refuse a layer whose first axes are mixed with the others."""
    if not axes_separable(affine, count):
        raise ValueError(
            f"{_kind(layer)} {layer.name!r} is rotated or sheared along axes that the "
            "other layer does not have: choose layers with the same axes."
        )


def _trailing(affine: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The affine of the last `count` axes."""
    axes = [*range(len(affine) - 1 - count, len(affine) - 1), len(affine) - 1]
    part: NDArray[np.float64] = affine[np.ix_(axes, axes)]
    return part


def to_image_data(
    coordinates: NDArray[Any], layer: Layer, image: Image, sliders: Sliders
) -> NDArray[np.float64]:
    """Take coordinates of one layer to the data coordinates of an image.

    Parameters
    ----------
    coordinates : ndarray
        (N, n) in the data coordinates of `layer`.
    layer, image : Layer
        Their transforms lead through world coordinates; axes are aligned on the
        right, as in the viewer. Axes that only the image has take the viewer's
        current position.

    Returns
    -------
    ndarray
        (N, image.ndim).
    """
    forward = world_affine(layer, sliders)
    world = coordinates @ forward[:-1, :-1].T + forward[:-1, -1]
    missing = image.ndim - world.shape[1]
    if missing > 0:
        current = np.asarray(sliders.point)[-image.ndim :][:missing]
        world = np.concatenate([np.tile(current, (len(world), 1)), world], axis=1)
    world = world[:, -image.ndim :]
    back = np.linalg.inv(world_affine(image, sliders))
    data: NDArray[np.float64] = world @ back[:-1, :-1].T + back[:-1, -1]
    return data


def transform_kwargs(layer: Layer, skip: int = 0) -> dict[str, Any]:
    """Keyword arguments that place a new layer exactly over another one.

    Parameters
    ----------
    layer : Layer
        Whose scale, translation, rotation, shear, affine, units and axis labels
        are taken.
    skip : int
        Leading axes that the new layer has not; they must not be mixed with the
        others.
    """
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    whole = {name: getattr(layer, name) for name in names}
    if not skip:
        return whole
    return {
        # One affine holds it all: parts of rotations of n axes have no meaning.
        "affine": _trailing(layer_affine(layer), layer.ndim - skip),
        "units": layer.units[skip:],
        "axis_labels": layer.axis_labels[skip:],
    }
