"""Encodes the slice one looks at and the next ones, while nothing else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_sam.plugin.layers.displayed_stack import planes_ahead
from napari_sam.plugin.layers.transforms import displayed_plane

if TYPE_CHECKING:
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.session import SamSession
    from napari_sam.requests.view import ImageView

# Somebody who looks at a slice for so long may want to segment it.
_REST_MS = 400


class Prefetcher:
    """Watches the sliders of a viewer.

    Parameters
    ----------
    session : SamSession
        Knows image and model.
    runner : RequestRunner
        Encodes when it has nothing else to do.
    parent : QObject
        Owns the timer.
    """

    def __init__(
        self, session: SamSession, runner: RequestRunner, parent: QObject
    ) -> None:
        self._session, self._runner = session, runner
        self._last: tuple[int, ...] = ()
        self._step = 1
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(self.encode)
        session.viewer.dims.events.current_step.connect(self.rest)

    def rest(self, _: Any = None) -> None:
        """The viewer shows another slice: encode it once it stays."""
        step = tuple(self._session.viewer.dims.current_step)
        if len(step) == len(self._last) and step != self._last:
            self._step = 1 if step > self._last else -1
        self._last = step
        self._timer.start()

    def encode(self) -> None:
        """Encode the displayed slice and its neighbour in the direction of scrolling.

        Only where something was segmented before: otherwise nobody may want to.
        """
        if not len(self._session.cache):
            return
        try:
            view, planes = self._planes()
        except ValueError:  # there is nothing to segment here
            return
        self._runner.encode_ahead(view, planes)

    def _planes(self) -> tuple[ImageView, list[PlaneIndex]]:
        """Return the displayed plane of the image, and the next one of its stack."""
        settings = self._session.settings
        image = settings.require_image()
        plane = displayed_plane(image, settings.viewer.dims)
        view = settings.view.of(image)
        return view, planes_ahead(view, image.name, plane, self._step, settings.axis)

    def close(self) -> None:
        """Stop watching."""
        self._timer.stop()
        self._session.viewer.dims.events.current_step.disconnect(self.rest)
