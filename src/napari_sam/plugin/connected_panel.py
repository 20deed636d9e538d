"""The main panel, connected to a session and to the viewer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_info

from napari_sam.plugin.background.accepting import Accepting
from napari_sam.plugin.background.label_jobs import LABEL_BUTTONS, LabelJobs
from napari_sam.plugin.background.layer_watcher import LayerWatcher
from napari_sam.plugin.background.marker_sizes import MarkerSizes
from napari_sam.plugin.background.object_picking import ObjectPicking
from napari_sam.plugin.background.prefetch import Prefetcher
from napari_sam.plugin.background.preview_display import PreviewDisplay
from napari_sam.plugin.background.request_runner import RequestRunner
from napari_sam.plugin.layers.preview_layer import PreviewLayer
from napari_sam.plugin.notifications import notify_errors
from napari_sam.plugin.panels.buttons import BUTTONS, TOOLS
from napari_sam.plugin.panels.choices.layer_combobox import disconnect_choices
from napari_sam.plugin.panels.corrections.new_number import ask_new_number
from napari_sam.plugin.panels.drawing import Drawing
from napari_sam.plugin.panels.key_bindings import SWITCH_POINTS, KeyBindings
from napari_sam.plugin.panels.main_panel import MainPanel
from napari_sam.plugin.panels.measurement_table import show_table
from napari_sam.plugin.panels.panel_display import PanelDisplay
from napari_sam.plugin.panels.preferred.new_session import new_session
from napari_sam.plugin.panels.status_text import committed_text
from napari_sam.plugin.preferences import Preferences
from napari_sam.plugin.training.dock import TrainingDock

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from magicgui.widgets import Container
    from napari.layers import Labels

    from napari_sam.plugin.layers.labels_writer import WriteSummary
    from napari_sam.plugin.layers.prompt_tool import Tool
    from napari_sam.plugin.session import SamSession


class ConnectedPanel:
    """The controls of a dock widget, and what they do.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    owner : Container
        The dock widget.
    session : SamSession, optional
        One that had another panel before; a new one when None.

    Attributes
    ----------
    session : SamSession
        The session, which scripts can use as well.
    panel : MainPanel
        The controls.
    preview_layer : PreviewLayer
        The pending result on the canvas.
    training_dock : TrainingDock
        The dock widget for training.
    """

    def __init__(
        self, viewer: napari.Viewer, owner: Container[Any], session: SamSession | None
    ) -> None:
        preferences = Preferences()
        self.session = new_session(viewer, preferences) if session is None else session
        self.panel = MainPanel(viewer, self.session, self._actions())
        self._viewer, self._owner = viewer, owner
        self.preview_layer = PreviewLayer(viewer, preferences.get("preview", "color"))
        self._hint = ""
        self._commit_next = self._cleaning = False
        self._asleep = self._closed = False
        self._written: WriteSummary | None = None
        self._connections: list[tuple[Any, Callable[..., None]]] = []
        self._runner = RequestRunner(
            self.session,
            owner.native,
            on_progress=lambda *progress: self._display.show_progress(*progress),
            on_refused=show_info,
            on_error=self._show_failure,
            on_end=self._on_end,
        )
        self._display = PanelDisplay(
            self.panel, self.session, self._runner, preferences
        )
        self._accepting = Accepting(self.session, self._runner, _inform)
        self._label_jobs = LabelJobs(
            self.session,
            self._runner,
            partial(ask_new_number, owner.native),
            lambda job, rows: show_table(job, self._viewer.dims, owner.native, rows),
        )
        self.training_dock = TrainingDock(
            viewer, self.session, self._runner, owner.native
        )
        self._watcher = LayerWatcher(viewer, owner.native)
        self._prefetcher = Prefetcher(self.session, self._runner, owner.native)
        self._marker_sizes = MarkerSizes(self.session, owner.native)
        self._drawing = Drawing(
            self.panel, self.session, self._display, self._on_started
        )
        self._keys = KeyBindings(
            viewer,
            self._key_actions(),
            self._display.keys,
            notify_errors(self.undo),
        )
        self._picking = ObjectPicking(
            self.session, self.preview_layer, self._refinish_pending
        )
        self._preview_display = PreviewDisplay(
            self.session, self.preview_layer, self._picking
        )
        self._connect_panel()
        self._connect_viewer()
        self.panel.live.value = preferences.get("preview", "live")
        self._show_session()

    def _show_session(self) -> None:
        """Show the session, which may have had another panel before."""
        self._display.show_choices()
        for layer in self._viewer.layers:
            self._display.select_sample(layer)
        self._refresh()
        self._show_preview()

    def press(self, name: str) -> str:
        """Press a button if it is enabled; return the reason if it is not."""
        return self._display.press(name)

    # -- connections -----------------------------------------------------------

    def _actions(self) -> dict[str, Callable[[], Any]]:
        """Return the action of each button of the panel."""
        session = self.session
        return {
            "download": lambda: self._runner.load(self._watcher.notice),
            "new_prompts": lambda: self._drawing.start(),
            **{name: partial(self._draw_with, tool) for tool, name in TOOLS.items()},
            "segment_slice": lambda: self._runner.run(session.build_plane_request()),
            "segment_stack": lambda: self._runner.run(session.build_stack_request()),
            "segment_everything": lambda: self._runner.run(
                session.build_automatic_request()
            ),
            "accept": self._accept,
            "discard": lambda: self._accepting.discard(),
            "next_alternative": session.next_alternative,
            "previous": self._go_back,
            "refine": lambda: self._drawing.refine(),
            "next_doubtful": session.next_doubtful,
            "cancel": self._cancel,
            **{name: partial(self._work_on_labels, name) for name in LABEL_BUTTONS},
            "train": lambda: self.training_dock.open(),
        }

    def _key_actions(self) -> dict[str, Callable[[], object]]:
        """Return the action of each key."""
        keyed = [name for name, spec in BUTTONS.items() if spec.key]
        switch = notify_errors(self.session.toggle_polarity)
        return {SWITCH_POINTS: switch, **{n: partial(self.press, n) for n in keyed}}

    def _connect_panel(self) -> None:
        panel, session = self.panel, self.session
        for choice, name in (
            (panel.image, "image_layer"),
            (panel.points, "points_layer"),
            (panel.shapes, "shapes_layer"),
            (panel.labels_layer, "labels_layer"),
        ):
            choice.changed.connect(partial(setattr, session, name))
            choice.changed.connect(self._refresh)
            choice.changed.connect(self._watcher.notice)
        panel.each_prompt.changed.connect(
            partial(setattr, session, "each_prompt_an_object")
        )
        for section in (panel.postprocessing, panel.automatic):
            section.options_changed.connect(self._refinish_pending)
        panel.models.chosen_changed.connect(self._choose_model)
        for source in (panel.live, panel.each_prompt, panel.model, panel.advanced):
            source.changed.connect(self._watcher.notice)
        self._watcher.happened.connect(self._segment_live)
        self._watcher.drawn.connect(session.settings.drawn_clicks.note_drawn)
        self._watcher.tool_changed.connect(self._display.show_tool)
        self._display.keys.changed.connect(self._keys.bind_anew)
        # Prompts and options may have changed meanwhile; a new result has both.
        for update in (self._segment_live, self._refinish_pending):
            self._runner.training_ended.connect(update)

    def _connect_viewer(self) -> None:
        """Connect to the session and the viewer, which may outlive the widget."""
        session = self.session
        dims, layers = self._viewer.dims.events, self._viewer.layers
        self._connections = [
            (session.changed, self._refinish_pending),
            (session.changed, self._refresh),
            (session.changed, self._show_preview),
            (session.changed, self._show_written),
            (session.model_changed, self._display.select_model),
            (session.model_changed, self._refresh),
            (session.model_changed, self._watcher.notice),
            (session.zoom_changed, self._refresh),
            (session.zoom_changed, self._watcher.notice),
            (dims.current_step, self._show_preview),
            (dims.order, self._show_preview),
            (dims.ndisplay, self._show_preview),
            (dims.order, self._refresh),
            (layers.events.inserted, self._on_layer_added),
            (layers.events.removed, self._on_layer_removed),
            (layers.selection.events.active, self._refresh),
        ]
        for emitter, callback in self._connections:
            emitter.connect(callback)
        self._owner.native.destroyed.connect(self.disconnect_viewer)

    def disconnect_viewer(self, _: Any = None) -> None:
        """Stop all work, let go of the viewer and session, and remove the preview."""
        if self._closed:
            return
        self._closed = True
        for part in (self._runner, self._watcher, self._prefetcher, self._keys):
            part.close()
        self._marker_sizes.close()
        self._display.keys.close()
        for emitter, callback in self._connections:
            emitter.disconnect(callback)
        self._connections = []
        for choice in self.panel.layer_choices:
            choice.disconnect_viewer()
        disconnect_choices(self._viewer, self._owner.reset_choices)
        self.preview_layer.remove()
        self.session.current.reopen_waiting()

    def close(self) -> None:
        """End with the dock."""
        self.training_dock.remove()
        self.disconnect_viewer()

    def rest_while_hidden(self, hidden: bool) -> None:
        """Rest while the dock is hidden by its menu entry."""
        if self._closed:
            return
        self._asleep = self._prefetcher.rests = hidden
        if hidden:
            self._keys.close()
            self.preview_layer.remove()
            if not self._runner.busy:
                self._runner.close()
        else:
            self._keys.open()
            self._watcher.notice()
        self._refresh()
        self._show_preview()

    # -- choices ---------------------------------------------------------------

    def choose_layers(self, image: Image, labels: Labels) -> None:
        """Choose another image, and the labels layer for its objects."""
        self.session.target.forget()
        self.session.current.forget_all()
        self.session.image_layer, self.session.labels_layer = image, labels
        self._display.show_choices()

    def _choose_model(self) -> None:
        self.session.use_model(*self.panel.models.chosen)
        self._refresh()

    def _draw_with(self, tool: Tool) -> None:
        self._drawing.choose(tool)

    def _on_started(self) -> None:
        self._marker_sizes.fit()
        self._prefetcher.prepare(self._refresh)

    def _go_back(self) -> None:
        self.session.previous_object()
        self.panel.each_prompt.value = self.session.each_prompt_an_object

    # -- work ------------------------------------------------------------------

    def encode_ahead(
        self, plane: Any, limits: Any, on_encoded: Callable[[], None]
    ) -> None:
        """Encode an image that is opened next; see `Prefetcher.encode_image`."""
        self._prefetcher.encode_image(plane, limits, on_encoded)

    def _segment_live(self) -> None:
        """Segment the displayed slice again after a change."""
        self._hint = ""
        self.session.current.note_prompts()
        runner, waiting = self._runner, self.session.current.waiting
        idle = not (runner.busy_with_request or runner.training or waiting)
        if not (idle and self.panel.live.value) or self._asleep:
            self._display.enable_buttons()
            return
        request = None
        try:
            request = self.session.live_request()
        except ValueError as error:
            # While drawing, a problem is a hint in the status line, no notification.
            self._hint = str(error)
        if request is not None and self.session.model_choice.is_at_hand:
            runner.run(request, live=True)
            self._display.enable_buttons()
        else:
            self._refresh()

    def _accept(self) -> None:
        if self._cleaning:
            self._commit_next = True  # as soon as it is cleaned up
            return
        if self._runner.training:
            self.session.refinish_pending()  # otherwise deferred until it ends
        self._accepting.accept()

    def _cancel(self) -> None:
        self._hint = self._accepting.cancel()
        self._refresh()

    def _show_written(self) -> None:
        """Show what was written since the last change of the session."""
        written = self.session.target.last_written
        if written is self._written:
            return
        self._written, self._hint = written, ""
        self.preview_layer.to_top()
        self.panel.labels_layer.select(self.session.labels_layer)
        _inform("" if written is None else committed_text(written))

    def undo(self) -> None:
        """Take back the last prompt, accept, discard or change of labels."""
        self._accepting.undo()
        self.panel.each_prompt.value = self.session.each_prompt_an_object
        self._watcher.notice()

    def _refinish_pending(self) -> None:
        """Apply clean-up and thresholds to the pending result, once nothing runs."""
        job = self.session.build_pending_cleanup()
        if job is not None and (self._cleaning or not self._runner.busy):
            what = "Selecting and cleaning up objects"
            self._runner.compute(what, job.compute, job.apply)
            self._cleaning = True
        self._display.enable_buttons()

    def _work_on_labels(self, button: str) -> None:
        self._label_jobs.start(button)

    def _on_end(self) -> None:
        commit, self._commit_next = self._commit_next, False
        if commit and self.session.result is not None and not self._runner.busy:
            notify_errors(self.session.commit)()
        self._cleaning = False
        if self._accepting.run_next():
            self._watcher.notice()  # for what was drawn meanwhile
        self._refresh()

    def _show_failure(self, error: Exception) -> None:
        self._commit_next = False
        self._hint = self._accepting.fail(error)

    # -- display ---------------------------------------------------------------

    def _refresh(self) -> None:
        session = self.session
        if session.settings.follow_image():
            self.panel.labels_layer.select(session.target.present_layer)
            self._watcher.notice()
        session.current.note_prompts()
        prompts = [session.points_layer, session.shapes_layer]
        self._watcher.follow(prompts, session.image_layer)
        self._keys.follow([] if self._asleep else prompts)
        self._display.refresh(self._hint)

    def _on_layer_added(self, event: Any) -> None:
        if isinstance(event.value, Image):
            self.session.settings.note_opened(event.value)
        self._display.select_sample(event.value)
        self._refresh()

    def _on_layer_removed(self) -> None:
        # A preview that the user removed stays away until the next result.
        if self.session.result is None:
            self.preview_layer.hide()
        self._refresh()

    def _show_preview(self) -> None:
        self._display.show_strip()
        self._preview_display.update(self._asleep)


def _inform(text: str) -> None:
    if text:
        show_info(text)
