"""Display of a session's state in the main panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.background.accepting import DOWNLOAD_FIRST
from napari_sam.plugin.labels.pixel_size import displayed_pixel
from napari_sam.plugin.layers.leftovers import lies_over
from napari_sam.plugin.panels.button_states import disabled_reasons, has_slices
from napari_sam.plugin.panels.buttons import BUTTONS, NEW_LAYERS, START
from napari_sam.plugin.panels.key_bindings import POLARITY, SWITCH_POINTS
from napari_sam.plugin.panels.preferred.keys import PreferredKeys
from napari_sam.plugin.panels.status_text import PREPARING, status_text, waiting_text

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.panels.main_panel import MainPanel
    from napari_sam.plugin.preferences import Preferences
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
    preferences : Preferences
        With the keys that texts name.

    Attributes
    ----------
    keys : PreferredKeys
        The key of each button that has one, and of `SWITCH_POINTS`.
    """

    def __init__(
        self,
        panel: MainPanel,
        session: SamSession,
        runner: RequestRunner,
        preferences: Preferences,
    ) -> None:
        self._panel, self._session, self._runner = panel, session, runner
        defaults = {name: spec.key for name, spec in BUTTONS.items() if spec.key}
        defaults[SWITCH_POINTS] = POLARITY
        self.keys = PreferredKeys(preferences, session.viewer, defaults, panel.native)
        self.keys.changed.connect(self._on_keys_changed)
        self._show_keys()

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
        started = all(layer is not None for layer in prompts)
        panel.buttons["new_prompts"].text = NEW_LAYERS if started else START
        panel.advanced.refresh()
        panel.automatic.show_method(session.model_choice.prompt_support)
        pixel = displayed_pixel(session.image_layer, session.viewer.dims)
        panel.automatic.show_pixel(pixel)
        panel.automatic.show_axes(has_slices(session.image_layer))
        panel.axis.refresh()
        if not self._runner.busy:
            panel.progress.visible = False
            text = hint or self.keys.in_text(status_text(session))
            if self._runner.is_preparing:
                text += f"\n{PREPARING}"
            elif session.image_layer and not session.model_choice.is_at_hand:
                text += f"\n{DOWNLOAD_FIRST}"
            panel.status.value = text
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
        """Describe the chosen model and image, and offer the model's download."""
        panel, image = self._panel, self._session.image_layer
        panel.models.show_state(self._session.model_choice)
        name = "no image" if image is None else image.name
        panel.sections["model"].summarise(f"{name}, {panel.models.title}")

    def enable_buttons(self) -> None:
        """Enable buttons; the tooltip of a disabled one gives the reason."""
        for name, reason in disabled_reasons(self._session, self._runner).items():
            button = self._panel.buttons[name]
            button.enabled = not reason
            button.tooltip = reason or self.keys.in_text(BUTTONS[name].tooltip)

    def press(self, name: str) -> str:
        """Press a button if it is enabled; return the reason if it is not."""
        # What was drawn a moment ago counts.
        self._session.current.note_prompts()
        self.enable_buttons()
        reason = disabled_reasons(self._session, self._runner).get(name, "")
        if not reason:
            self._panel.buttons[name].changed.emit(True)
        return reason

    def _on_keys_changed(self) -> None:
        self._show_keys()
        self.refresh("")

    def _show_keys(self) -> None:
        for name, spec in BUTTONS.items():
            if spec.key:
                self._panel.buttons[name].text = spec.text_with(self.keys[name])

    def show_strip(self) -> None:
        """Show the slices of a pending stack."""
        pending, strip = self._session.pending, self._panel.strip
        if pending is None or pending.stack is None:
            strip.show_states({}, 0, None)
            return
        displayed = pending.displayed_slice(self._session.viewer.dims)
        strip.show_states(pending.states, len(pending.stack), displayed)
