"""Key bindings of the widget, on keys that no napari layer uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_sam.plugin.layers.prompt_layers import is_plugin_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    class Keys(Protocol):
        """{name: key}."""

        def __getitem__(self, name: str) -> str: ...


# Default keys. Keys of the active layer take precedence over keys of the viewer. These
# letters are used by no layer and no menu of napari 0.6.6 to 0.9. The left hand reaches
# most of them while the right hand holds the mouse.
ACCEPT, DISCARD, NEXT, POLARITY, PREVIOUS = "W", "Q", "N", "G", "J"
DOUBTFUL, REFINE = "U", "K"
SWITCH_POINTS = "switch_points"
"""Action of the key `POLARITY`, which no button has."""

# On the plugin's own prompt layers only: the Labels layer has its own undo.
UNDO = "Control-Z"


class KeyBindings:
    """Key bindings on a viewer and on prompt layers, as long as the widget is open.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer. Keys that are already bound are skipped.
    actions : mapping
        {name: action}.
    keys : mapping
        {name: key}.
    undo : callable
        Action of the undo key on the prompt layers of the plugin.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        actions: Mapping[str, Callable[[], object]],
        keys: Keys,
        undo: Callable[[], None] | None = None,
    ) -> None:
        self._viewer, self._actions, self._undo = viewer, actions, undo
        self._keys = keys
        self._layers: list[Layer] = []
        self.bound: frozenset[str] = frozenset()
        """The keys that are bound on the viewer."""
        self.open()

    def open(self) -> None:
        """Bind the keys of the viewer."""
        if not self.bound:
            used = {str(key) for key in self._viewer.keymap}
            actions = {self._keys[name]: run for name, run in self._actions.items()}
            self.bound = frozenset(actions.keys() - used)
            for key in self.bound:
                self._viewer.bind_key(key, _ignore_viewer(actions[key]))

    def follow(self, layers: Sequence[Layer | None]) -> None:
        """Bind the undo key on those of the layers that the plugin made."""
        own = [la for la in layers if la is not None and is_plugin_layer(la)]
        for layer in self._layers:
            if layer not in own:
                layer.bind_key(UNDO, None)
        for layer in own:
            if layer not in self._layers and self._undo is not None:
                layer.bind_key(UNDO, _ignore_viewer(self._undo), overwrite=True)
        self._layers = own

    def close(self) -> None:
        """Unbind the keys."""
        self.follow([])
        self._unbind()

    def _unbind(self) -> None:
        for key in self.bound:
            self._viewer.bind_key(key, None)
        self.bound = frozenset()

    def bind_anew(self) -> None:
        """Bind the keys that are chosen now."""
        if self.bound:  # otherwise the panel rests
            self._unbind()
            self.open()


def _ignore_viewer(action: Callable[[], object]) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        action()

    return run
