"""Key bindings of the widget, on keys that no napari layer uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel

# Keys of the active layer take precedence over keys of the viewer. These letters are
# used by no layer and no menu of napari 0.6.6 to 0.9. The left hand reaches most of
# them while the right hand holds the mouse.
ACCEPT, DISCARD, NEXT, POLARITY, PREVIOUS = "W", "Q", "N", "G", "J"
DOUBTFUL = "U"


class KeyBindings:
    """Key bindings on a viewer, as long as the widget is open.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer. Keys that are already bound are skipped.
    actions : mapping
        {key: action}.
    """

    def __init__(
        self, viewer: ViewerModel, actions: Mapping[str, Callable[[], None]]
    ) -> None:
        self._viewer = viewer
        used = {str(key) for key in viewer.keymap}
        self.bound = frozenset(actions.keys() - used)
        """The keys that were bound."""
        for key in self.bound:
            viewer.bind_key(key, _ignore_viewer(actions[key]))

    def close(self) -> None:
        """Unbind the keys."""
        for key in self.bound:
            self._viewer.bind_key(key, None)
        self.bound = frozenset()


def _ignore_viewer(action: Callable[[], None]) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        action()

    return run
