"""The dock widget that holds the training panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.plugin.training.panel import TrainingPanel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari
    from qtpy.QtWidgets import QWidget

    from napari_sam.checkpoints.families import Family
    from napari_sam.plugin.session import SamSession


class TrainingDock:
    """Opens the training panel beside the widget, once.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is docked.
    session : SamSession
        Its model is trained.
    owner : QWidget
        The panel closes with it.
    use : callable
        Called with the file and the family of a trained model.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        session: SamSession,
        owner: QWidget,
        use: Callable[[Path, Family], None],
    ) -> None:
        self._viewer, self._session, self._owner = viewer, session, owner
        self._use = use
        self._panel: TrainingPanel | None = None

    def open(self) -> TrainingPanel:
        """Show the panel, with the layers that are chosen in the widget."""
        session = self._session
        if self._panel is None:
            self._panel = TrainingPanel(self._viewer, session.model_choice, self._use)
            self._panel.native.destroyed.connect(self._forget)
            self._owner.destroyed.connect(self.close)
        if self._panel.native.parent() is None:  # new, or its dock was closed
            self._viewer.window.add_dock_widget(
                self._panel, name="Train on labels", area="right", tabify=True
            )
        self._panel.image.select(session.image_layer)
        self._panel.labels_layer.select(session.labels_layer)
        self._panel.model.value = session.model_choice.name
        return self._panel

    def close(self, _: Any = None) -> None:
        """Stop what is being trained."""
        if self._panel is not None:
            self._panel.close_panel()

    def _forget(self, _: Any = None) -> None:
        self._panel = None
