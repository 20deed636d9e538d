"""Dock widget of Segment Anything, which opens in steps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, Label
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QSizePolicy

from napari_sam.plugin.background.dock_life import DockLife, docked_widgets
from napari_sam.plugin.preferences import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    import napari

    from napari_sam.plugin.connected_panel import ConnectedPanel
    from napari_sam.plugin.layers.preview_layer import PreviewLayer
    from napari_sam.plugin.panels.main_panel import MainPanel
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.training.dock import TrainingDock

# Imported one after the other, as all of them take longer than a user should wait.
_MODULES = (
    "images.planes",
    "plugin.layers.transforms",
    "automatic.search",
    "prediction.zoom.answers",
    "masks.cleanup",
    "volume.results",
    "plugin.state.provenance",
    "plugin.state.labels_target",
    "plugin.state.settings",
    "plugin.state.request_builder",
    "plugin.objects.stack_correction",
    "plugin.session",
    "plugin.background.request_runner",
    "plugin.panels.main_panel",
    "plugin.connected_panel",
)
_STEP_MS = 5
_WAIT_S = 0.005


class SamWidget(Container[Any]):
    """Segment Anything on the displayed slice or through the stack.

    It opens in steps while the window responds; who asks for a part gets it at once.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Passed by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._connected: ConnectedPanel | None = None
        self._viewer, self._hidden = napari_viewer, False
        self._is_closed = False
        # A viewer has one panel and one session: another panel would fight over keys.
        opened = docked_widgets(napari_viewer, SamWidget)
        self._session = opened[0].hand_over() if opened else None
        self._opening = Label(value="Opening ...")
        # napari adds a stretch below a widget that does not want the whole height.
        self._opening.native.setSizePolicy(
            QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding
        )
        super().__init__(widgets=[self._opening], labels=False)
        self._dock_life = DockLife(self.native)
        self._dock_life.closed.connect(self._on_dock_closed)
        self._dock_life.visible_changed.connect(self._on_dock_shown)
        self._steps = self._open()
        self._timer = QTimer(self.native)
        self._timer.setInterval(_STEP_MS)
        self._timer.timeout.connect(self._on_timer)
        self._timer.start()

    # -- its parts ---------------------------------------------------------------------

    @property
    def connected(self) -> ConnectedPanel:
        """The controls and what they do."""
        for _ in self._steps:
            pass
        if self._connected is None:
            raise RuntimeError("The panel could not be opened: open it again.")
        return self._connected

    @property
    def opened(self) -> ConnectedPanel | None:
        """The controls and what they do; None before they are open and when closed."""
        return None if self._is_closed else self._connected

    @property
    def session(self) -> SamSession:
        """The session, which scripts can use as well."""
        return self.connected.session

    @property
    def panel(self) -> MainPanel:
        """The controls."""
        return self.connected.panel

    @property
    def preview_layer(self) -> PreviewLayer:
        """The pending result on the canvas."""
        return self.connected.preview_layer

    @property
    def training_dock(self) -> TrainingDock:
        """The dock widget for training."""
        return self.connected.training_dock

    def press(self, name: str) -> str:
        """Press a button if it is enabled; return the reason if it is not."""
        return self.connected.press(name)

    def undo(self) -> None:
        """Take back the last prompt, accept, discard or change of labels."""
        self.connected.undo()

    # -- opening and closing -----------------------------------------------------------

    def _open(self) -> Iterator[None]:
        """Open the panel; each step is short."""
        reading = read_ahead()
        while reading.is_alive():
            reading.join(_WAIT_S)
            yield
        for name in _MODULES:
            import_module(f"napari_sam.{name}")
            yield
        from napari_sam.plugin.connected_panel import ConnectedPanel

        self._connected = ConnectedPanel(self._viewer, self, self._session)
        if self._hidden:
            self._connected.rest_while_hidden(True)
        yield
        self.append(self._connected.panel)
        self.remove(self._opening)
        self._opening.native.deleteLater()
        self._timer.stop()

    def _on_timer(self) -> None:
        try:
            next(self._steps, None)
        except Exception:
            self._timer.stop()
            self._opening.value = "The panel could not be opened."
            raise

    def disconnect_viewer(self) -> None:
        """Stop all work, let go of the viewer and session, and remove the preview."""
        self._timer.stop()
        if self._connected is not None:
            self._connected.disconnect_viewer()

    def hand_over(self) -> SamSession:
        """Close for another panel, which goes on with the session."""
        session = self.session
        self._on_dock_closed()
        self._viewer.window.remove_dock_widget(self.native)
        return session

    def _on_dock_closed(self) -> None:
        """End with the dock, which napari closed without closing what is in it."""
        self._is_closed = True
        self._timer.stop()
        if self._connected is not None:
            self._connected.close()
        self.native.deleteLater()

    def _on_dock_shown(self, shown: bool) -> None:
        """Rest while the dock is hidden by its menu entry."""
        self._hidden = not shown
        if self._connected is not None:
            self._connected.rest_while_hidden(self._hidden)
