"""Committed objects, and the objects that are corrected now."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_sam.plugin.layers.label_prompt import LabelPrompt, pick_object
from napari_sam.plugin.layers.prompt_layers import (
    is_plugin_layer,
    remove_prompts,
    restore_prompts,
)
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.state.layer_request import Replacement, prompt_key
from napari_sam.plugin.state.zoom_hints import AcceptedSizes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from napari.components import Dims, ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_sam.plugin.layers.labels_writer import LabelChange
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
    replacement : Replacement or None
        Their labels, which a correction replaces; None when they were not written.
    change : LabelChange or None
        Their pixels.
    """

    request: LayerRequest
    replacement: Replacement | None
    change: LabelChange | None = None

    @property
    def is_written(self) -> bool:
        """Whether the objects were written."""
        return self.change is not None


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """The objects that are corrected now, if any.

    Parameters
    ----------
    label_prompt : LabelPrompt or None
        An object of a Labels layer that is used as a prompt.
    replacement : Replacement or None
        Objects that the next result replaces.
    restored : CommittedObjects or None
        The commit that was brought back.
    """

    label_prompt: LabelPrompt | None = None
    replacement: Replacement | None = None
    restored: CommittedObjects | None = None


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
        return bool(self._keys) and prompt_key(prompt) in self._keys

    def consume(self, prompts: Iterable[LayerPrompt]) -> None:
        """Remove prompts from layers made by the plugin; mark the others as used.

        Prompts that were moved or replaced since they were read are new and stay.
        """
        for layer, members in self._by_layer(prompts).items():
            if is_plugin_layer(layer):
                remove_prompts(layer, members)
            else:
                self._keys.update(prompt_key(prompt) for prompt in members)

    def restore(self, prompts: Iterable[LayerPrompt]) -> None:
        """Bring consumed prompts back, in the layers that are still there."""
        for layer, members in self._by_layer(prompts).items():
            self._keys.difference_update(prompt_key(prompt) for prompt in members)
            if is_plugin_layer(layer):
                with _view_to_draw_in(layer, self._viewer.dims):
                    restore_prompts(layer, members)

    def _by_layer(self, prompts: Iterable[LayerPrompt]) -> dict[Any, list[LayerPrompt]]:
        layers: dict[Any, list[LayerPrompt]] = defaultdict(list)
        for prompt in prompts:
            if prompt.layer in self._viewer.layers:
                layers[prompt.layer].append(prompt)
        return layers


@contextmanager
def _view_to_draw_in(layer: Layer, dims: Dims) -> Iterator[None]:
    """Leave a 3D view for a while, in which napari adds no lines to a 2D layer."""
    turns = isinstance(layer, Shapes) and layer.ndim < dims.ndisplay
    if turns:
        dims.ndisplay = 2
    try:
        yield
    finally:
        if turns:
            dims.ndisplay = 3


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
    correction : Correction
        The objects that are corrected now.
    sizes : AcceptedSizes
        How large the objects are that were accepted.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._commits: list[CommittedObjects] = []
        self.consumed = ConsumedPrompts(viewer)
        self.sizes = AcceptedSizes()
        self.correction = Correction()

    @property
    def can_go_back(self) -> bool:
        """Whether there is a commit to go back to."""
        return bool(self._commits)

    @property
    def label_prompt(self) -> LabelPrompt | None:
        """An object of a Labels layer that is used as a prompt."""
        return self.correction.label_prompt

    @property
    def replacement(self) -> Replacement | None:
        """Objects that the next result replaces."""
        return self.correction.replacement

    @property
    def restored(self) -> LayerRequest | None:
        """The request of the commit that was brought back."""
        restored = self.correction.restored
        return None if restored is None else restored.request

    def add(self, commit: CommittedObjects) -> None:
        """Add a commit."""
        layers = self._viewer.layers
        # Removed layers are not kept in memory.
        self._commits = [
            c
            for c in self._commits
            if (c.replacement is None or c.replacement.labels in layers)
            and c.request.image in layers
        ]
        self._commits = [*self._commits, commit][-_MAX_COMMITS:]

    def forget(self) -> None:
        """Forget all commits; the sizes of their objects are still of use."""
        self._commits, self.correction = [], Correction()

    def remove(self, commit: CommittedObjects) -> None:
        """Forget a commit that was undone."""
        self._commits = [c for c in self._commits if c is not commit]

    def forget_labels(self, labels: Labels, label_ids: Collection[int]) -> bool:
        """Forget the commits of labels that were changed in another way.

        Returns
        -------
        bool
            Whether one of them was being corrected.
        """

        def concerned(replacement: Replacement | None) -> bool:
            return (
                replacement is not None
                and replacement.labels is labels
                and not set(label_ids).isdisjoint(replacement.label_ids)
            )

        self._commits = [
            c for c in self._commits if not (c.is_written and concerned(c.replacement))
        ]
        if not concerned(self.replacement):
            return False
        self.correction = Correction()
        return True

    def pick(
        self, labels: Labels, label: int, image: Image, plane: DisplayedPlane
    ) -> None:
        """Use a label on the displayed plane as a prompt; see `pick_object`."""
        dims = self._viewer.dims
        label_prompt = pick_object(labels, label, image, plane, dims)
        region = displayed_plane(labels, dims).plane_index()
        replacement = Replacement(labels, (label,), {label: region})
        self.correction = Correction(label_prompt, replacement)

    def go_back(self) -> CommittedObjects:
        """Bring back the prompts and the sliders of the last commit.

        Objects that could not be written come first.

        Raises
        ------
        ValueError
            When there is none, or its image was removed.
        """
        if not self._commits:
            raise ValueError("There is no previous object.")
        unwritten = [commit for commit in self._commits if not commit.is_written]
        last = (unwritten or self._commits)[-1]
        self.remove(last)
        if last.request.image not in self._viewer.layers:
            raise ValueError("The image of the previous object was removed.")
        self.consumed.restore(last.request.prompts)
        self.correction = Correction(None, last.replacement, last)
        last.request.snapshot.sliders.restore(self._viewer.dims)
        return last

    def cancel_correction(self) -> None:
        """Leave the objects as they are; `go_back` can bring them back again."""
        restored = self.correction.restored
        if restored is not None:
            self.consumed.consume(restored.request.prompts)
            if restored.is_written:
                self._commits.append(restored)
        self.correction = Correction()

    def resume(self, correction: Correction) -> None:
        """Go on with a correction that was ended or cancelled."""
        self.correction = correction
        if correction.restored is not None:
            self.remove(correction.restored)
