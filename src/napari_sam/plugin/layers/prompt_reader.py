"""Read the points and shapes of napari layers as prompts on planes of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.plugin.layers.transforms import (
    DisplayedPlane,
    Sliders,
    to_image_data,
    world_affine,
)
from napari_sam.prompts.prompt import POLARITY, POSITIVE, Prompt, label_from_polarity
from napari_sam.prompts.shapes import shape_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import Dims
    from napari.layers import Image, Layer, Points, Shapes
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LayerPrompt:
    """A point or shape of a prompt layer.

    Parameters
    ----------
    layer : Points or Shapes
        The prompt layer.
    drawn : ndarray
        (N, n) vertices in the data coordinates of that layer.
    kind : str
        "point", or the type of the shape.
    slices : dict
        {axis: index} of its plane, for the image axes that are not displayed.
    prompt : Prompt
        In (row, col) of the image plane.
    """

    layer: Points | Shapes
    drawn: NDArray[np.float64]
    kind: str
    slices: dict[int, int]
    prompt: Prompt


def collect_prompts(
    layers: Sequence[Points | Shapes | None],
    image: Image,
    plane: DisplayedPlane,
    dims: Dims,
) -> list[LayerPrompt]:
    """Read all points and shapes on planes parallel to the displayed one.

    Hidden layers, hidden points, layers without the displayed axes and shapes across
    several planes are skipped. Prompts of a layer that lacks other axes of the image
    are on the current slice. Along axes that only the prompt layer has, prompts count
    if they are at the slider.
    """
    sliders = Sliders.of(dims)
    prompts: list[LayerPrompt] = []
    for layer in layers:
        if layer is None or not layer.visible:
            continue
        if image.ndim - layer.ndim > plane.axes[0]:
            continue  # it has no rows or columns in this view
        to_image = to_image_data(layer, image, sliders)
        to_world = world_affine(layer, sliders)
        extra = max(layer.ndim - image.ndim, 0)
        for index, kind, drawn in _shown_items(layer):
            if extra:
                world = to_world[:-1, :-1] @ drawn[0] + to_world[:-1, -1]
                if not _is_at_slider(world[:extra], layer, dims):
                    continue
            vertices = to_image(drawn)
            slices = _slices(vertices, plane)
            if slices is None:
                continue
            on_plane = vertices[:, plane.axes]
            if kind == "point":
                prompt = Prompt(points=on_plane, labels=[point_label(layer, index)])
            else:
                prompt = shape_prompt(on_plane, kind, plane.shape)
            prompts.append(LayerPrompt(layer, drawn, kind, slices, prompt))
    return prompts


def _shown_items(layer: Layer) -> Iterator[tuple[int, str, NDArray[np.float64]]]:
    """Yield index, kind and vertices of each visible point or shape of a layer."""
    kinds = getattr(layer, "shape_type", None)
    shown = getattr(layer, "shown", None)
    for index, item in enumerate(layer.data):
        if shown is None or shown[index]:
            kind = "point" if kinds is None else str(kinds[index])
            yield index, kind, np.array(np.atleast_2d(item), float)


def _is_at_slider(position: NDArray[np.float64], layer: Layer, dims: Dims) -> bool:
    """Whether a world position along the first axes of a layer is at the slider."""
    axes = slice(dims.ndim - layer.ndim, dims.ndim - layer.ndim + len(position))
    distance = np.abs(position - np.asarray(dims.point)[axes])
    steps = np.array([axis_range.step for axis_range in dims.range[axes]])
    return bool((distance <= steps / 2).all())


def _slices(
    vertices: NDArray[np.float64], plane: DisplayedPlane
) -> dict[int, int] | None:
    """Return {axis: index} of the plane of the vertices; None for several planes."""
    slices = {}
    for axis in plane.index:
        low, high = nearest([vertices[:, axis].min(), vertices[:, axis].max()]).tolist()
        if low != high:
            return None
        slices[axis] = low
    return slices


def point_label(layer: Layer, index: int) -> int:
    """Return 0 for a point whose features call it negative, else 1."""
    for column in (POLARITY, "label"):
        if column in layer.features:
            label = label_from_polarity(layer.features[column].iloc[index])
            return POSITIVE if label is None else label
    return POSITIVE
