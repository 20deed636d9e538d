"""The waiting result on the canvas: a labels layer of one plane, ours alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin.layers import labelling, layer_affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam.plugin.labels_writer import Piece

_NAME = "SAM preview"
# Sky blue, a colour of none of our prompts.
_COLOUR = "#56B4E9"


class Preview:
    """Shows the pieces that lie on one plane; costs the memory of that plane.

    Parameters
    ----------
    viewer : ViewerModel
        Gets one layer while there is something to show.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, while it is in the viewer."""
        return self._layer if self._layer in self._viewer.layers else None

    def show(
        self,
        image: Image,
        pieces: Sequence[Piece],
        index: tuple[slice | int, ...],
        shape: tuple[int, int],
    ) -> None:
        """Show the pieces of the plane at `index` of the image."""
        plane = np.zeros(shape, np.uint8)
        for piece in pieces:
            if piece.index == index:
                (row, col), (height, width) = piece.origin, piece.mask.shape
                plane[row : row + height, col : col + width][piece.mask] = 1
        layer = self.layer
        if layer is None:
            layer = self._add(image, _expand(plane, index))
        # Hidden while place and data change: no frame shows one without the other.
        layer.visible = False
        layer.data = _expand(plane, index)
        layer.affine = _affine_at(image, index)
        layer.visible = bool(plane.any())

    def clear(self) -> None:
        """Take the layer out of the viewer."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _add(self, image: Image, data: NDArray[np.uint8]) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        selected = self._viewer.layers.selection.active
        layer = self._layer = Labels(
            data,
            name=_NAME,
            opacity=0.6,
            colormap=DirectLabelColormap(
                color_dict={None: "transparent", 0: "transparent", 1: _COLOUR}
            ),
            **labelling(image),
        )
        layer.editable = False
        self._viewer.add_layer(layer)
        if selected is not None and selected in self._viewer.layers:
            self._viewer.layers.selection.active = selected
        return layer


def _expand(plane: NDArray[Any], index: tuple[slice | int, ...]) -> NDArray[Any]:
    """Give the plane an axis of length 1 for each axis that is not displayed."""
    return plane[tuple(entry if isinstance(entry, slice) else None for entry in index)]


def _affine_at(image: Image, index: tuple[slice | int, ...]) -> NDArray[np.float64]:
    """The image's transform, moved so that its origin is the plane's."""
    matrix = layer_affine(image)
    origin = [0 if isinstance(entry, slice) else entry for entry in index]
    matrix[:-1, -1] += matrix[:-1, :-1] @ np.array(origin, float)
    return matrix
