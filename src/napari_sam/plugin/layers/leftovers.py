"""Prompts and labels that were there before an image was opened: not meant for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_sam.plugin.layers.prompt_layers import is_plugin_layer
from napari_sam.plugin.layers.prompt_reader import drawing_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import LayerList
    from napari.layers import Image, Labels, Layer, Points, Shapes

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt


class Leftovers:
    """What must not be used on an image that was opened later.

    Prompts in layers of the plugin are left over until they are moved. Each image that
    is opened later has labels of its own; those that were there before share theirs.
    """

    def __init__(self) -> None:
        self._prompts: WeakKeyDictionary[Image, set[tuple[Any, ...]]]
        self._prompts = WeakKeyDictionary()
        self._labels: WeakKeyDictionary[Image, Labels | None] = WeakKeyDictionary()
        self._shared: Labels | None = None

    def note_opened(self, image: Image, layers: Iterable[Points | Shapes]) -> None:
        """Note the prompts that are there when an image is opened."""
        own = (layer for layer in layers if is_plugin_layer(layer))
        self._prompts[image] = {
            drawing_key(item) for layer in own for item in layer.data
        }
        self._labels[image] = None

    def holds(self, image: Image, prompt: LayerPrompt) -> bool:
        """Tell whether a prompt is older than the image."""
        old = self._prompts.get(image)
        return old is not None and drawing_key(prompt.drawn) in old

    def change_labels(
        self, before: Image | None, after: Image | None, labels: Labels | None
    ) -> Labels | None:
        """Keep the labels of one image, and return those of another."""
        if before is not None and before in self._labels:
            self._labels[before] = labels
        else:
            self._shared = labels
        if after is not None and after in self._labels:
            return self._labels[after]
        return self._shared


def lies_over(layers: LayerList, layer: Layer, image: Image | None) -> bool:
    """Tell whether an image is the next one below a layer, and so the one it is for."""
    from napari.layers import Image

    below = [la for la in layers[: layers.index(layer)] if isinstance(la, Image)]
    return image is not None and bool(below) and below[-1] == image
