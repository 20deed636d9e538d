"""The waiting result on the canvas: a labels layer of one plane, ours alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_erosion

from napari_sam.masks import window_at
from napari_sam.planes import plane_sides
from napari_sam.plugin.layers import layer_affine, placement, spatial_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_sam.painting import Piece
    from napari_sam.planes import PlaneIndex

_NAME = "SAM preview"
_MARK = "napari_sam_preview"
# Sky blue, a colour of none of our prompts: a tint inside, the outline in full.
_INSIDE, _OUTLINE = 1, 2
_COLOURS: dict[int | None, str] = {
    None: "transparent",
    0: "transparent",
    _INSIDE: "#56B4E966",
    _OUTLINE: "#56B4E9FF",
}
# Outlines stay visible on large images: this share of their shorter side.
_OUTLINE_SHARE = 1 / 500


def is_preview(layer: Layer) -> bool:
    """Whether the layer only shows what waits; nothing is to be written into it."""
    return bool(layer.metadata.get(_MARK))


class Preview:
    """Shows the pieces that lie on one plane; costs the memory of their box.

    Parameters
    ----------
    viewer : ViewerModel
        Gets one layer when there is first something to show. Between objects it is
        hidden, as napari takes long to add one; it goes with its image.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        self._image: Image | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, while it is in the viewer."""
        return self._layer if self._layer in self._viewer.layers else None

    @property
    def is_shown(self) -> bool:
        """Whether the canvas shows a result."""
        return self.layer is not None and self.layer.visible

    def show(
        self,
        image: Image,
        pieces: Sequence[Piece],
        index: PlaneIndex,
    ) -> None:
        """Show the pieces of the plane at `index` of the image."""
        here = [piece for piece in pieces if piece.index == index]
        if not here:
            self.hide()
            return
        if image is not self._image:
            # napari 0.6.6 keeps the old transforms when data change their ndim.
            self.remove()
        side = min(plane_sides(spatial_shape(image), index))
        origin, crop = _crop(here, max(1, round(side * _OUTLINE_SHARE)))
        first = _first(index, origin)
        layer = self.layer
        if layer is None:
            self._add(image, _expand(crop, index), first)
            return
        # Hidden while place and data change: no frame shows one without the other.
        layer.visible = False
        layer.data = _expand(crop, index)
        self._place(layer, image, first)
        layer.visible = True

    def to_top(self) -> None:
        """Lie over layers that were added since.

        Not to be called while a layer is being added: moving one meanwhile confuses
        napari's list of layers.
        """
        layers = self._viewer.layers
        if self.layer is not None and self.layer is not layers[-1]:
            layers.move(layers.index(self.layer), -1)

    def hide(self) -> None:
        """Show nothing, until the next `show`."""
        layer, image = self.layer, self._image
        if layer is None or image is None:
            return
        if image not in self._viewer.layers:
            self.remove()
        elif layer.visible:
            layer.visible = False
            # What was shown is not kept in memory, and does not widen the sliders.
            layer.data = np.zeros((1,) * layer.ndim, np.uint8)
            self._place(layer, image, [0] * layer.ndim)

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self._layer = self.layer, None
        if self._image is not None:
            for event in _moves(self._image):
                event.disconnect(self._image_moved)
        self._image = None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _image_moved(self, _: Any = None) -> None:
        """Follow while hidden: where it lies decides the range of the sliders."""
        if self.layer is not None and self._image is not None and not self.is_shown:
            self._place(self.layer, self._image, [0] * self.layer.ndim)

    @staticmethod
    def _place(layer: Labels, image: Image, first: list[int]) -> None:
        wanted = {**placement(image), "translate": _translate_at(image, first)}
        for name, value in wanted.items():
            # Each change redraws the list of layers.
            if not np.array_equal(np.asarray(getattr(layer, name)), np.asarray(value)):
                setattr(layer, name, value)

    def _add(self, image: Image, data: NDArray[np.uint8], first: list[int]) -> None:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        selected = self._viewer.layers.selection.active
        layer = Labels(
            data,
            name=_NAME,
            opacity=1.0,
            metadata={_MARK: True},
            colormap=DirectLabelColormap(color_dict=_COLOURS),
            **{**placement(image), "translate": _translate_at(image, first)},
        )
        layer.editable = False
        self._viewer.add_layer(layer)
        if selected is not None and selected in self._viewer.layers:
            self._viewer.layers.selection.active = selected
        self._layer, self._image = layer, image
        for event in _moves(image):
            event.connect(self._image_moved)


def _moves(image: Image) -> list[Any]:
    """The events that say that an image lies elsewhere."""
    names = ("scale", "translate", "rotate", "shear", "affine")
    return [getattr(image.events, name) for name in names]


def _expand(plane: NDArray[Any], index: PlaneIndex) -> NDArray[Any]:
    """Give the plane an axis of length 1 for each axis that is not displayed."""
    return plane[tuple(entry if isinstance(entry, slice) else None for entry in index)]


def _crop(
    pieces: Sequence[Piece], width: int
) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """First pixel and content of the part of a plane that holds the pieces."""
    if not pieces:
        return (0, 0), np.zeros((1, 1), np.uint8)
    regions = [piece.region for piece in pieces]
    rows, cols = (
        slice(min(r[a].start for r in regions), max(r[a].stop for r in regions))
        for a in (0, 1)
    )
    crop = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint8)
    for piece in pieces:
        shifted = piece.origin[0] - rows.start, piece.origin[1] - cols.start
        part = crop[window_at(shifted, piece.mask.shape)]
        part[piece.mask] = _OUTLINE
        part[binary_erosion(piece.mask, iterations=width)] = _INSIDE
    return (rows.start, cols.start), crop


def _first(index: PlaneIndex, origin: tuple[int, int]) -> list[int]:
    """Position in the image of a plane's pixel."""
    inside = iter(origin)
    return [next(inside) if isinstance(entry, slice) else entry for entry in index]


def _translate_at(image: Image, first: list[int]) -> NDArray[np.float64]:
    """The translation that puts the preview's first pixel on the image's.

    Scale, rotation, shear and affine are the image's own, so that the slider keeps
    its steps; the affine is applied after the translation, hence its inverse.
    """
    shift = layer_affine(image)[:-1, :-1] @ np.array(first, float)
    moved: NDArray[np.float64] = np.asarray(image.translate) + np.linalg.solve(
        np.asarray(image.affine.linear_matrix), shift
    )
    return moved
