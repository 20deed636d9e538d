"""Drawing: the prompt layers and tools that the panel starts and chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.plugin.layers.prompt_tool import Tool
    from napari_sam.plugin.panels.main_panel import MainPanel
    from napari_sam.plugin.panels.panel_display import PanelDisplay
    from napari_sam.plugin.session import SamSession


class Drawing:
    """Makes prompt layers and chooses tools, and shows both in the panel.

    Parameters
    ----------
    panel : MainPanel
        The controls.
    session : SamSession
        The session.
    display : PanelDisplay
        Shows the tool that is on.
    started : callable
        Called when new prompt layers are ready to draw in.
    """

    def __init__(
        self,
        panel: MainPanel,
        session: SamSession,
        display: PanelDisplay,
        started: Callable[[], None],
    ) -> None:
        self._panel, self._session = panel, session
        self._display, self._started = display, started

    def start(self) -> None:
        """Make prompt layers and turn the box tool on."""
        points, shapes = self._session.new_prompt_layers()
        self._panel.points.select(points)
        self._panel.shapes.select(shapes)
        if self._session.model_choice.is_at_hand:
            self._panel.sections["model"].collapse()
        self._session.viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        points.mode = "add"
        self._started()

    def choose(self, tool: Tool) -> None:
        """Turn a tool on."""
        try:
            self._session.tool = tool
        finally:
            self._display.show_tool()

    def refine(self) -> None:
        """Start to correct the selected label, with the point tool on."""
        session = self._session
        session.refine()
        replacement = session.history.replacement
        if replacement is not None and session.labels_layer is None:
            self._panel.labels_layer.select(replacement.labels)
        if session.tool is None:  # the label was chosen with napari's picker
            if session.points_layer is None:
                self.start()
            self.choose("object")
