"""Picking of objects among those that automatic segmentation found, by clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.automatic.candidates import Candidates
    from napari_sam.plugin.layers.preview_layer import PreviewLayer
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.pending_result import PendingResult


class ObjectPicking:
    """Turns clicks on the preview of a plane into objects that are added or left out.

    Parameters
    ----------
    session : SamSession
        The session whose `thresholds` change.
    preview : PreviewLayer
        The preview, which is selected once when a result is new.
    changed : callable
        Called after a change of the thresholds.
    """

    def __init__(
        self, session: SamSession, preview: PreviewLayer, changed: Callable[[], None]
    ) -> None:
        self._session, self._preview, self._changed = session, preview, changed
        self._offered: Candidates | None = None
        preview.clicked.connect(self._toggle)

    def offer(self, pending: PendingResult | None) -> None:
        """Let the user click, when a new result can be changed by it."""
        candidates = None if pending is None else pending.pickable
        if candidates is self._offered:
            return
        self._offered = candidates
        if candidates is None:
            self._preview.end_clicks()
        else:
            self._preview.let_click()

    def _toggle(self, position: tuple[float, ...]) -> None:
        session, pending = self._session, self._session.pending
        if pending is not None:
            session.thresholds = pending.toggle(session.thresholds, position)
            self._changed()
