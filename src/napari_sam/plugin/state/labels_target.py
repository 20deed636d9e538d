"""The target Labels layer: label ids, overlap policy, writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.masks.label_tiles import everywhere
from napari_sam.masks.painting import POLICIES, Policy, covered_objects
from napari_sam.plugin.layers.label_ids import LabelIds, join_regions, label_regions
from napari_sam.plugin.layers.labels_writer import (
    WriteSummary,
    check_ids,
    check_target,
    leading_channels,
    new_labels,
    plan,
    write,
)
from napari_sam.plugin.state.commit_history import CommittedObjects
from napari_sam.plugin.state.label_features import LabelFeatures
from napari_sam.plugin.state.layer_request import Replacement
from napari_sam.plugin.state.provenance import (
    RenumberedRecords,
    WritePlan,
    entries_of_commit,
    store_entries,
    valid_entries_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.masks.label_tiles import Region
    from napari_sam.plugin.layers.labels_writer import LabelChange
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.records.record import Record
    from napari_sam.requests.base import SegmentationResult


@dataclass(frozen=True, slots=True, eq=False)
class Destination:
    """Where and how an object is written.

    Parameters
    ----------
    layer : Labels or None
        None is the layer of the session, or a new one.
    policy : {"keep", "overwrite", "background"}
        What happens to pixels of other objects.
    label : int or None
        Label of new objects; the next free one when None.
    """

    layer: Labels | None
    policy: Policy
    label: int | None


class LabelsTarget:
    """The Labels layer that results are written to, and how.

    Parameters
    ----------
    viewer : ViewerModel
        Gets a new layer at the first commit when none is chosen.

    Attributes
    ----------
    layer : Labels or None
        The chosen layer.
    use_selected_label : bool
        Objects get the layer's selected label instead of the next free one.
    last_written : WriteSummary or None
        What the last commit changed.
    features : LabelFeatures
        Score and size of each label.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._label_ids = LabelIds()
        self.features = LabelFeatures()
        self._records = RenumberedRecords()
        self._policy: Policy = "keep"
        self.layer: Labels | None = None
        self.use_selected_label = False
        self.last_written: WriteSummary | None = None

    def add_edit(self, change: LabelChange, record: Record | None) -> None:
        """Update features and record after a correction of labels.

        Parameters
        ----------
        change : LabelChange
            Pixels that were written.
        record : dict or None
            Record of the layer before, if whole labels got other numbers.
        """
        self.features.add(change, {}, record is not None)
        if record is not None:
            self._records.add(change, record)

    @property
    def policy(self) -> Policy:
        """What happens to pixels of other objects, see `painting.plan_changes`."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        if policy not in POLICIES:
            raise ValueError(
                f"{policy!r} is not a policy: choose {', '.join(POLICIES)}."
            )
        self._policy = policy

    @property
    def present_layer(self) -> Labels | None:
        """The layer, while it is in the viewer."""
        return self.layer if self.layer in self._viewer.layers else None

    def require_layer(self) -> Labels:
        """Return the layer.

        Raises
        ------
        ValueError
            When none was chosen or made yet.
        """
        labels = self.present_layer
        if labels is None:
            raise ValueError("There are no labels yet: accept an object first.")
        return labels

    def forget(self) -> None:
        """Forget what is known of the labels: they are those of another image."""
        self._label_ids, self.features = LabelIds(), LabelFeatures()
        self._records, self.last_written = RenumberedRecords(), None

    def next_free_label(self, labels: Labels) -> int:
        """Return a label above all that are in use in a layer."""
        self._label_ids.rescan(labels)
        return self._label_ids.next_free(labels)

    def destination(self) -> Destination:
        """Return where an object that is accepted now is written, and how."""
        labels = self.present_layer
        label = None
        if self.use_selected_label and labels is not None:
            label = int(labels.selected_label)
        elif self.use_selected_label:
            label = 1  # that of a new layer
        return Destination(labels, self.policy, label)

    def check(self, request: LayerRequest) -> None:
        """Refuse a request whose result could not be written.

        Raises
        ------
        ValueError
            When the layer or its data type cannot take the objects.
        """
        labels = self.present_layer
        if labels is not None:
            # Automatic segmentation gives at least one object, or nothing to write.
            object_ids = request.request.prompts or [1]
            self._plan(labels, request, object_ids, self.destination())

    def write(
        self,
        request: LayerRequest,
        result: SegmentationResult,
        destination: Destination | None = None,
    ) -> CommittedObjects:
        """Write a result and its record, as one undo step of the layer.

        Parameters
        ----------
        request, result : LayerRequest, SegmentationResult
            The objects.
        destination : Destination, optional
            The current one when None.

        Raises
        ------
        ValueError
            When the layer cannot take it; nothing is changed then.
        """
        destination = self.destination() if destination is None else destination
        labels = destination.layer
        if labels not in self._viewer.layers:
            labels = self.present_layer
        if labels is not None:
            return self._write(labels, request, result, destination)
        channels = request.request.view.reader.channel_axes
        skip = leading_channels(request.image, channels)
        plane_index = request.snapshot.plane.plane_index()
        labels = new_labels(self._viewer, request.image, skip, plane_index)
        self._label_ids.add_empty(labels)
        try:
            commit = self._write(labels, request, result, destination)
        except BaseException:
            self._viewer.layers.remove(labels)
            raise
        self.layer = labels
        return commit

    def _write(
        self,
        labels: Labels,
        request: LayerRequest,
        result: SegmentationResult,
        destination: Destination,
    ) -> CommittedObjects:
        self._label_ids.rescan(labels)
        object_ids = {piece.object_id for piece in result.pieces}
        where = self._plan(labels, request, sorted(object_ids), destination)
        covered = self._covered(request, result, where)
        if covered:
            written = sorted(object_ids - covered)
            where = self._plan(labels, request, written, destination)
        label_ids = tuple(where.label_ids.values())
        changes, outside = plan(
            labels,
            where.grid,
            [piece for piece in result.pieces if piece.object_id not in covered],
            where.label_ids,
            where.policy,
            where.replaced,
            self._label_ids.regions_of(labels, where.replaced),
        )
        # All that may fail comes before the change of the pixels.
        earlier = valid_entries_of(labels, set(label_ids))
        painted = label_regions(changes)
        entries = entries_of_commit(request, result, where, changes, painted)
        change = write(labels, changes)
        scores = {
            label: min((s.score for s in result.scores.get(object_id, ())), default=0.0)
            for object_id, label in where.label_ids.items()
        }
        try:
            if len(changes.values):
                store_entries(labels, entries, earlier)
            self.features.add(change, scores)
        except BaseException:  # also of callbacks of the user
            change.take_back()
            raise
        self.last_written = WriteSummary(
            label_ids, len(changes.values), changes.kept, outside, len(covered)
        )
        regions = _regions(request, where, painted)
        replacement = Replacement(labels, label_ids, regions)
        return CommittedObjects(request, replacement, change)

    @staticmethod
    def _covered(
        request: LayerRequest, result: SegmentationResult, where: WritePlan
    ) -> set[int]:
        """Return objects of automatic segmentation that the labels hold already.

        Raises
        ------
        ValueError
            When these are all objects.
        """
        if not request.request.is_automatic or where.policy == "overwrite":
            return set()
        placed = [part for piece in result.pieces for part in where.grid.place(piece)]
        covered = covered_objects(where.labels.data, placed)
        if covered and len(covered) == len(where.label_ids):
            raise ValueError(
                f"All {len(covered)} objects are in {where.labels.name!r} already: "
                "nothing was written. Discard them."
            )
        return covered

    def _plan(
        self,
        labels: Labels,
        request: LayerRequest,
        object_ids: Iterable[int],
        destination: Destination,
    ) -> WritePlan:
        """Check the layer, and choose labels and policy."""
        snapshot = request.snapshot
        plane_index = snapshot.plane.plane_index()
        grid = check_target(labels, snapshot.image, plane_index, snapshot.sliders)
        _check_axis(labels, grid, request)
        label_ids, replaced = self._choose_labels(
            labels, request, object_ids, destination.label
        )
        check_ids(labels, label_ids)
        policy = destination.policy
        if labels.preserve_labels and policy == "overwrite":
            policy = "keep"  # as napari's own brush
        return WritePlan(labels, grid, label_ids, replaced, policy)

    def _choose_labels(
        self,
        labels: Labels,
        request: LayerRequest,
        object_ids: Iterable[int],
        label: int | None,
    ) -> tuple[dict[int, int], set[int]]:
        """Return {object id: label}, and the labels that give way to them."""
        if label is not None and label < 1:
            raise ValueError(
                f"The selected label of {labels.name!r} is background: select another, "
                "or use the next free label."
            )
        existing = self._existing_labels(labels, request)
        chosen: dict[int, int] = {}
        new = 0
        for object_id in object_ids:
            if object_id in existing:
                chosen[object_id] = existing[object_id]
            elif label is not None:
                chosen[object_id] = label
            else:
                new = new + 1 if new else self._label_ids.next_free(labels)
                chosen[object_id] = new
        return chosen, {existing[i] for i in chosen if i in existing}

    def _existing_labels(self, labels: Labels, request: LayerRequest) -> dict[int, int]:
        """Return {object id: label} of corrected objects that were not undone."""
        replacement = request.snapshot.replacement
        if replacement is None or replacement.labels is not labels:
            return {}
        whole = everywhere(labels.data)
        return {
            object_id: label
            for object_id, label in enumerate(replacement.label_ids, start=1)
            if self._label_ids.contains(
                labels, label, replacement.regions.get(label, whole)
            )
        }


def _check_axis(labels: Labels, grid: LabelGrid, request: LayerRequest) -> None:
    """Refuse labels without the axis of propagation."""
    stack = request.request.stack
    if stack is not None and stack.axis < grid.image_ndim - grid.shared_ndim:
        raise ValueError(
            f"The labels {labels.name!r} lack axis {stack.axis} of the image, along "
            "which objects are propagated: choose '(new layer)' or other labels."
        )


def _regions(
    request: LayerRequest, where: WritePlan, painted: Mapping[int, Region]
) -> dict[int, Region]:
    """Return {label: bounding box of its pixels} after a commit."""
    replacement = request.snapshot.replacement
    regions: dict[int, Region] = dict(painted)
    for label in where.replaced:
        # Pixels that kept their label are not among the changes.
        before = None if replacement is None else replacement.regions.get(label)
        region = join_regions(regions.get(label), before)
        if region is not None:
            regions[label] = region
    return regions
