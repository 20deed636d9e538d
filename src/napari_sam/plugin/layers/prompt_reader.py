"""Points and shapes of napari layers as prompts on the planes of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin.layers.transforms import (
    DisplayedPlane,
    Sliders,
    nearest,
    to_image_data,
    world_affine,
)
from napari_sam.prompts.prompt import NEGATIVE, POSITIVE, Prompt
from napari_sam.prompts.shapes import shape_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import Dims
    from napari.layers import Image, Layer, Points, Shapes
    from numpy.typing import NDArray

POLARITY = "polarity"
POSITIVE_NAME, NEGATIVE_NAME = "positive", "negative"


@dataclass(frozen=True, slots=True, eq=False)
class LayerPrompt:
    """One point or shape of a prompt layer, in the image's coordinates.

    Parameters
    ----------
    layer : Points or Shapes
        Where it was drawn.
    drawn : ndarray
        (N, n) in the data coordinates of that layer.
    kind : str
        "point", or the type of the shape.
    slices : dict
        {axis: index} where it lies, for the axes that are not displayed.
    prompt : Prompt
        On the plane, in (row, col).
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
    """Read all points and shapes that lie on a plane parallel to the displayed one.

    Left out are: hidden layers and hidden points, layers without the displayed
    axes, and shapes that span several planes. Layers that lack other axes of the
    image lie on the current slice; along axes that the image lacks, prompts count
    at the slider.
    """
    found: list[LayerPrompt] = []
    for layer in layers:
        if layer is None or not layer.visible:
            continue
        if image.ndim - layer.ndim > plane.axes[0]:
            continue  # it has no rows or columns in this view
        for number, kind, drawn in _items(layer):
            if not _is_at_slider(drawn, layer, image, dims):
                continue
            data = to_image_data(drawn, layer, image, Sliders.of(dims))
            slices = _slices(data, plane)
            if slices is None:
                continue
            on_plane = data[:, plane.axes]
            if kind == "point":
                prompt = Prompt(points=on_plane, labels=[point_label(layer, number)])
            else:
                prompt = shape_prompt(on_plane, kind, plane.shape)
            found.append(LayerPrompt(layer, drawn, kind, slices, prompt))
    return found


def _items(layer: Layer) -> Iterator[tuple[int, str, NDArray[np.float64]]]:
    """Number, kind and vertices of everything drawn and shown in a layer."""
    kinds = getattr(layer, "shape_type", None)
    shown = getattr(layer, "shown", None)
    for number, item in enumerate(layer.data):
        if shown is None or shown[number]:
            kind = "point" if kinds is None else str(kinds[number])
            yield number, kind, np.array(np.atleast_2d(item), float)


def _is_at_slider(
    coordinates: NDArray[Any], layer: Layer, image: Image, dims: Dims
) -> bool:
    """Whether it lies at the slider, along axes that the image does not have."""
    extra = layer.ndim - image.ndim
    if extra <= 0:
        return True
    affine = world_affine(layer, Sliders.of(dims))
    first = (affine[:-1, :-1] @ coordinates[0] + affine[:-1, -1])[:extra]
    shift = dims.ndim - layer.ndim
    away = np.abs(first - np.asarray(dims.point)[shift : shift + extra])
    steps = [dims.range[shift + axis].step for axis in range(extra)]
    return bool((away <= np.array(steps) / 2).all())


def _slices(data: NDArray[np.float64], plane: DisplayedPlane) -> dict[int, int] | None:
    """{axis: index} where vertices lie; None when they lie on different planes."""
    slices = {}
    for axis in plane.index:
        low, high = nearest(data[:, axis].min()), nearest(data[:, axis].max())
        if low != high:
            return None
        slices[axis] = low
    return slices


def point_label(layer: Layer, number: int) -> int:
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
