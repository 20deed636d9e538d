"""What was asked, and which prompts are done with and not asked again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_sam.plugin.layers.image_source import is_view_of
from napari_sam.plugin.layers.prompt_layers import is_plugin_layer, restore_prompts
from napari_sam.requests.plane import PlaneRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.layers.transforms import Sliders
    from napari_sam.requests.base import SegmentationRequest


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """Objects that are there already and give way to the next result.

    Parameters
    ----------
    labels : Labels
        Where they are.
    ids : tuple of int
        In the order of the objects.
    committed : CommittedObjects, optional
        How they were made, when their prompts were brought back.
    """

    labels: Labels
    ids: tuple[int, ...]
    committed: CommittedObjects | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LayerRequest:
    """A request and what it was made from.

    Parameters
    ----------
    request : PlaneRequest or StackRequest
        Knows no layer and may run on any thread.
    image : Image
        That is segmented.
    at : tuple
        Index of the displayed plane.
    sliders : Sliders
        Where the viewer's sliders stood.
    prompts : tuple of LayerPrompt
        That describe the objects.
    each : bool
        Whether each prompt was an object of its own.
    model : object
        What the session was told to use.
    objects : tuple of int
        Which object each prompt belongs to.
    revision : Replacement, optional
        Objects that the answer replaces.
    """

    request: SegmentationRequest
    image: Image
    plane_index: PlaneIndex
    sliders: Sliders
    prompts: tuple[LayerPrompt, ...]
    each: bool
    model: Any
    objects: tuple[int, ...] = ()
    revision: Replacement | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The objects that are asked for."""
        return tuple(self.request.prompts)

    def same_request(self, other: LayerRequest) -> bool:
        """Whether another question on a slice would get the same answer."""
        mine, theirs = self.request, other.request
        if not (isinstance(mine, PlaneRequest) and isinstance(theirs, PlaneRequest)):
            return False
        return (
            (self.image, self.plane_index, self.each, self.revision)
            == (other.image, other.plane_index, other.each, other.revision)
            and self.model == other.model
            and (mine.size, mine.cleanup) == (theirs.size, theirs.cleanup)
            and mine.view == theirs.view
            and [identity(p) for p in self.prompts]
            == [identity(p) for p in other.prompts]
        )

    def is_current(self, viewer: ViewerModel) -> bool:
        """Whether the image is there and holds what was asked about."""
        return self.image in viewer.layers and is_view_of(
            self.request.view.reader, self.image
        )


@dataclass(frozen=True, slots=True, eq=False)
class CommittedObjects:
    """An object, or several, that were written.

    Parameters
    ----------
    question : LayerRequest
        What was asked.
    labels : Labels
        Where they were written.
    ids : tuple of int
        Their labels.
    """

    question: LayerRequest
    labels: Labels
    ids: tuple[int, ...]

    def is_in(self, layers: Collection[Any]) -> bool:
        """Whether its image and its labels are among the layers."""
        return self.labels in layers and self.question.image in layers


class ConsumedPrompts:
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
        return identity(prompt) in self._seen

    def release(self, prompts: Iterable[LayerPrompt]) -> None:
        """Remove prompts from layers that were made here, or mark them used.

        Prompts that were moved or replaced since they were read are new and stay.
        """
        for layer, members in self._by_layer(prompts).items():
            if not is_plugin_layer(layer):
                self._seen.update(identity(prompt) for prompt in members)
                continue
            layer.selected_data = {
                number
                for number, item in enumerate(layer.data)
                if any(np.array_equal(np.atleast_2d(item), p.drawn) for p in members)
            }
            layer.remove_selected()

    def restore(self, prompts: Iterable[LayerPrompt]) -> None:
        """Bring released prompts back, in the layers that are still there."""
        for layer, members in self._by_layer(prompts).items():
            self._seen.difference_update(identity(prompt) for prompt in members)
            if is_plugin_layer(layer):
                restore_prompts(layer, members)

    def _by_layer(self, prompts: Iterable[LayerPrompt]) -> dict[Any, list[LayerPrompt]]:
        layers: dict[Any, list[LayerPrompt]] = defaultdict(list)
        for prompt in prompts:
            if prompt.layer in self._viewer.layers:
                layers[prompt.layer].append(prompt)
        return layers


def identity(prompt: LayerPrompt) -> tuple[Any, ...]:
    """What makes a prompt the same: its layer, what was drawn there, and its slice.

    Parameters
    ----------
    prompt : LayerPrompt
        As it was read from its layer.

    Returns
    -------
    tuple
        Equal for the same prompt read at another time; fit for a dictionary.
    """
    labels = () if prompt.prompt.labels is None else tuple(prompt.prompt.labels)
    drawn = tuple(np.ravel(prompt.drawn))
    slices = tuple(sorted(prompt.slices.items()))
    return ref(prompt.layer), prompt.kind, slices, drawn, labels
