"""Shows the pending result of a session in the preview layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.layers.label_prompt import LabelPrompt
from napari_sam.plugin.layers.transforms import displayed_plane

if TYPE_CHECKING:
    from napari_sam.plugin.background.object_picking import ObjectPicking
    from napari_sam.plugin.layers.preview_layer import PreviewLayer
    from napari_sam.plugin.session import SamSession


class PreviewDisplay:
    """Keeps the preview up to date with the pending result and the displayed plane.

    Until a label that is refined has a result, the label itself is outlined.

    Parameters
    ----------
    session : SamSession
        Has the pending result.
    preview : PreviewLayer
        Shows it.
    picking : ObjectPicking
        Lets the user click the objects of an automatic segmentation.
    """

    def __init__(
        self, session: SamSession, preview: PreviewLayer, picking: ObjectPicking
    ) -> None:
        self._session, self._preview, self._picking = session, preview, picking

    def update(self, rests: bool = False) -> None:
        """Show what is pending on the displayed plane; nothing when the panel rests."""
        session, preview = self._session, self._preview
        shown = None if rests else session.pending or session.history.label_prompt
        if shown is None or shown.image not in session.viewer.layers:
            self._picking.offer(None)
            preview.hide()
            return
        try:
            plane = displayed_plane(shown.image, session.viewer.dims)
        except ValueError:  # a 3D view, or a slider outside the image
            preview.hide()
            return
        index = plane.plane_index()
        if isinstance(shown, LabelPrompt):
            self._picking.offer(None)
            preview.show(shown.image, [shown.piece], index)
            return
        preview.show(
            shown.image,
            session.current.corrections.pieces(shown, index),
            index,
            shown.windows,
            shown.result.unlikely,
            session.settings.present(session.labels_layer),
        )
        self._picking.offer(shown)
