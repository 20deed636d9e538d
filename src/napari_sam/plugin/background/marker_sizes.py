"""Keeps points and edges of boxes at one size on the screen, whatever the zoom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superqt.utils import QSignalDebouncer

from napari_sam.plugin.layers.prompt_layers import fit_edges, fit_points
from napari_sam.plugin.layers.visible_region import camera_of, screen_pixel

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_sam.plugin.session import SamSession

# The zoom changes many times at a turn of the mouse wheel.
_REST_MS = 150


class MarkerSizes:
    """Watches the zoom of a viewer, and fits points and boxes of a session to it.

    Parameters
    ----------
    session : SamSession
        Knows the prompt layers.
    parent : QObject
        Owner of the timer.
    """

    def __init__(self, session: SamSession, parent: QObject) -> None:
        self._session = session
        self._rest = QSignalDebouncer(parent=parent)
        self._rest.setTimeout(_REST_MS)
        self._rest.triggered.connect(self.fit)
        self._zoom = camera_of(session.viewer).events.zoom
        self._zoom.connect(self._on_zoom)

    def fit(self) -> None:
        """Fit the markers of the plugin's own layers to the zoom."""
        settings = self._session.settings
        viewer = settings.viewer
        points = settings.present(settings.points_layer)
        shapes = settings.present(settings.shapes_layer)
        if points is not None:
            fit_points(points, screen_pixel(viewer, points))
        if shapes is not None:
            fit_edges(shapes, screen_pixel(viewer, shapes))

    def close(self) -> None:
        """Stop watching."""
        self._rest.cancel()
        self._rest.flush(restart_timer=False)
        self._zoom.disconnect(self._on_zoom)

    def _on_zoom(self, _: Any = None) -> None:
        self._rest.throttle()
