"""The objects of a labels layer measured in the layer's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.measurements import measure
from napari_sam.plugin.layers.displayed_stack import LayerSlices, go_to_slice
from napari_sam.plugin.layers.transforms import layer_affine
from napari_sam.plugin.state.provenance import record_of

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam.masks.measurements import ObjectMeasurement, SliceScore


@dataclass(frozen=True, slots=True, eq=False)
class LabelMeasurementJob:
    """What is to be measured, read from layer and viewer.

    Parameters
    ----------
    labels : Labels
        The layer.
    array : ndarray
        Its displayed slices, two or three axes.
    axis, walk : int
        Of the array and of the layer, whose indices are called slices.
    sizes : tuple of float or None
        Of a voxel; None where the axes have no unit in common.
    unit : str
        Of the sizes.
    """

    labels: Labels
    array: NDArray[Any]
    axis: int
    walk: int
    sizes: tuple[float, ...] | None
    unit: str

    @classmethod
    def ask(
        cls, labels: Labels, dims: Dims, axis: int | None = None
    ) -> LabelMeasurementJob:
        """Gather what is needed, on the main thread.

        Parameters
        ----------
        labels : Labels
            The layer; of more axes than a stack the displayed slices are measured.
        dims : Dims
            Of the viewer.
        axis : int, optional
            See `LayerSlices.displayed`.

        Raises
        ------
        ValueError
            When no plane of the layer is displayed, or it is multiscale.
        """
        if labels.multiscale:
            raise ValueError(
                f"The labels {labels.name!r} are multiscale: choose a plain layer."
            )
        where = LayerSlices.displayed(labels, dims, axis)
        plane_index = tuple(where.fixed.get(a, slice(None)) for a in range(labels.ndim))
        kept = [a for a in range(labels.ndim) if a not in where.fixed]
        walk = kept[0] if where.axis is None else where.axis
        sizes, unit = _sizes(labels, kept)
        return cls(
            labels, labels.data[plane_index], kept.index(walk), walk, sizes, unit
        )

    def compute(self) -> list[ObjectMeasurement]:
        """Measure, on any thread."""
        return measure(self.array, self.sizes, self.unit, self.axis, self._scores())

    def show(self, row: ObjectMeasurement, dims: Dims) -> None:
        """Select the label of a row, and go to its middle slice."""
        self.labels.selected_label = row.label
        if self.array.ndim == 3 and row.first_slice is not None:
            assert row.last_slice is not None
            middle = (row.first_slice + row.last_slice) // 2
            go_to_slice(dims, self.labels, self.walk, middle)

    def _scores(self) -> dict[int, list[SliceScore]]:
        """{label: scores} of those that were made here and not undone."""
        scores: dict[int, list[SliceScore]] = {}
        for label, entries in record_of(self.labels)["objects"].items():
            asked = [entry["scores"] for entry in entries if entry["scores"]]
            if asked:
                scores[int(label)] = [
                    (s["index"], s["score"], s["status"]) for s in asked[-1]
                ]
        return scores


def _sizes(labels: Labels, axes: list[int]) -> tuple[tuple[float, ...] | None, str]:
    """Sizes of a voxel along axes, and their unit."""
    units = [labels.units[axis] for axis in axes]
    if len({unit.dimensionality for unit in units}) > 1:
        return None, "pixel"
    affine = layer_affine(labels)[:-1, :-1]
    steps = np.linalg.norm(affine, axis=0)
    sizes = [
        float(steps[axis] * (1 * unit).to(units[0]).magnitude)
        for axis, unit in zip(axes, units, strict=True)
    ]
    if str(units[0]) == "pixel":
        return tuple(sizes), "pixel"
    # Versions of pint write either of two letters for micro; files have this one.
    return tuple(sizes), f"{units[0]:~}".replace("\N{GREEK SMALL LETTER MU}", "µ")
