"""Where results go: the labels layer, the ids, what gives way; and the writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.masks.painting import POLICIES, Policy
from napari_sam.plugin.layers.labels_writer import (
    LabelIds,
    WriteSummary,
    check_ids,
    check_target,
    leading_channels,
    new_labels,
    plan,
    write,
)
from napari_sam.plugin.state.provenance import earlier_entries, entries_of, note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.requests.base import SegmentationResult


class LabelsTarget:
    """The labels layer that takes the results, and how.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are written to; gets a new layer when none is chosen.

    Attributes
    ----------
    layer : Labels or None
        The layer; made at the first commit when None.
    use_selected_label : bool
        Objects get the layer's selected label instead of the next free one.
    last_written : WriteSummary or None
        What the last commit did.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._ids = LabelIds()
        self._policy: Policy = "keep"
        self.layer: Labels | None = None
        self.use_selected_label = False
        self.last_written: WriteSummary | None = None

    @property
    def policy(self) -> Policy:
        """What happens to pixels of other objects, see `painting.plan_changes`."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        if policy not in POLICIES:
            raise ValueError(f"{policy!r} is no policy: choose {', '.join(POLICIES)}.")
        self._policy = policy

    @property
    def present_layer(self) -> Labels | None:
        """The layer, while it is in the viewer."""
        return self.layer if self.layer in self._viewer.layers else None

    def require_layer(self) -> Labels:
        """The layer.

        Raises
        ------
        ValueError
            When none is chosen or made yet.
        """
        labels = self.present_layer
        if labels is None:
            raise ValueError("There are no labels yet: accept an object first.")
        return labels

    def check(self, question: LayerRequest) -> None:
        """Refuse, before any work starts, what could not be written afterwards.

        Raises
        ------
        ValueError
            When the layer or its data type cannot take the objects.
        """
        labels = self.present_layer
        if labels is not None:
            grid = check_target(
                labels, question.image, question.plane_index, question.sliders
            )
            _check_walk(labels, grid, question)
            check_ids(labels, self._choose_ids(labels, question, question.numbers)[0])

    def write(
        self, question: LayerRequest, result: SegmentationResult
    ) -> tuple[Labels, WriteSummary]:
        """Write a result as one step of the layer's own undo history, and its record.

        Raises
        ------
        ValueError
            When the layer cannot take it; nothing is changed then.
        """
        labels = self.present_layer
        if labels is None:
            channels = question.request.view.reader.channel_axes
            skip = leading_channels(question.image, channels)
            labels = self.layer = new_labels(self._viewer, question.image, skip)
            self._ids.remember(labels, 0)
        grid = check_target(
            labels, question.image, question.plane_index, question.sliders
        )
        _check_walk(labels, grid, question)
        numbers = sorted({piece.object_id for piece in result.pieces})
        ids, replaced = self._choose_ids(labels, question, numbers)
        check_ids(labels, ids)
        policy = self.policy
        if labels.preserve_labels and policy == "overwrite":
            policy = "keep"  # as napari's own brush
        changes, outside = plan(labels, grid, result.pieces, ids, policy, replaced)
        if len(changes.values):
            earlier = earlier_entries(labels, set(ids.values()))
            entries = entries_of(
                question, result, ids, changes, grid, labels, policy, replaced
            )
            write(labels, changes)
            note(labels, entries, earlier)
            self._ids.remember(labels, max(ids.values()))
        written = WriteSummary(
            tuple(ids.values()), len(changes.values), changes.kept, outside
        )
        self.last_written = written
        return labels, written

    def _choose_ids(
        self, labels: Labels, question: LayerRequest, numbers: Iterable[int]
    ) -> tuple[dict[int, int], set[int]]:
        """{object number: label id}, and the labels that give way to them."""
        revision = question.revision
        known: dict[int, int] = {}
        if revision is not None and revision.labels is labels:
            known = {
                number: label
                for number, label in enumerate(revision.ids, start=1)
                if (labels.data == label).any()
            }
        new = int(labels.selected_label)
        if self.use_selected_label and new < 1:
            raise ValueError(
                f"The selected label of {labels.name!r} is background: select another, "
                "or use the next free label."
            )
        if not self.use_selected_label:
            new = self._ids.next_free(labels)
        ids: dict[int, int] = {}
        for number in numbers:
            if number in known:
                ids[number] = known[number]
            else:
                ids[number] = new
                new += not self.use_selected_label
        return ids, {known[number] for number in ids if number in known}


def _check_walk(labels: Labels, grid: LabelGrid, question: LayerRequest) -> None:
    """Refuse labels without the axis that a stack is walked along."""
    request = question.request
    if request.stack is not None:
        axis = request.stack.axis
        if axis < grid.image_ndim - grid.shared_ndim:
            raise ValueError(
                f"The labels {labels.name!r} lack axis {axis} of the image, which the "
                "objects are followed along: choose '(new layer)' or other labels."
            )
