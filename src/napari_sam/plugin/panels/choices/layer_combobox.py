"""Combo box of the layers of one type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal

from napari_sam.plugin.layers.preview_layer import is_preview
from napari_sam.plugin.layers.prompt_layers import is_plugin_layer
from napari_sam.plugin.panels.controls import keep_narrow

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

_LAYER_LIST_EVENTS = {"inserted", "removed", "reordered", "name"}
_NO_VALUE = object()


class LayerComboBox:
    """A combo box of the layers of one type, and an entry for no layer.

    It follows layers that are added, removed, renamed and reordered. napari updates
    magicgui's own layer combo boxes only in docked widgets and, before 0.7, not after
    renaming; and magicgui, which compares names, would lose a renamed choice.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers.
    kind : type
        Type of the layers.
    label : str
        Label of the combo box.
    no_layer : callable
        Returns the text of the entry for no layer.
    tooltip : str
        Explanation of the combo box.
    """

    changed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        kind: type[Layer],
        label: str,
        no_layer: Callable[[], str],
        tooltip: str,
    ) -> None:
        self._viewer, self._kind, self._no_layer = viewer, kind, no_layer
        self.combo = ComboBox(label=label, choices=self._choices, tooltip=tooltip)
        # None is a choice too, which magicgui would otherwise not emit.
        self.combo.null_value = _NO_VALUE
        self.combo.changed.connect(self._emit)
        keep_narrow(self.combo)
        self._last: Layer | None = None
        self._offered = self._choices()
        # The list of layers also passes on the events of its layers.
        viewer.layers.events.connect(self._on_event)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.combo.value

    def select(self, layer: Layer | None) -> None:
        """Choose a layer of the viewer."""
        self.update()
        self.combo.value = layer

    def select_sample(self, layer: Layer) -> None:
        """Choose a prompt layer that came with a sample, unless one is chosen."""
        if self._last is not None or not isinstance(layer, self._kind):
            return
        # Empty ones belong to the widget that makes them.
        if is_plugin_layer(layer) and len(layer.data):
            self.select(layer)

    def disconnect_viewer(self) -> None:
        """Stop following the viewer."""
        self._viewer.layers.events.disconnect(self._on_event)

    def update(self) -> None:
        """Offer the current layers; the choice stays."""
        choices = self._choices()
        if choices == self._offered:
            return
        self._offered = choices
        chosen = self._last
        with self.combo.changed.blocked():
            self.combo.choices = ()
            self.combo.choices = self._choices
            if chosen is not None and chosen in self._viewer.layers:
                self.combo.value = chosen
        self._emit(self.combo.value)

    def _on_event(self, event: Any) -> None:
        if event.type in _LAYER_LIST_EVENTS:
            self.update()

    def _choices(self, _: Any = None) -> list[tuple[str, Layer | None]]:
        layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not is_preview(layer)
        ]
        return [(self._no_layer(), None), *((la.name, la) for la in layers)]

    def _emit(self, layer: Layer | None) -> None:
        if layer is not self._last:
            self._last = layer
            self.changed.emit(layer)


def disconnect_choices(viewer: ViewerModel, reset_choices: Callable[..., Any]) -> None:
    """Disconnect what napari connects of every magicgui widget that it docks."""
    for emitter in viewer.layers.events.emitters.values():
        emitter.disconnect(reset_choices)
