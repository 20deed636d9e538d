"""Watches prompt layers, image and sliders, and reports changes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from superqt.utils import QSignalDebouncer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from qtpy.QtCore import QObject

# A zero delay joins the changes of a drag or a pasted list, and lets the window draw
# the prompt first: drawing beside the decoder, which shares the interpreter's lock,
# would slow the decoder down.
_DELAY_MS = 0
# Layers also report a change before it happens.
_DONE = ("added", "changed", "removed")


class LayerWatcher:
    """Emits `happened` once after any number of changes.

    It emits `drawn` at once, with the Shapes layer on which a shape was drawn by hand,
    and `tool_changed` when the drawing tool or the polarity of a layer was changed.

    Parameters
    ----------
    viewer : ViewerModel
        Its sliders are watched.
    parent : QObject
        Owner of the timer.
    """

    happened = Signal()
    drawn = Signal(object)
    tool_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        self._prompts: list[Layer] = []
        self._image: Image | None = None
        self._drawing: Layer | None = None
        self._pressed = False
        self._viewer = viewer
        viewer.mouse_drag_callbacks.append(self._on_press)
        self._changes = QSignalDebouncer(parent=parent)
        self._changes.setTimeout(_DELAY_MS)
        self._changes.triggered.connect(self.happened.emit)
        dims = viewer.dims.events
        self._sliders = (
            dims.current_step,
            dims.order,
            dims.ndisplay,
            dims.margin_left,
            dims.margin_right,
        )
        for event in self._sliders:
            event.connect(self.notice)

    def follow(self, prompts: Sequence[Layer | None], image: Image | None) -> None:
        """Watch these layers instead of the earlier ones."""
        layers = [layer for layer in prompts if layer is not None]
        for layer in self._prompts:
            if layer not in layers:
                for event, callback in self._connections(layer):
                    event.disconnect(callback)
        for layer in layers:
            if layer not in self._prompts:
                for event, callback in self._connections(layer):
                    event.connect(callback)
        self._prompts = layers
        if image is not self._image:
            for event in _image_events(self._image):
                event.disconnect(self.notice)
            for event in _image_events(image):
                event.connect(self.notice)
            self._image = image

    def notice(self, _: Any = None) -> None:
        """Note a change that a segmentation depends on."""
        self._changes.throttle()

    def close(self) -> None:
        """Stop watching."""
        self._changes.cancel()
        self._changes.flush(restart_timer=False)
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self.follow([], None)
        for event in self._sliders:
            event.disconnect(self.notice)

    def _connections(self, layer: Layer) -> list[tuple[Any, Callable[[Any], None]]]:
        events = layer.events
        return [
            (events.data, self._on_data),
            (events.features, self.notice),
            (events.visible, self.notice),
            (events.mode, self._on_tool),
            (events.feature_defaults, self._on_tool),
        ]

    def _on_data(self, event: Any) -> None:
        action = getattr(event, "action", "changed")
        layer = event.source
        if action in _DONE:
            if action == "added" and layer is self._drawing:
                self.drawn.emit(layer)
                self._drawing = None
            self.notice()
        elif action == "adding":
            self._drawing = layer if self._pressed else None

    def _on_press(self, _: ViewerModel, event: Any) -> Iterator[None]:
        """Note that the mouse is pressed: what is added now is drawn by hand."""
        self._pressed = True
        yield
        while event.type == "mouse_move":
            yield
        self._pressed = False

    def _on_tool(self, _: Any) -> None:
        self.tool_changed.emit()


def _image_events(image: Image | None) -> list[Any]:
    if image is None:
        return []
    names = ("data", "contrast_limits", "scale", "translate", "rotate", "affine")
    return [getattr(image.events, name) for name in (*names, "projection_mode")]
