"""Pieces of the widget: layer choices, rows of buttons, sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container
from psygnal import Signal

from napari_sam.plugin.layers.preview_layer import is_preview
from napari_sam.plugin.layers.prompt_layers import is_plugin_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from magicgui.widgets.bases import Widget
    from napari.components import ViewerModel
    from napari.layers import Layer


_NO_VALUE = object()


class LayerComboBox:
    """A combo box of the viewer's layers of one type.

    It holds layers, not names, and follows layers that are added, removed,
    renamed and moved.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are offered.
    kind : type
        Of the layers.
    label : str
        Beside the box.
    nothing : callable
        Says what the entry for no layer is called.
    """

    changed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        kind: type[Layer],
        label: str,
        nothing: Callable[[], str],
    ) -> None:
        self._viewer, self._kind, self._nothing = viewer, kind, nothing
        self.combo = ComboBox(label=label, choices=self._choices)
        # No layer is a choice too, which magicgui would take for no value and not tell.
        self.combo.null_value = _NO_VALUE
        self.combo.changed.connect(self._emit)
        self._last: Layer | None = None
        self._offered = self._choices()
        self._events = viewer.layers.events
        for event in ("inserted", "removed", "reordered"):
            getattr(self._events, event).connect(self.update)
        # `layers.events.renamed` is younger than napari 0.6.6.
        self._events.inserted.connect(self._follow_name)
        self._events.removed.connect(self._forget_name)
        for layer in viewer.layers:
            layer.events.name.connect(self.update)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.combo.value

    def select(self, layer: Layer | None) -> None:
        """Choose a layer of the viewer."""
        self.update()
        self.combo.value = layer

    def adopt_own(self, layer: Layer) -> None:
        """Choose prompts that came with a sample, when nothing is chosen."""
        if self._last is not None or not isinstance(layer, self._kind):
            return
        # Empty ones belong to the widget that makes them.
        if is_plugin_layer(layer) and len(layer.data):
            self.select(layer)

    def disconnect_viewer(self) -> None:
        """Stop following the viewer."""
        for callback in (self.update, self._follow_name, self._forget_name):
            self._events.disconnect(callback)
        for layer in self._viewer.layers:
            layer.events.name.disconnect(self.update)

    def _follow_name(self, event: Any) -> None:
        event.value.events.name.connect(self.update)

    def _forget_name(self, event: Any) -> None:
        event.value.events.name.disconnect(self.update)

    def _choices(self, _: Any = None) -> list[tuple[str, Layer | None]]:
        layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not is_preview(layer)
        ]
        return [(self._nothing(), None), *((la.name, la) for la in layers)]

    def update(self, _: Any = None) -> None:
        """Offer the layers and names of this moment; the choice stays."""
        choices = self._choices()
        if choices == self._offered:
            return
        self._offered = choices
        # A combo box keeps names: without this a renamed layer would be unchosen,
        # and one that was renamed would move to the end.
        chosen = self._last
        with self.combo.changed.blocked():
            self.combo.choices = ()
            self.combo.choices = self._choices
            if chosen is not None and chosen in self._viewer.layers:
                self.combo.value = chosen
        self._emit(self.combo.value)

    def _emit(self, layer: Layer | None) -> None:
        if layer is not self._last:
            self._last = layer
            self.changed.emit(layer)


def button_row(*widgets: Widget) -> Container[Any]:
    """Widgets side by side, without labels."""
    row = Container(widgets=list(widgets), layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row
