"""Dock of the training panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QWidget

    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.training.panel import TrainingPanel


class TrainingDock:
    """Opens one training panel beside the widget.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the dock.
    session : SamSession
        Its model is trained.
    runner : RequestRunner
        Runs the training.
    owner : QWidget
        The panel closes with it.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        session: SamSession,
        runner: RequestRunner,
        owner: QWidget,
    ) -> None:
        self._viewer, self._session = viewer, session
        self._runner, self._owner = runner, owner
        self._panel: TrainingPanel | None = None

    def open(self) -> TrainingPanel:
        """Show the panel, with the layers that are chosen in the session."""
        from napari_sam.plugin.training.panel import TrainingPanel

        if self._panel is None:
            self._panel = TrainingPanel(self._viewer, self._session, self._runner)
            self._panel.native.destroyed.connect(self._forget)
            self._owner.destroyed.connect(self.close)
        if self._panel.native.parent() is None:  # new, or its dock was closed
            self._viewer.window.add_dock_widget(
                self._panel, name="Train on labels", area="right", tabify=True
            )
        self._panel.image.select(self._session.image_layer)
        self._panel.labels_layer.select(self._session.labels_layer)
        self._panel.refresh()
        return self._panel

    def close(self, _: Any = None) -> None:
        """Stop the training."""
        if self._panel is not None:
            self._panel.close_panel()

    def remove(self) -> None:
        """Stop the training, and remove the dock."""
        panel = self._panel
        if panel is None:
            return
        panel.close_panel()
        if panel.native.parent() is not None:
            self._viewer.window.remove_dock_widget(panel.native)
        panel.native.deleteLater()

    def _forget(self, _: Any = None) -> None:
        self._panel = None
