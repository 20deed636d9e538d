"""Napari layers become prompts and planes; masks become labels; through transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prompts import NEGATIVE, POSITIVE, Prompt
from napari_sam.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims
    from napari.layers import Image, Labels, Layer, Points, Shapes
    from numpy.typing import NDArray

POLARITY = "polarity"
POSITIVE_NAME, NEGATIVE_NAME = "positive", "negative"

# Points sampled along a line or path.
_POINTS_ON_PATH = 5
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class DisplayedPlane:
    """The plane of an image layer that the viewer shows.

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

    def at(self) -> tuple[slice | int, ...]:
        """Index of the plane in the layer's data."""
        count = len(self.axes) + len(self.index)
        return tuple(self.index.get(axis, slice(None)) for axis in range(count))


def displayed_plane(layer: Image, dims: Dims) -> DisplayedPlane:
    """Find the plane of an image that the viewer shows.

    Raises
    ------
    ValueError
        When the view is 3D, the image is turned out of the view's plane, or the
        slider stands outside the image.
    """
    if dims.ndisplay != 2:
        raise ValueError("The viewer shows 3D: switch to 2D to segment a slice.")
    shift = dims.ndim - layer.ndim
    axes = tuple(sorted(axis - shift for axis in dims.displayed))
    if axes[0] < 0:
        raise ValueError(
            f"The image {layer.name!r} has no axes along the displayed plane: show it "
            "with its own axes."
        )
    others = [axis for axis in range(layer.ndim) if axis not in axes]
    linear = layer_affine(layer)[:-1, :-1]
    if np.abs(linear[np.ix_(others, axes)]).max(initial=0) > _ROUNDING:
        raise ValueError(
            f"The image {layer.name!r} is rotated or sheared out of the displayed "
            "plane: show another pair of axes, or resample it first."
        )
    position = np.asarray(layer.world_to_data(dims.point))
    shape = spatial_shape(layer)
    index = {axis: int(np.floor(position[axis] + 0.5)) for axis in others}
    for axis, at in index.items():
        if not 0 <= at < shape[axis]:
            raise ValueError(
                f"The slider stands outside the image {layer.name!r}: move it back "
                "to a slice of the image."
            )
    return DisplayedPlane((axes[0], axes[1]), index, (shape[axes[0]], shape[axes[1]]))


