"""Measurement of the objects of a Labels layer, in the layer's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.masks.label_tiles import FixedAxes
from napari_sam.masks.measurements import measure
from napari_sam.plugin.labels.pixel_size import sizes_with_unit
from napari_sam.plugin.layers.displayed_stack import LayerSlices, go_to_slice
from napari_sam.plugin.state.provenance import record_of

if TYPE_CHECKING:
    from typing import Self

    from napari.components import Dims
    from napari.layers import Labels

    from napari_sam.masks.measurements import ObjectMeasurement, SliceScore
    from napari_sam.plugin.state.settings import SessionSettings


@dataclass(frozen=True, slots=True, eq=False)
class LabelMeasurementJob:
    """Measurement of the displayed plane or stack of a layer; runs on any thread.

    Parameters
    ----------
    labels : Labels
        The layer.
    array : FixedAxes
        (H, W) or (Z, H, W) labels that are displayed, read when they are measured.
    axis, layer_axis : int
        Axis of the array, and of the layer, that counts the slices.
    sizes : tuple of float or None
        Voxel size along the axes; None when they have no common unit.
    unit : str
        Unit of the sizes.
    """

    labels: Labels
    array: FixedAxes
    axis: int
    layer_axis: int
    sizes: tuple[float, ...] | None
    unit: str

    @classmethod
    def from_settings(cls, settings: SessionSettings) -> Self:
        """Read the layer and the displayed stack, on the main thread.

        Raises
        ------
        ValueError
            When there is no labels layer, no plane of it is displayed, or it is
            multiscale.
        """
        labels = settings.target.require_layer()
        if labels.multiscale:
            raise ValueError(
                f"The labels {labels.name!r} are multiscale: choose a plain layer."
            )
        axis = settings.axis_of(labels)
        slices = LayerSlices.displayed(labels, settings.viewer.dims, axis)
        axes = [a for a in range(labels.ndim) if a not in slices.fixed]
        layer_axis = axes[0] if slices.axis is None else slices.axis
        sizes, unit = sizes_with_unit(labels, axes)
        array = FixedAxes(labels.data, slices.fixed)
        return cls(labels, array, axes.index(layer_axis), layer_axis, sizes, unit)

    def compute(self) -> list[ObjectMeasurement]:
        """Measure the objects."""
        return measure(self.array, self.sizes, self.unit, self.axis, self._scores())

    def show(self, row: ObjectMeasurement, dims: Dims) -> None:
        """Select the label of a row, and display its middle slice."""
        self.labels.selected_label = row.label
        first, last = row.first_slice, row.last_slice
        if len(self.array.shape) == 3 and first is not None and last is not None:
            go_to_slice(dims, self.labels, self.layer_axis, (first + last) // 2)

    def _scores(self) -> dict[int, list[SliceScore]]:
        """Return {label: scores} of recorded objects that were not undone."""
        scores: dict[int, list[SliceScore]] = {}
        for label, entries in record_of(self.labels)["objects"].items():
            recorded = [entry["scores"] for entry in entries if entry["scores"]]
            if recorded:
                scores[int(label)] = [
                    (s["index"], s["score"], s["status"]) for s in recorded[-1]
                ]
        return scores
