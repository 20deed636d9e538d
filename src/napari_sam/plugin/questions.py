"""What was asked, and which prompts are done with and not asked again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_sam.plugin.prompt_layers import is_own

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam.plugin.jobs import SliceRequest, StackRequest
    from napari_sam.plugin.layers import LayerPrompt


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A request and what it was made from.

    Parameters
    ----------
    request : SliceRequest or StackRequest
        Knows no layer and may run on any thread.
    image : Image
        That is segmented.
    prompts : tuple of LayerPrompt
        That describe the objects.
    """

    request: SliceRequest | StackRequest
    image: Image
    prompts: tuple[LayerPrompt, ...]


class UsedPrompts:
    """Prompts that are done: removed from our layers, remembered of the user's.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers the prompts lie in.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._seen: set[tuple[Any, ...]] = set()

    def __contains__(self, prompt: LayerPrompt) -> bool:
        return _identity(prompt) in self._seen

    def release(self, prompts: Iterable[LayerPrompt]) -> None:
        """Remove prompts from layers that were made here, or mark them used.

        Prompts that were moved or replaced since they were read are new and stay.
        """
        own: dict[Any, list[LayerPrompt]] = defaultdict(list)
        for prompt in prompts:
            if prompt.layer not in self._viewer.layers:
                continue
            if is_own(prompt.layer):
                own[prompt.layer].append(prompt)
            else:
                self._seen.add(_identity(prompt))
        for layer, members in own.items():
            layer.selected_data = {
                number
                for number, item in enumerate(layer.data)
                if any(np.array_equal(np.atleast_2d(item), p.drawn) for p in members)
            }
            layer.remove_selected()


def _identity(prompt: LayerPrompt) -> tuple[Any, ...]:
    """What makes a prompt the same: its layer, what was drawn there, and its slice."""
    labels = () if prompt.prompt.labels is None else tuple(prompt.prompt.labels)
    drawn = tuple(np.ravel(prompt.drawn))
    return ref(prompt.layer), tuple(sorted(prompt.slices.items())), drawn, labels