def spatial_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Shape of a layer's data at full resolution, without colour."""
    shape = tuple(int(size) for size in full_data(layer).shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def full_data(layer: Image | Labels) -> Any:
    """The layer's array, of the highest resolution where there are several."""
    return layer.data[0] if layer.multiscale else layer.data


def display_limits(layer: Image) -> tuple[float, float] | None:
    """Contrast limits as the viewer shows them; None for RGB, shown as it is."""
    if layer.rgb:
        return None
    low, high = layer.contrast_limits
    return float(low), float(high)


def displayed_stack(
    layer: Image, plane: DisplayedPlane, axis: int | None = None
) -> Stack:
    """The stack of planes parallel to the displayed one.

    Parameters
    ----------
    layer : Image
        With at least one axis besides the plane's.
    plane : DisplayedPlane
        Fixes the axes that are neither displayed nor walked along.
    axis : int, optional
        The axis to walk along; the last one with a slider when None.

    Raises
    ------
    ValueError
        When the image is a single plane.
    """
    shape = spatial_shape(layer)
    walkable = [a for a in plane.index if shape[a] > 1]
    if axis is None and not walkable:
        raise ValueError(
            f"The image {layer.name!r} is a single plane: use 'Segment slice'."
        )
    walk = max(walkable) if axis is None else axis
    fixed = {a: i for a, i in plane.index.items() if a != walk}
    return Stack(full_data(layer), walk, rgb=layer.rgb, fixed=fixed)


def layer_affine(layer: Layer) -> NDArray[np.float64]:
    """Matrix from data to world coordinates, (n + 1, n + 1), affine included."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = np.asarray(layer.data_to_world(unit)) - origin
    return matrix


def to_image_data(
    coordinates: NDArray[Any], layer: Layer, image: Image, dims: Dims
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
    forward = layer_affine(layer)
    world = coordinates @ forward[:-1, :-1].T + forward[:-1, -1]
    missing = image.ndim - world.shape[1]
    if missing > 0:
        current = np.asarray(dims.point)[-image.ndim :][:missing]
        world = np.concatenate([np.tile(current, (len(world), 1)), world], axis=1)
    world = world[:, -image.ndim :]
    back = np.linalg.inv(layer_affine(image))
    data: NDArray[np.float64] = world @ back[:-1, :-1].T + back[:-1, -1]
    return data


@dataclass(frozen=True, slots=True, eq=False)
class LayerPrompt:
    """One point or shape of a prompt layer, in the image's coordinates.

    Parameters
    ----------
    layer : Points or Shapes
        Where it was drawn.
    drawn : ndarray
        (N, n) in the data coordinates of that layer.
    slices : dict
        {axis: index} where it lies, for the axes that are not displayed.
    prompt : Prompt
        On the plane, in (row, col).
    """

    layer: Points | Shapes
    drawn: NDArray[np.float64]
    slices: dict[int, int]
    prompt: Prompt


def collect_prompts(
    layers: Sequence[Points | Shapes | None],
    image: Image,
    plane: DisplayedPlane,
    dims: Dims,
) -> list[LayerPrompt]:
    """Read all points and shapes, on whatever slice they lie."""
    found: list[LayerPrompt] = []
    for layer in layers:
        if layer is None:
            continue
        kinds = getattr(layer, "shape_type", None)
        vertices = [np.atleast_2d(np.asarray(item, float)) for item in layer.data]
        for number, coordinates in enumerate(vertices):
            if not _is_shown(coordinates, layer, image, dims):
                continue
            data = to_image_data(coordinates, layer, image, dims)
            if kinds is None:
                prompt = Prompt(
                    points=data[:, plane.axes], labels=[point_label(layer, number)]
                )
            else:
                prompt = _shape_prompt(data[:, plane.axes], kinds[number])
            slices = {a: int(np.floor(data[0, a] + 0.5)) for a in plane.index}
            found.append(LayerPrompt(layer, coordinates, slices, prompt))
    return found


def _is_shown(
    coordinates: NDArray[Any], layer: Layer, image: Image, dims: Dims
) -> bool:
    """Whether it lies at the slider, along axes that the image does not have."""
    extra = layer.ndim - image.ndim
    if extra <= 0:
        return True
    first = np.asarray(layer.data_to_world(coordinates[0]))[:extra]
    shift = dims.ndim - layer.ndim
    away = np.abs(first - np.asarray(dims.point)[shift : shift + extra])
    steps = [dims.range[shift + axis].step for axis in range(extra)]
    return bool((away <= np.array(steps) / 2).all())


def point_label(layer: Points, number: int) -> int:
    """1 unless the point's features call it negative."""
    for column in (POLARITY, "label"):
        if column in layer.features:
            value = layer.features[column].iloc[number]
            try:
                negative = float(value) <= 0  # 0, -1, False, "0"; not NaN
            except (TypeError, ValueError):
                negative = value == NEGATIVE_NAME
            return NEGATIVE if negative else POSITIVE
    return POSITIVE


def _shape_prompt(vertices: NDArray[np.float64], kind: str) -> Prompt:
    """Closed shapes give their bounding box, lines and paths points along them."""
    if kind in ("line", "path"):
        steps = np.r_[0, np.linalg.norm(np.diff(vertices, axis=0), axis=1).cumsum()]
        along = np.linspace(0, steps[-1], _POINTS_ON_PATH)
        points = [np.interp(along, steps, vertices[:, axis]) for axis in (0, 1)]
        return Prompt(points=np.stack(points, axis=1))
    return Prompt(box=np.concatenate([vertices.min(axis=0), vertices.max(axis=0)]))


def placement(layer: Layer) -> dict[str, Any]:
    """Keyword arguments that place a new layer exactly over another one."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(layer, name) for name in names}
