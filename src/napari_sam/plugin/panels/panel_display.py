"""Display of a session's state in the main panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.plugin.layers.leftovers import lies_over
from napari_sam.plugin.panels.button_states import disabled_reasons
from napari_sam.plugin.panels.main_panel import (
    BUTTONS,
    NEW_PROMPTS,
    OWN_FILE,
    START,
)
from napari_sam.plugin.panels.status_text import (
    download_text,
    model_text,
    status_text,
    waiting_text,
)

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.panels.main_panel import MainPanel
    from napari_sam.plugin.session import SamSession


class PanelDisplay:
    """Writes the state of a session into the controls of the panel.

    Parameters
    ----------
    panel : MainPanel
        The controls.
    session : SamSession
        The session.
    runner : RequestRunner
        Runs its computations.
    """

    def __init__(
        self, panel: MainPanel, session: SamSession, runner: RequestRunner
    ) -> None:
        self._panel, self._session, self._runner = panel, session, runner

    def show_choices(self) -> None:
        """Show the model and the layers of a session that had another panel before."""
        panel, session = self._panel, self._session
        self.select_model()
        chosen = session.settings.view.chosen
        prompts = session.points_layer, session.shapes_layer
        layers = chosen, *prompts, session.labels_layer
        for choice, layer in zip(panel.layer_choices, layers, strict=True):
            choice.select(session.settings.present(layer))
        panel.each_prompt.value = session.each_prompt_an_object

    def select_sample(self, layer: Layer) -> None:
        """Choose a prompt layer that came with the image, unless one is chosen."""
        session = self._session
        if lies_over(session.viewer.layers, layer, session.image_layer):
            for choice in (self._panel.points, self._panel.shapes):
                choice.select_sample(layer)

    def select_model(self) -> None:
        """Select the model of the session."""
        choice = self._session.model_choice
        self._panel.select_model(choice.chosen, choice.family)

    def refresh(self, hint: str) -> None:
        """Show the whole state, and a hint instead of the next step if there is one."""
        panel, session = self._panel, self._session
        panel.image.update()
        self.show_tool()
        self.show_model()
        prompts = session.points_layer, session.shapes_layer
        new_prompts = any(layer is not None for layer in prompts)
        panel.buttons["new_prompts"].text = NEW_PROMPTS if new_prompts else START
        panel.advanced.refresh()
        panel.automatic.show_method(session.model_choice.prompt_support)
        panel.axis.refresh()
        if not self._runner.busy:
            panel.progress.visible = False
            panel.status.value = hint or status_text(session)
        self.enable_buttons()

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Show what is running."""
        progress = self._panel.progress
        progress.visible = True
        # An animated bar would redraw the window, canvas included, all the time and
        # slow the network down. So the bar is empty while the total is unknown.
        progress.max = max(total, 1)
        progress.value = min(done, total)
        self._panel.status.value = waiting_text(self._session) + text
        self.enable_buttons()

    def show_tool(self) -> None:
        """Press the button of the tool that is on."""
        self._panel.show_tool(self._session.tool)

    def show_model(self) -> None:
        """Describe the chosen model, and offer its download."""
        panel, choice = self._panel, self._session.model_choice
        own_file = panel.model.value == OWN_FILE
        panel.model_file.visible = panel.family.visible = own_file
        spec = None if own_file else get_model_spec(panel.model.value)
        note, tooltip = model_text(spec, choice.loaded)
        panel.model_note.value, panel.model_note.tooltip = note, tooltip
        download = panel.buttons["download"]
        download.visible = not (own_file or choice.is_at_hand)
        if spec is not None:
            download.text = download_text(spec)

    def enable_buttons(self) -> None:
        """Enable buttons; the tooltip of a disabled one gives the reason."""
        for name, reason in disabled_reasons(self._session, self._runner).items():
            button = self._panel.buttons[name]
            button.enabled = not reason
            button.tooltip = reason or BUTTONS[name].tooltip

    def show_strip(self) -> None:
        """Show the slices of a pending stack."""
        pending, strip = self._session.pending, self._panel.strip
        if pending is None or pending.stack is None:
            strip.show_states({}, 0, None)
            return
        displayed = pending.displayed_slice(self._session.viewer.dims)
        strip.show_states(pending.states, len(pending.stack), displayed)
