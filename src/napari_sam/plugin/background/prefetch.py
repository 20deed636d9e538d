"""Encodes the displayed slice and the next one while nothing else runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superqt.utils import QSignalDebouncer

from napari_sam.plugin.layers.displayed_stack import planes_ahead
from napari_sam.plugin.layers.transforms import displayed_plane

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.session import SamSession

# A slice that is displayed this long may be segmented next.
_REST_MS = 400


class Prefetcher:
    """Watches the sliders of a viewer, and encodes where the user rests.

    Parameters
    ----------
    session : SamSession
        Knows image, model and encoded planes.
    runner : RequestRunner
        Encodes when it has nothing else to do.
    parent : QObject
        Owner of the timer.
    """

    def __init__(
        self, session: SamSession, runner: RequestRunner, parent: QObject
    ) -> None:
        self._session, self._runner = session, runner
        self._last: tuple[int, ...] = ()
        self._step = 1
        self._rest = QSignalDebouncer(parent=parent)
        self._rest.setTimeout(_REST_MS)
        self._rest.triggered.connect(self.encode)
        session.viewer.dims.events.current_step.connect(self._on_step)

    def encode(self) -> None:
        """Encode the displayed slice and its neighbour in the direction of scrolling.

        Only when something was segmented before, as the user may want to look only.
        """
        settings = self._session.settings
        if not len(self._session.cache):
            return
        try:
            image = settings.require_image()
            plane = displayed_plane(image, settings.viewer.dims)
            view = settings.view.of(image)
        except ValueError:  # no image, a 3D view, or a slider outside the image
            return
        planes = planes_ahead(view, image.name, plane, self._step, settings.axis)
        self._runner.prefetch(view, planes)

    def close(self) -> None:
        """Stop watching."""
        self._rest.cancel()
        self._session.viewer.dims.events.current_step.disconnect(self._on_step)

    def _on_step(self, _: Any = None) -> None:
        step = tuple(self._session.viewer.dims.current_step)
        if len(step) == len(self._last) and step != self._last:
            self._step = 1 if step > self._last else -1
        self._last = step
        self._rest.throttle()
