"""The waiting result on the canvas: a labels layer of one plane, ours alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin.layers import layer_affine, placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_sam.plugin.labels_writer import Piece

_NAME = "SAM preview"
_MARK = "napari_sam_preview"
# Sky blue, a colour of none of our prompts.
_COLOUR = "#56B4E9"


def is_preview(layer: Layer) -> bool:
    """Whether the layer only shows what waits; nothing is to be written into it."""
    return bool(layer.metadata.get(_MARK))


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
                plane[piece.region][piece.mask] = 1
        layer = self.layer
        if layer is None:
            layer = self._add(image, _expand(plane, index), index)
        # Hidden while place and data change: no frame shows one without the other.
        layer.visible = False
        layer.data = _expand(plane, index)
        for name, value in placement(image).items():
            setattr(layer, name, value)
        layer.translate = _translate_at(image, index)
        layer.visible = bool(plane.any())

    def clear(self) -> None:
        """Take the layer out of the viewer."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _add(
        self, image: Image, data: NDArray[np.uint8], index: tuple[slice | int, ...]
    ) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        selected = self._viewer.layers.selection.active
        layer = self._layer = Labels(
            data,
            name=_NAME,
            opacity=0.6,
            metadata={_MARK: True},
            colormap=DirectLabelColormap(
                color_dict={None: "transparent", 0: "transparent", 1: _COLOUR}
            ),
            **{**placement(image), "translate": _translate_at(image, index)},
        )
        layer.editable = False
        self._viewer.add_layer(layer)
        if selected is not None and selected in self._viewer.layers:
            self._viewer.layers.selection.active = selected
        return layer


def _expand(plane: NDArray[Any], index: tuple[slice | int, ...]) -> NDArray[Any]:
    """Give the plane an axis of length 1 for each axis that is not displayed."""
    return plane[tuple(entry if isinstance(entry, slice) else None for entry in index)]


def _translate_at(image: Image, index: tuple[slice | int, ...]) -> NDArray[np.float64]:
    """The translation that puts the preview's origin on the plane's.

    Scale, rotation, shear and affine are the image's own, so that the slider keeps
    its steps; the affine is applied after the translation, hence its inverse.
    """
    origin = [0 if isinstance(entry, slice) else entry for entry in index]
    shift = layer_affine(image)[:-1, :-1] @ np.array(origin, float)
    moved: NDArray[np.float64] = np.asarray(image.translate) + np.linalg.solve(
        np.asarray(image.affine.linear_matrix), shift
    )
    return moved
