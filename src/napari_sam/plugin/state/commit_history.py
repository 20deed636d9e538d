"""Committed objects, and the objects that are corrected now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin.layers.label_prompt import LabelPrompt, pick_object
from napari_sam.plugin.layers.prompt_layers import is_plugin_layer, restore_prompts
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.state.layer_request import Replacement, prompt_key
from napari_sam.plugin.state.zoom_hints import AcceptedSizes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.layers.transforms import DisplayedPlane
    from napari_sam.plugin.state.layer_request import LayerRequest

# Commits whose prompts can be brought back, one after the other.
_MAX_COMMITS = 100


@dataclass(frozen=True, slots=True, eq=False)
class CommittedObjects:
    """Objects of one commit.

    Parameters
    ----------
    request : LayerRequest
        The request that they come from.
    replacement : Replacement
        Their labels, which a correction replaces.
    """

    request: LayerRequest
    replacement: Replacement


class ConsumedPrompts:
    """Prompts of committed and discarded objects, which are not used again.

    They are removed from layers made by the plugin, and remembered in others.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer with the prompt layers.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._keys: set[tuple[Any, ...]] = set()

    def __contains__(self, prompt: LayerPrompt) -> bool:
        return prompt_key(prompt) in self._keys

    def consume(self, prompts: Iterable[LayerPrompt]) -> None:
        """Remove prompts from layers made by the plugin; mark the others as used.

        Prompts that were moved or replaced since they were read are new and stay.
        """
        for layer, members in self._by_layer(prompts).items():
            if not is_plugin_layer(layer):
                self._keys.update(prompt_key(prompt) for prompt in members)
                continue
            layer.selected_data = {
                index
                for index, item in enumerate(layer.data)
                if any(np.array_equal(np.atleast_2d(item), p.drawn) for p in members)
            }
            layer.remove_selected()

    def restore(self, prompts: Iterable[LayerPrompt]) -> None:
        """Bring consumed prompts back, in the layers that are still there."""
        for layer, members in self._by_layer(prompts).items():
            self._keys.difference_update(prompt_key(prompt) for prompt in members)
            if is_plugin_layer(layer):
                restore_prompts(layer, members)

    def _by_layer(self, prompts: Iterable[LayerPrompt]) -> dict[Any, list[LayerPrompt]]:
        layers: dict[Any, list[LayerPrompt]] = defaultdict(list)
        for prompt in prompts:
            if prompt.layer in self._viewer.layers:
                layers[prompt.layer].append(prompt)
        return layers


class CommitHistory:
    """Committed objects that can be brought back, and the ones that are corrected.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer with the layers.

    Attributes
    ----------
    consumed : ConsumedPrompts
        Prompts of committed and discarded objects.
    label_prompt : LabelPrompt or None
        An object of a Labels layer that is used as a prompt.
    replacement : Replacement or None
        Objects that the next result replaces.
    sizes : AcceptedSizes
        How large the objects are that were accepted.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._commits: list[CommittedObjects] = []
        self._restored: CommittedObjects | None = None
        self.consumed = ConsumedPrompts(viewer)
        self.sizes = AcceptedSizes()
        self.label_prompt: LabelPrompt | None = None
        self.replacement: Replacement | None = None

    @property
    def can_go_back(self) -> bool:
        """Whether there is a commit to go back to."""
        return bool(self._commits)

    @property
    def restored(self) -> LayerRequest | None:
        """The request of the commit that was brought back."""
        return None if self._restored is None else self._restored.request

    def add(self, commit: CommittedObjects) -> None:
        """Add a commit; the correction is over."""
        layers = self._viewer.layers
        # Removed layers are not kept in memory.
        self._commits = [
            c
            for c in self._commits
            if c.replacement.labels in layers and c.request.image in layers
        ]
        self._commits = [*self._commits, commit][-_MAX_COMMITS:]
        self._end_correction()

    def pick(
        self, labels: Labels, label: int, image: Image, plane: DisplayedPlane
    ) -> None:
        """Use a label on the displayed plane as a prompt; see `pick_object`."""
        dims = self._viewer.dims
        self.label_prompt = pick_object(labels, label, image, plane, dims)
        region = displayed_plane(labels, dims).plane_index()
        self.replacement = Replacement(labels, (label,), {label: region})
        self._restored = None

    def go_back(self) -> CommittedObjects:
        """Bring back the prompts and the sliders of the last commit.

        Raises
        ------
        ValueError
            When there is none, or its image was removed.
        """
        if not self._commits:
            raise ValueError("There is no previous object.")
        last = self._commits.pop()
        if last.request.image not in self._viewer.layers:
            raise ValueError("The image of the previous object was removed.")
        self.consumed.restore(last.request.prompts)
        self.label_prompt = None
        self.replacement = last.replacement
        self._restored = last
        last.request.snapshot.sliders.restore(self._viewer.dims)
        return last

    def cancel_correction(self) -> None:
        """Leave the objects as they are; `go_back` can bring them back again."""
        if self._restored is not None:
            self.consumed.consume(self._restored.request.prompts)
            self._commits.append(self._restored)
        self._end_correction()

    def _end_correction(self) -> None:
        self.label_prompt = self.replacement = self._restored = None
