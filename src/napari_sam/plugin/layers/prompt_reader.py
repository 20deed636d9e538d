"""Read the points and shapes of napari layers as prompts on planes of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

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
    from collections.abc import Callable, Iterator, Sequence

    from napari.components import Dims
    from napari.layers import Image, Layer, Points, Shapes
    from numpy.typing import ArrayLike, NDArray

    _Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Drawings that are known beside those in a layer: an undo brings them back.
_KEPT = 2000


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


def drawing_key(drawn: ArrayLike) -> tuple[Any, ...]:
    """Return what drawings have in common that have the same vertices."""
    vertices = np.atleast_2d(np.asarray(drawn, float))
    return vertices.shape, vertices.tobytes()


class PromptReader:
    """Reads points and shapes as prompts; what it read before is not made anew.

    Reading is done before and after each step of the user, of thousands of shapes.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Layer, _KnownPrompts] = WeakKeyDictionary()

    def read(
        self,
        layers: Sequence[Points | Shapes | None],
        image: Image,
        plane: DisplayedPlane,
        dims: Dims,
    ) -> list[LayerPrompt]:
        """Read all points and shapes on planes parallel to the displayed one.

        Hidden layers, hidden points, layers without the displayed axes and shapes
        across several planes are skipped. Prompts of a layer that lacks other axes of
        the image are on the current slice. Along axes that only the prompt layer has,
        prompts count if they are at the slider.
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
            place = _Place.of(layer, to_image, plane)
            known = self._known.get(layer)
            if known is None or known.place != place:
                known = self._known[layer] = _KnownPrompts(place)
            extra = max(layer.ndim - image.ndim, 0)
            for item in _shown_items(layer):
                if extra:
                    world = to_world[:-1, :-1] @ item.drawn[0] + to_world[:-1, -1]
                    if not _is_at_slider(world[:extra], layer, dims):
                        continue
                prompt = known.prompt_of(item, layer, to_image, plane)
                if prompt is not None:
                    prompts.append(prompt)
            known.forget_old(len(layer.data))
        return prompts


@dataclass(frozen=True, slots=True)
class _Place:
    """What decides, beside a drawing, which prompt it is.

    Parameters
    ----------
    origin, steps : tuple of float
        Where the map from the layer to the image takes its first pixel, and those
        beside it.
    plane : tuple
        Axes and sides of the displayed plane, and the axes that are not displayed.
    """

    origin: tuple[float, ...]
    steps: tuple[float, ...]
    plane: tuple[Any, ...]

    @classmethod
    def of(cls, layer: Layer, to_image: _Map, plane: DisplayedPlane) -> Self:
        """Find it for a layer."""
        origin = to_image(np.zeros((1, layer.ndim)))
        steps = to_image(np.eye(layer.ndim))
        return cls(
            tuple(origin.ravel().tolist()),
            tuple(steps.ravel().tolist()),
            (plane.axes, plane.shape, *plane.index),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """A point or shape of a layer, with the number that its features give it."""

    kind: str
    drawn: NDArray[np.float64]
    label: int | None


@dataclass(slots=True, eq=False)
class _KnownPrompts:
    """Planes and prompts of drawings that were read; None for those across planes."""

    place: _Place
    prompts: dict[tuple[Any, ...], tuple[dict[int, int], Prompt] | None] = field(
        default_factory=dict
    )

    def prompt_of(
        self, item: _Item, layer: Layer, to_image: _Map, plane: DisplayedPlane
    ) -> LayerPrompt | None:
        """Return the prompt of an item; None when it lies on several planes."""
        key = item.kind, item.label, *drawing_key(item.drawn)
        if key not in self.prompts:
            self.prompts[key] = _make_prompt(item, to_image, plane)
        made = self.prompts[key]
        return (
            None if made is None else LayerPrompt(layer, item.drawn, item.kind, *made)
        )

    def forget_old(self, present: int) -> None:
        """Forget prompts when there are many more than drawings in the layer."""
        while len(self.prompts) > 2 * present + _KEPT:
            del self.prompts[next(iter(self.prompts))]


def _make_prompt(
    item: _Item, to_image: _Map, plane: DisplayedPlane
) -> tuple[dict[int, int], Prompt] | None:
    """Return plane and prompt of an item; None when it lies on several planes."""
    vertices = to_image(item.drawn)
    slices = _slices(vertices, plane)
    if slices is None:
        return None
    on_plane = vertices[:, plane.axes]
    if item.label is not None:
        return slices, Prompt(points=on_plane, labels=[item.label])
    return slices, shape_prompt(on_plane, item.kind, plane.shape)


def _shown_items(layer: Layer) -> Iterator[_Item]:
    """Yield each visible point or shape of a layer."""
    kinds = getattr(layer, "shape_type", None)
    if kinds is not None:
        for kind, item in zip(kinds, layer.data, strict=True):
            yield _Item(str(kind), np.array(np.atleast_2d(item), float), None)
        return
    points, labels = np.array(layer.data, float), point_labels(layer)
    for index in np.flatnonzero(layer.shown).tolist():
        yield _Item("point", points[index : index + 1], labels[index])


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


def point_labels(layer: Layer) -> list[int]:
    """Return 0 for each point whose features call it negative, else 1."""
    for column in (POLARITY, "label"):
        if column in layer.features:
            labels = map(label_from_polarity, layer.features[column])
            return [POSITIVE if label is None else label for label in labels]
    return [POSITIVE] * len(layer.data)
