"""Keeps the edges of boxes thin on the screen, whatever the zoom of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superqt.utils import QSignalDebouncer

from napari_sam.plugin.layers.prompt_layers import fit_edges
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.layers.visible_region import camera_of, visible_window

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_sam.plugin.session import SamSession

# The zoom changes many times at a turn of the mouse wheel.
_REST_MS = 150


class BoxLines:
    """Watches the zoom of a viewer, and fits the edges of the boxes of a session.

    Parameters
    ----------
    session : SamSession
        Knows image and boxes.
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
        """Fit the edges of the boxes to the part of the image that is visible."""
        settings = self._session.settings
        shapes = settings.present(settings.shapes_layer)
        try:
            image = settings.require_image()
            plane = displayed_plane(image, settings.viewer.dims)
        except ValueError:  # no image, a 3D view, or a slider outside the image
            return
        visible = visible_window(settings.viewer, image, plane)
        if shapes is not None and visible is not None:
            fit_edges(shapes, min(visible.shape))

    def close(self) -> None:
        """Stop watching."""
        self._rest.cancel()
        self._rest.flush(restart_timer=False)
        self._zoom.disconnect(self._on_zoom)

    def _on_zoom(self, _: Any = None) -> None:
        self._rest.throttle()
