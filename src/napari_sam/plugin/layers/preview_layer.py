"""Preview layer: the pending result on the displayed plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
from psygnal import Signal

from napari_sam.images.axes import plane_sides
from napari_sam.plugin.colors import NAMES
from napari_sam.plugin.layers.preview.colors import choose_colors, colors_beside
from napari_sam.plugin.layers.preview.drawing import COLORS, draw_preview
from napari_sam.plugin.layers.preview.window import PreviewWindow
from napari_sam.plugin.layers.transforms import (
    layer_affine,
    spatial_shape,
    transform_kwargs,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.images.window import Window
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.plugin.layers.preview.window import Region

_NAME = "SAM preview"
_METADATA_KEY = "napari_sam_preview"
# The mouse moves less than this during a click, in pixels of the canvas.
_CLICK_PIXELS = 4


def is_preview(layer: Layer) -> bool:
    """Whether the layer is the preview, which must not be written to."""
    return bool(layer.metadata.get(_METADATA_KEY))


class PreviewLayer:
    """A Labels layer that shows the masks of one plane.

    The layer covers only the tiles around the masks. It is blank between objects,
    because napari is slow to add, hide or move a layer, and is removed with its image.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that gets the layer, once there is something to show.
    color : str
        Name of the colour of a single object.

    Attributes
    ----------
    clicked : Signal
        Emits the position of a click while the layer is selected, in pixels of the
        image.
    """

    clicked = Signal(tuple)

    def __init__(self, viewer: ViewerModel, color: str = "sky blue") -> None:
        self._first = list(NAMES).index(color) if color in NAMES else 0
        self._viewer = viewer
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._window: PreviewWindow | None = None
        self._drawn: Region | None = None  # the part of the window that is not blank
        self._active_before: Layer | None = None

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
        windows: Sequence[Window] = (),
        unlikely: Sequence[ObjectPlaneMask] = (),
        labels: Labels | None = None,
    ) -> None:
        """Show the masks that lie on the plane `index` of the image.

        The windows of the plane that the model saw are framed; unlikely objects are
        faint. No object has the colour of its neighbours, nor of those in `labels`.
        """
        on_plane = [piece for piece in pieces if piece.plane_index == index]
        faint = [piece for piece in unlikely if piece.plane_index == index]
        if not on_plane and not faint:
            self.hide()
            return
        if image is not self._image:
            # napari 0.6.6 keeps the old transform when the data change their ndim.
            self.remove()
        shape = spatial_shape(image)
        side = min(plane_sides(shape, index))
        beside = colors_beside(on_plane, image, labels, self._viewer.dims)
        region, drawing = draw_preview(
            on_plane, windows, side, faint, choose_colors(on_plane, beside, self._first)
        )
        layer, window = self.layer, self._window
        if layer is None:
            window = PreviewWindow.around(region, index, shape)
            layer = self._add(image, window)
        elif window is None or not window.contains(region, index, shape):
            window = PreviewWindow.around(region, index, shape)
            # Hidden, so that no frame shows the new data at the old place.
            layer.visible = False
            layer.data = window.blank()
            self._drawn = None
        self._window = window
        # Draw in place: new data or transforms are many times slower in napari.
        self._move(layer, image, window.first_pixel)
        self._erase(layer, window)
        window.part(layer.data, region)[...] = drawing
        self._drawn = region
        if layer.visible:
            layer.refresh(extent=False, thumbnail=False, highlight=False)
        else:
            layer.visible = True

    def let_click(self) -> None:
        """Select the layer, so that clicks on the canvas are told by `clicked`."""
        selection = self._viewer.layers.selection
        if self.layer is not None and selection.active is not self.layer:
            self._active_before = selection.active
            selection.active = self.layer

    def end_clicks(self) -> None:
        """Select the layer that was selected before, if this one still is."""
        before, self._active_before = self._active_before, None
        selection = self._viewer.layers.selection
        is_active = self.layer is not None and selection.active is self.layer
        if is_active and before in self._viewer.layers:
            selection.active = before

    def _on_mouse(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        """Tell of a click that was no drag, in pixels of the image."""
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        window = self._window
        is_click = np.abs(np.array(event.pos) - start).max() <= _CLICK_PIXELS
        if is_click and window is not None:
            at = np.asarray(layer.world_to_data(event.position)) + window.first_pixel
            self.clicked.emit(tuple(at.tolist()))

    def hide(self) -> None:
        """Show nothing, until the next `show`."""
        layer, image, window = self.layer, self._image, self._window
        if layer is None or image is None:
            return
        if image not in self._viewer.layers:
            self.remove()
        elif (
            window is None
            or not window.is_small
            or self._viewer.dims.ndisplay != 2
            or spatial_shape(image) != window.shape
        ):
            self._shrink(layer, image)
        elif self._drawn is not None:
            self._erase(layer, window)
            self._move(layer, image, window.first_pixel)
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def remove(self) -> None:
        """Remove the layer from the viewer."""
        layer, self._layer = self.layer, None
        if self._image is not None:
            for event in _transform_events(self._image):
                event.disconnect(self._on_image_changed)
        self._image = self._window = self._drawn = None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def to_top(self) -> None:
        """Move the layer above those that were added since.

        Do not call this while a layer is being added: moving a layer then confuses
        napari's layer list.
        """
        layers = self._viewer.layers
        if self.layer is not None and self.layer is not layers[-1]:
            layers.move(layers.index(self.layer), -1)

    def _add(self, image: Image, window: PreviewWindow) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        selected = self._viewer.layers.selection.active
        layer = Labels(
            window.blank(),
            name=_NAME,
            opacity=1.0,
            metadata={_METADATA_KEY: True},
            colormap=DirectLabelColormap(color_dict=COLORS),
            **_transform_at(image, window.first_pixel),
        )
        layer.editable = False
        on_mouse = WeakMethod(self._on_mouse)  # as napari keeps callbacks of events

        def follow_mouse(layer: Labels, event: Any) -> Any:
            method = on_mouse()
            return None if method is None else method(layer, event)

        layer.mouse_drag_callbacks.append(follow_mouse)
        self._viewer.add_layer(layer)
        if selected is not None and selected in self._viewer.layers:
            self._viewer.layers.selection.active = selected
        self._layer, self._image, self._drawn = layer, image, None
        for event in _transform_events(image):
            event.connect(self._on_image_changed)
        return layer

    def _erase(self, layer: Labels, window: PreviewWindow) -> None:
        if self._drawn is not None:
            window.part(layer.data, self._drawn)[...] = 0
            self._drawn = None

    def _shrink(self, layer: Labels, image: Image) -> None:
        """Hide the layer and shrink it to a pixel: no memory, no longer sliders."""
        self._window = self._drawn = None
        layer.visible = False
        if layer.data.size > 1:
            layer.data = np.zeros((1,) * layer.ndim, np.uint8)
        self._move(layer, image, [0] * layer.ndim)

    def _on_image_changed(self, _: Any = None) -> None:
        """Follow the image while blank, because the layer extends the sliders."""
        if self.layer is not None and self._image is not None and not self.is_shown:
            self._shrink(self.layer, self._image)

    @staticmethod
    def _move(layer: Labels, image: Image, first_pixel: list[int]) -> None:
        for name, value in _transform_at(image, first_pixel).items():
            # Each change redraws the layer list.
            if not np.array_equal(np.asarray(getattr(layer, name)), np.asarray(value)):
                setattr(layer, name, value)


def _transform_events(image: Image) -> list[Any]:
    """Return the events of an image whose extent or transform changes."""
    names = ("data", "scale", "translate", "rotate", "shear", "affine")
    return [getattr(image.events, name) for name in names]


def _transform_at(image: Image, first_pixel: list[int]) -> dict[str, Any]:
    """Return the transform that puts the first pixel of the layer on the image's.

    Only the translation differs from the image, so that the sliders keep their steps.
    napari applies the affine after the translation, hence its inverse.
    """
    shift = layer_affine(image)[:-1, :-1] @ np.array(first_pixel, float)
    moved = np.linalg.solve(np.asarray(image.affine.linear_matrix), shift)
    return {
        **transform_kwargs(image),
        "translate": np.asarray(image.translate) + moved,
    }
