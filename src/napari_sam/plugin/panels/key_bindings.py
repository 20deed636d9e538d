"""Keys of the widget: ones that no napari layer uses for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel

# Keys of the active layer come before those of the viewer. These letters are used by
# no layer type and by no menu of napari 0.6.6 to 0.9; all lie under the left hand or
# the thumb's reach while the right one holds the mouse.
ACCEPT, DISCARD, NEXT, POLARITY, PREVIOUS = "W", "Q", "N", "G", "J"
DOUBT = "U"


class KeyBindings:
    """Binds keys on a viewer for as long as the widget is open.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are bound; a key that someone else bound is left alone.
    actions : mapping
        {key: what it does}.
    """

    def __init__(
        self, viewer: ViewerModel, actions: Mapping[str, Callable[[], None]]
    ) -> None:
        self._viewer = viewer
        self._bound: dict[str, Callable[[Any], None]] = {}
        taken = {str(key) for key in viewer.keymap}
        for key, action in actions.items():
            if key not in taken:
                self._bound[key] = _ignoring_viewer(action)
                viewer.bind_key(key, self._bound[key])

    @property
    def bound(self) -> frozenset[str]:
        """The keys that work here."""
        return frozenset(self._bound)

    def close(self) -> None:
        """Give the keys back."""
        for key in self._bound:
            self._viewer.bind_key(key, None)
        self._bound = {}


def _ignoring_viewer(action: Callable[[], None]) -> Callable[[Any], None]:
    def run(_: Any) -> None:
        action()

    return run
