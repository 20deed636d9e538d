"""Find or open the panel of a viewer, and press its buttons."""

# app-model reads the annotations when a command runs.
from typing import TYPE_CHECKING, Any, cast

import napari
from napari.utils.notifications import show_info

from napari_sam.plugin.notifications import notify_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.plugin.series.dock import SeriesWidget
    from napari_sam.plugin.widget import SamWidget

PLUGIN, WIDGET, SERIES = "napari-sam", "Segment Anything", "Image series"
CLOSED = "The window of this viewer is closed: open another viewer."


def open_panel(viewer: napari.Viewer) -> "SamWidget":
    """Return the panel in a dock of a viewer; show the dock, or open one.

    Raises
    ------
    ValueError
        When the window is closed.
    """
    from napari_sam.plugin.widget import SamWidget

    return cast("SamWidget", _dock_of(viewer, SamWidget, WIDGET))


def open_series_dock(viewer: napari.Viewer) -> "SeriesWidget":
    """Return the dock *Image series* of a viewer; show it, or open one.

    Raises
    ------
    ValueError
        When the window is closed.
    """
    from napari_sam.plugin.series.dock import SeriesWidget

    return cast("SeriesWidget", _dock_of(viewer, SeriesWidget, SERIES))


def _dock_of(viewer: napari.Viewer, kind: type, title: str) -> Any:
    try:
        viewer.window.geometry()
    except (AttributeError, RuntimeError) as error:  # napari and Qt deleted it
        raise ValueError(CLOSED) from error
    docked = viewer.window.dock_widgets.values()
    panel: Any = next((w for w in docked if isinstance(w, kind)), None)
    if panel is None:
        _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    else:
        panel.native.parent().show()
    return panel


def press(viewer: napari.Viewer, button: str) -> None:
    """Press a button of the panel; say why when it is disabled."""

    def press_button(panel: "SamWidget") -> None:
        reason = panel.press(button)
        if reason:
            show_info(reason)

    act(viewer, press_button)


def act(viewer: napari.Viewer, action: "Callable[[SamWidget], object]") -> None:
    """Do something with the panel; errors become notifications."""
    notify_errors(lambda: action(open_panel(viewer)))()
