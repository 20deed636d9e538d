"""Encodes what is displayed, and the next slice, while nothing else runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from superqt.utils import QSignalDebouncer

from napari_sam.plugin.layers.displayed_stack import planes_ahead
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.state.request_builder import zoom_hints
from napari_sam.prediction.zoom.choice import choose_windows
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.from_arrays import view_of_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject

    from napari_sam.images.window import Window
    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.session import SamSession
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.options import Zoom, ZoomHints

# A slice or region that is displayed this long may be segmented next.
_REST_MS = 400
# A window below this part of what is displayed is too likely to miss the next click.
_MIN_COVERED = 0.75


class Prefetcher:
    """Watches sliders and camera of a viewer, and encodes where the user rests.

    Parameters
    ----------
    session : SamSession
        Knows image, model and encoded planes.
    runner : RequestRunner
        Encodes when it has nothing else to do.
    parent : QObject
        Owner of the timer.

    Attributes
    ----------
    rests : bool
        Whether nothing is encoded for now.
    """

    def __init__(
        self, session: SamSession, runner: RequestRunner, parent: QObject
    ) -> None:
        self._session, self._runner = session, runner
        self.rests = False
        self._last: tuple[int, ...] = ()
        self._step = 1
        self._rest = QSignalDebouncer(parent=parent)
        self._rest.setTimeout(_REST_MS)
        self._rest.triggered.connect(self.encode)
        session.viewer.dims.events.current_step.connect(self._on_step)
        camera = camera_of(session.viewer).events
        self._moves = (camera.center, camera.zoom)
        for event in self._moves:
            event.connect(self._on_move)

    def prepare(self, on_change: Callable[[], None]) -> None:
        """Load the model if it is on this computer, and encode what is displayed.

        `on_change` is called when loading begins and ends.
        """
        choice = self._session.model_choice
        if choice.loaded is not None:
            self.encode_now()
        elif choice.is_at_hand:
            self._runner.prepare(self.encode_now, on_change)
            on_change()

    def encode(self) -> None:
        """Encode the displayed slice and its neighbour in the direction of scrolling.

        Of a large plane, the part that a click on what is visible would need. Only
        when something was segmented before, as the user may want to look only.
        """
        if len(self._session.cache):
            self.encode_now()

    def encode_now(self) -> None:
        """Encode what is displayed, also before anything was segmented."""
        settings, predictor = self._session.settings, self._session.model_choice.loaded
        if self.rests or predictor is None:
            return
        try:
            image = settings.require_image()
            plane = displayed_plane(image, settings.viewer.dims)
            view = settings.view.of(image)
        except ValueError:  # no image, a 3D view, or a slider outside the image
            return
        hints = zoom_hints(settings, self._session.history, image, plane)
        windows = windows_ahead(plane.shape, predictor, settings.zoom, hints)
        planes = planes_ahead(view, image.name, plane, self._step, settings.axis)
        self._runner.prefetch(
            view, [(index, window) for index in planes for window in windows]
        )

    def encode_image(
        self, plane: Any, limits: Any, on_encoded: Callable[[], None]
    ) -> None:
        """Encode an image that is opened next, if something was segmented before.

        Parameters
        ----------
        plane : ndarray
            (H, W) or (H, W, 3).
        limits : tuple of float or None
            Its contrast limits; None for colour.
        on_encoded : callable
            Called when that was not interrupted.
        """
        if self.rests or not len(self._session.cache):
            return
        view = view_of_plane(plane, limits)
        index = (slice(None), slice(None))
        self._runner.prefetch(view, [(index, None)], on_encoded)

    def close(self) -> None:
        """Stop watching."""
        self._rest.cancel()
        self._rest.flush(restart_timer=False)
        self._session.viewer.dims.events.current_step.disconnect(self._on_step)
        for event in self._moves:
            event.disconnect(self._on_move)

    def _on_step(self, _: Any = None) -> None:
        step = tuple(self._session.viewer.dims.current_step)
        if len(step) == len(self._last) and step != self._last:
            self._step = 1 if step > self._last else -1
        self._last = step
        self._rest.throttle()

    def _on_move(self, _: Any = None) -> None:
        self._rest.throttle()


def windows_ahead(
    plane_shape: tuple[int, int],
    predictor: PredictorLike,
    zoom: Zoom,
    hints: ZoomHints,
) -> list[Window | None]:
    """Return the windows that a click in the middle of the view would need.

    None stands for the whole plane. Windows that are a small part of the view are left
    out: the next click is likely to lie elsewhere.
    """
    visible = hints.visible
    if visible is None:
        return [None]
    middle = np.add(visible.origin, (np.array(visible.shape) - 1) / 2)
    grid = WindowGrid.of(predictor, plane_shape)
    windows = choose_windows(Prompt(points=[middle]), grid, zoom, hints)
    least = _MIN_COVERED * visible.side
    return [window for window in windows if window is None or window.side >= least]
