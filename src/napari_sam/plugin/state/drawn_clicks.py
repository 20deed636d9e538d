"""Shapes that are clicks, because they were hardly larger than the mouse pointer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_sam.plugin.layers.prompt_reader import drawing_key
from napari_sam.plugin.layers.transforms import Sliders, world_affine
from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes
    from numpy.typing import NDArray

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt

# napari's drawing tools make a shape of 2.5 pixels of the screen of a mere click.
CLICK_PIXELS = 3.0


class DrawnClicks:
    """Shapes of prompt layers that count as a click on the object at their centre.

    The zoom at the time of drawing decides: the same shape in data coordinates may be
    a click in an overview, and a box in a close-up.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer with the camera.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._clicks: set[tuple[Any, ...]] = set()

    def note_drawn(self, layer: Shapes) -> None:
        """Note the last shape of a layer, which was drawn by hand just now."""
        if not len(layer.data):
            return
        drawn = np.asarray(layer.data[-1], float)
        key = _place(layer, drawn)
        if self._screen_side(layer, drawn) < CLICK_PIXELS:
            self._clicks.add(key)
        else:
            self._clicks.discard(key)

    def read(self, prompt: LayerPrompt) -> LayerPrompt:
        """Return the prompt, as a click if it was drawn as one."""
        if prompt.kind == "point" or not self._clicks:
            return prompt
        if _place(prompt.layer, prompt.drawn) not in self._clicks:
            return prompt
        return replace(prompt, prompt=Prompt(points=[_centre(prompt.prompt)]))

    def _screen_side(self, layer: Shapes, drawn: NDArray[np.float64]) -> float:
        """Return the longer side of a shape in pixels of the screen."""
        dims = self._viewer.dims
        world = drawn @ world_affine(layer, Sliders.of(dims))[:-1, :-1].T
        shown = [axis - dims.ndim for axis in dims.displayed]
        sides = np.ptp(world, axis=0)
        visible = [sides[axis] for axis in shown if -axis <= len(sides)]
        return float(max(visible, default=0.0) * camera_of(self._viewer).zoom)


def _place(layer: object, drawn: NDArray[np.float64]) -> tuple[Any, ...]:
    return ref(layer), *drawing_key(drawn)


def _centre(prompt: Prompt) -> NDArray[np.float64]:
    """Return the middle of a box, or of the points along a line."""
    corners = prompt.points if prompt.box is None else prompt.box.reshape(2, 2)
    middle: NDArray[np.float64] = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return middle
