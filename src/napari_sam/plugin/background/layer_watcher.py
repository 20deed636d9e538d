"""Notices that prompts changed, and says so a moment after the last change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

# Takes a drag or a pasted list as one change. A timer comes after the window has drawn
# the prompt: beside that, for the interpreter's lock, a decoder is far slower.
_PATIENCE_MS = 0
# Layers say that they are about to change as well, before they do.
_DONE = ("added", "changed", "removed")


class LayerWatcher:
    """Watches prompt layers, the image and the sliders of a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Whose sliders are watched.
    parent : QObject
        Owns the timer.
    """

    happened = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        self._viewer = viewer
        self._prompts: list[Layer] = []
        self._image: Image | None = None
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PATIENCE_MS)
        self._timer.timeout.connect(self.happened.emit)
        dims = viewer.dims.events
        for event in (dims.current_step, dims.order, dims.ndisplay):
            event.connect(self.notice)

    def follow(self, prompts: Sequence[Layer | None], image: Image | None) -> None:
        """Watch these layers instead of the ones before."""
        wanted = [layer for layer in prompts if layer is not None]
        for layer in self._prompts:
            if layer not in wanted:
                self._disconnect(layer)
        for layer in wanted:
            if layer not in self._prompts:
                layer.events.data.connect(self._on_data)
                layer.events.features.connect(self.notice)
                layer.events.visible.connect(self.notice)
        self._prompts = wanted
        if image is not self._image:
            if self._image is not None:
                self._leave(self._image)
            if image is not None:
                for event in self._image_events(image):
                    event.connect(self.notice)
            self._image = image

    def notice(self, _: Any = None) -> None:
        """Something changed that the answer depends on."""
        self._timer.start()

    def close(self) -> None:
        """Stop watching."""
        self._timer.stop()
        self.follow([], None)
        self._viewer.dims.events.disconnect(self.notice)

    def _on_data(self, event: Any) -> None:
        if getattr(event, "action", "changed") in _DONE:
            self.notice()

    def _disconnect(self, layer: Layer) -> None:
        layer.events.data.disconnect(self._on_data)
        layer.events.features.disconnect(self.notice)
        layer.events.visible.disconnect(self.notice)

    def _leave(self, image: Image) -> None:
        for event in self._image_events(image):
            event.disconnect(self.notice)

    @staticmethod
    def _image_events(image: Image) -> list[Any]:
        names = ("data", "contrast_limits", "scale", "translate", "rotate", "affine")
        return [getattr(image.events, name) for name in names]
