"""Clean-up of a label of a labels layer: one undo step, which the record knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.masks.cleanup import LabelCleanUp
from napari_sam.plugin.layers.displayed_stack import LayerSlices
from napari_sam.plugin.layers.labels_writer import check_paintable, write
from napari_sam.plugin.state.provenance import earlier_entries, note
from napari_sam.records.describe import describe_cleaning
from napari_sam.records.record import region_of

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Labels

    from napari_sam.masks.cleanup import CleanUp
    from napari_sam.masks.painting import PixelChanges


@dataclass(frozen=True, slots=True, eq=False)
class LabelCleanupJob:
    """A clean-up of one label, read from the viewer.

    Parameters
    ----------
    labels : Labels
        The layer.
    cleaning : LabelCleanUp
        What is done; knows no layer.
    """

    labels: Labels
    cleaning: LabelCleanUp

    @classmethod
    def ask(
        cls,
        labels: Labels,
        label: int,
        cleanup: CleanUp,
        dims: Dims,
        axis: int | None = None,
    ) -> LabelCleanupJob:
        """Gather what is needed, on the main thread.

        Raises
        ------
        ValueError
            When nothing is to be done, or the layer cannot be written to.
        """
        if not cleanup:
            raise ValueError("Nothing is to be cleaned up: tick what is to be done.")
        if label == 0:
            raise ValueError("The selected label is background: select an object.")
        check_paintable(labels)
        where = LayerSlices.displayed(labels, dims, axis)
        cleaning = LabelCleanUp(label, cleanup, where.axis, where.fixed)
        return cls(labels, cleaning)

    def compute(self) -> PixelChanges:
        """Find what changes, on any thread; see `LabelCleanUp.changes`."""
        return self.cleaning.changes(self.labels.data)

    def write(self, changes: PixelChanges) -> int:
        """Write the changes as one undo step; returns how many pixels changed.

        Raises
        ------
        ValueError
            When the labels were painted on meanwhile.
        """
        labels, label = self.labels, self.cleaning.label
        check_paintable(labels)
        there = labels.data[changes.indices]
        if (there != label - changes.values.astype(there.dtype)).any():
            raise ValueError("The labels changed meanwhile: clean up again.")
        if len(changes.values):
            earlier = earlier_entries(labels, [label])
            write(labels, changes)
            if earlier[label]:  # what was painted by hand alone has no record
                region = region_of(changes, labels.data.shape)
                entry = describe_cleaning(self.cleaning, earlier[label][-1], region)
                note(labels, [entry], earlier)
        return len(changes.values)
