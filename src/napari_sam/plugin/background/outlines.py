"""The outlines on the canvas: those of the pending result, or of a picked label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.layers.label_prompt import LabelPrompt
from napari_sam.plugin.layers.transforms import displayed_plane

if TYPE_CHECKING:
    from napari_sam.plugin.background.object_picking import ObjectPicking
    from napari_sam.plugin.layers.preview_layer import PreviewLayer
    from napari_sam.plugin.session import SamSession


class Outlines:
    """Shows what the session has for the displayed plane.

    Parameters
    ----------
    session : SamSession
        The session.
    layer : PreviewLayer
        Shows the outlines.
    picking : ObjectPicking
        Lets the user pick automatic objects.
    """

    def __init__(
        self, session: SamSession, layer: PreviewLayer, picking: ObjectPicking
    ) -> None:
        self._session, self._layer, self._picking = session, layer, picking

    def show(self) -> None:
        """Outline the pending objects, or the label that is refined."""
        session = self._session
        shown = session.pending or session.history.label_prompt
        if shown is None or shown.image not in session.viewer.layers:
            self.hide()
            return
        image = shown.image
        try:
            index = displayed_plane(image, session.viewer.dims).plane_index()
        except ValueError:  # a 3D view, or a slider outside the image
            self._layer.hide()
            return
        if isinstance(shown, LabelPrompt):
            self._picking.offer(None)
            self._layer.show(image, [shown.piece], index)
        else:
            result, windows = shown.result, shown.windows
            self._layer.show(image, result.pieces, index, windows, result.unlikely)
            self._picking.offer(shown)

    def hide(self) -> None:
        """Show nothing."""
        self._picking.offer(None)
        self._layer.hide()
