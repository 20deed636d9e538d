"""The waiting result on the canvas: a labels layer of one plane, ours alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_erosion

from napari_sam.images.axes import plane_sides
from napari_sam.masks.patch import window_at
from napari_sam.plugin.layers.transforms import (
    layer_affine,
    spatial_shape,
    transform_kwargs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.painting import ObjectPlaneMask

    Region = tuple[slice, slice]

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
# Side in pixels: objects within one tile are drawn without a new layout of the layer.
_TILE = 1024


def is_preview(layer: Layer) -> bool:
    """Whether the layer only shows what waits; nothing is to be written into it."""
    return bool(layer.metadata.get(_MARK))


class PreviewLayer:
    """Shows the pieces that lie on one plane; costs the memory of their tiles.

    Parameters
    ----------
    viewer : ViewerModel
        Gets one layer when there is first something to show. Between objects it is
        blank, as napari takes long to add, hide or move one; it goes with its image.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._window: _Window | None = None
        self._drawn: Region | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, while it is in the viewer."""
        return self._layer if self._layer in self._viewer.layers else None

    @property
    def is_shown(self) -> bool:
        """Whether the canvas shows a result."""
        layer = self.layer
        return layer is not None and layer.visible and self._drawn is not None

    def show(
        self,
        image: Image,
        pieces: Sequence[ObjectPlaneMask],
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
        shape = spatial_shape(image)
        region, drawing = _draw(here, min(plane_sides(shape, index)))
        layer, window = self.layer, self._window
        if layer is None:
            window = _Window.around(region, index, shape)
            self._add(image, window)
        elif window is None or not window.holds(region, index, shape):
            window = _Window.around(region, index, shape)
            # Hidden while place and data change: no frame shows one without the other.
            layer.visible = False
            layer.data = window.blank()
            self._drawn = None
        assert self.layer is not None
        self._window = window
        self._fill(self.layer, image, window, region, drawing)

    def _fill(
        self,
        layer: Labels,
        image: Image,
        window: _Window,
        region: Region,
        drawing: NDArray[np.uint8],
    ) -> None:
        """Draw in place: new data or transforms cost napari many times as much."""
        self._place(layer, image, window.first)
        self._erase(layer, window)
        window.part(layer.data, region)[...] = drawing
        self._drawn = region
        if layer.visible:
            layer.refresh(extent=False, thumbnail=False, highlight=False)
        else:
            layer.visible = True

    def _erase(self, layer: Labels, window: _Window) -> None:
        if self._drawn is not None:
            window.part(layer.data, self._drawn)[...] = 0
            self._drawn = None

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
        layer, image, window = self.layer, self._image, self._window
        if layer is None or image is None:
            return
        if image not in self._viewer.layers:
            self.remove()
        elif window is None or not window.stays(image, self._viewer.dims.ndisplay):
            self._drop(layer, image)
        elif self._drawn is not None:
            self._erase(layer, window)
            self._place(layer, image, window.first)
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _drop(self, layer: Labels, image: Image) -> None:
        """Keep no memory, and widen no sliders."""
        self._window = self._drawn = None
        layer.visible = False
        if layer.data.size > 1:
            layer.data = np.zeros((1,) * layer.ndim, np.uint8)
        self._place(layer, image, [0] * layer.ndim)

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self._layer = self.layer, None
        if self._image is not None:
            for event in _moves(self._image):
                event.disconnect(self._image_moved)
        self._image = self._window = self._drawn = None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _image_moved(self, _: Any = None) -> None:
        """Follow while blank: where it lies decides the range of the sliders."""
        if self.layer is not None and self._image is not None and not self.is_shown:
            self._drop(self.layer, self._image)

    @staticmethod
    def _place(layer: Labels, image: Image, first: list[int]) -> None:
        wanted = {**transform_kwargs(image), "translate": _translate_at(image, first)}
        for name, value in wanted.items():
            # Each change redraws the list of layers.
            if not np.array_equal(np.asarray(getattr(layer, name)), np.asarray(value)):
                setattr(layer, name, value)

    def _add(self, image: Image, window: _Window) -> None:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        selected = self._viewer.layers.selection.active
        layer = Labels(
            window.blank(),
            name=_NAME,
            opacity=1.0,
            metadata={_MARK: True},
            colormap=DirectLabelColormap(color_dict=_COLOURS),
            **{
                **transform_kwargs(image),
                "translate": _translate_at(image, window.first),
            },
        )
        layer.editable = False
        self._viewer.add_layer(layer)
        if selected is not None and selected in self._viewer.layers:
            self._viewer.layers.selection.active = selected
        self._layer, self._image, self._drawn = layer, image, None
        for event in _moves(image):
            event.connect(self._image_moved)


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a plane that the layer covers: whole tiles.

    Parameters
    ----------
    index : PlaneIndex
        The plane.
    region : tuple of slice
        Rows and columns of the plane.
    shape : tuple of int
        Of the image.
    """

    index: PlaneIndex
    region: Region
    shape: tuple[int, ...]

    @classmethod
    def around(
        cls, region: Region, index: PlaneIndex, shape: tuple[int, ...]
    ) -> _Window:
        """The tiles that a region touches."""
        rows, cols = (
            slice(
                part.start // _TILE * _TILE, min(-(-part.stop // _TILE) * _TILE, side)
            )
            for part, side in zip(region, plane_sides(shape, index), strict=True)
        )
        return cls(index, (rows, cols), shape)

    def holds(self, region: Region, index: PlaneIndex, shape: tuple[int, ...]) -> bool:
        """Whether a region of a plane can be drawn in it."""
        inside = all(
            mine.start <= part.start and part.stop <= mine.stop
            for mine, part in zip(self.region, region, strict=True)
        )
        return inside and index == self.index and shape == self.shape

    def stays(self, image: Image, ndisplay: int) -> bool:
        """Whether it is worth its memory while nothing is shown."""
        small = all(part.stop - part.start <= _TILE for part in self.region)
        return small and ndisplay == 2 and spatial_shape(image) == self.shape

    def blank(self) -> NDArray[np.uint8]:
        """Nothing, with an axis of length 1 for each axis that is not displayed."""
        rows, cols = (part.stop - part.start for part in self.region)
        plane = np.zeros((rows, cols), np.uint8)
        return plane[
            tuple(entry if isinstance(entry, slice) else None for entry in self.index)
        ]

    def part(self, data: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
        """View of a region of the plane in the layer's data."""
        inside = iter(
            slice(part.start - mine.start, part.stop - mine.start)
            for mine, part in zip(self.region, region, strict=True)
        )
        return data[
            tuple(next(inside) if isinstance(e, slice) else 0 for e in self.index)
        ]

    @property
    def first(self) -> list[int]:
        """Position in the image of the first pixel."""
        inside = (part.start for part in self.region)
        return [next(inside) if isinstance(e, slice) else e for e in self.index]


def _moves(image: Image) -> list[Any]:
    """The events that say that an image lies elsewhere, or is another one."""
    names = ("data", "scale", "translate", "rotate", "shear", "affine")
    return [getattr(image.events, name) for name in names]


def _draw(
    pieces: Sequence[ObjectPlaneMask], side: int
) -> tuple[Region, NDArray[np.uint8]]:
    """The part of a plane that holds the pieces, and their tints and outlines."""
    width = max(1, round(side * _OUTLINE_SHARE))
    regions = [piece.region for piece in pieces]
    rows, cols = (
        slice(min(r[a].start for r in regions), max(r[a].stop for r in regions))
        for a in (0, 1)
    )
    drawing = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint8)
    for piece in pieces:
        shifted = piece.origin[0] - rows.start, piece.origin[1] - cols.start
        part = drawing[window_at(shifted, piece.mask.shape)]
        part[piece.mask] = _OUTLINE
        part[binary_erosion(piece.mask, iterations=width)] = _INSIDE
    return (rows, cols), drawing


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
