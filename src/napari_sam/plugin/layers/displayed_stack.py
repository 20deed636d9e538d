"""The displayed stack: its slices, and going to one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.plugin.layers.transforms import displayed_plane, spatial_shape

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels


@dataclass(frozen=True, slots=True, eq=False)
class LayerSlices:
    """Which part of a labels layer the viewer scrolls through.

    Parameters
    ----------
    axis : int or None
        Of the layer, that is walked along; None for a single plane.
    fixed : dict
        {axis: index} of the other axes that are not displayed.
    """

    axis: int | None
    fixed: dict[int, int]

    @classmethod
    def displayed(
        cls, labels: Labels, dims: Dims, axis: int | None = None
    ) -> LayerSlices:
        """The slices parallel to the displayed one.

        Parameters
        ----------
        labels : Labels
            The layer.
        dims : Dims
            Of the viewer.
        axis : int, optional
            Of the layer, to walk along; the last one with a slider when None.

        Raises
        ------
        ValueError
            When no plane of the layer is displayed.
        """
        index = displayed_plane(labels, dims).index
        shape = spatial_shape(labels)
        if axis not in index:
            axis = max((a for a in index if shape[a] > 1), default=None)
        return cls(axis, {a: i for a, i in index.items() if a != axis})


def go_to_slice(dims: Dims, layer: Image | Labels, axis: int, index: int) -> None:
    """Move the slider of an axis of a layer to one of its slices."""
    shift = dims.ndim - layer.ndim
    plane_index = list(layer.world_to_data(dims.point[shift:]))
    plane_index[axis] = index
    dims.set_point(axis + shift, layer.data_to_world(plane_index)[axis])
