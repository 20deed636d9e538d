"""Clean-up of one label of a Labels layer, in one undo step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.checks.values import whole_number
from napari_sam.masks.cleanup import LabelCleanUp
from napari_sam.masks.label_tiles import read_pixels
from napari_sam.plugin.layers.displayed_stack import LayerSlices
from napari_sam.plugin.layers.labels_writer import check_paintable, write
from napari_sam.plugin.state.provenance import store_entries, valid_entries_of
from napari_sam.records.describe import describe_cleaning
from napari_sam.records.record import region_of

if TYPE_CHECKING:
    from typing import Self

    from napari.layers import Labels

    from napari_sam.masks.painting import PixelChanges
    from napari_sam.plugin.state.settings import SessionSettings


@dataclass(frozen=True, slots=True, eq=False)
class LabelCleanupJob:
    """Clean-up of one label: computed on any thread, applied on the main thread.

    Parameters
    ----------
    labels : Labels
        The layer.
    cleaning : LabelCleanUp
        The clean-up as plain data.
    """

    labels: Labels
    cleaning: LabelCleanUp

    @classmethod
    def from_settings(cls, settings: SessionSettings, label: int | None) -> Self:
        """Read the layer and the displayed stack, on the main thread.

        Raises
        ------
        ValueError
            When no clean-up is chosen, or the layer cannot be written to.
        """
        labels = settings.target.require_layer()
        label = int(labels.selected_label) if label is None else label
        label = whole_number(label, "label")
        if not settings.cleanup:
            raise ValueError("No clean-up is chosen: tick at least one step.")
        if label == 0:
            raise ValueError("The selected label is background: select an object.")
        axis = settings.axis_of(labels)
        check_paintable(labels)
        slices = LayerSlices.displayed(labels, settings.viewer.dims, axis)
        cleaning = LabelCleanUp(label, settings.cleanup, slices.axis, slices.fixed)
        return cls(labels, cleaning)

    def compute(self) -> PixelChanges:
        """Find the pixels that change; see `LabelCleanUp.changes`."""
        return self.cleaning.changes(self.labels.data)

    def apply(self, changes: PixelChanges) -> int:
        """Write the changes and their record; return the number of changed pixels.

        Raises
        ------
        ValueError
            When the labels were painted since the changes were computed.
        """
        labels, label = self.labels, self.cleaning.label
        check_paintable(labels)
        current = read_pixels(labels.data, changes.indices)
        # Pixels change from the label to background, or the reverse.
        if (current != label - changes.values.astype(current.dtype)).any():
            raise ValueError("The labels changed meanwhile: clean up again.")
        if len(changes.values):
            earlier = valid_entries_of(labels, [label])
            write(labels, changes)
            if earlier[label]:  # objects painted by hand have no record
                region = region_of(changes, labels.data.shape)
                entry = describe_cleaning(self.cleaning, earlier[label][-1], region)
                store_entries(labels, [entry], earlier)
        return len(changes.values)
