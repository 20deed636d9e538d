"""Training panel: trains the chosen model on labels of the viewer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, Container, FloatSpinBox, Label, ProgressBar
from napari.layers import Image, Labels
from superqt.utils import QSignalDebouncer

from napari_sam.plugin.background.request_runner import STOPPING, training_text
from napari_sam.plugin.layers.transforms import pyramid_levels, spatial_shape
from napari_sam.plugin.panels.button_states import BUSY
from napari_sam.plugin.panels.choices.layer_combobox import (
    LayerComboBox,
    disconnect_choices,
)
from napari_sam.plugin.panels.controls import (
    ButtonSpec,
    button_row,
    control_spec,
    make_controls,
    wrapped_label,
)
from napari_sam.plugin.training.comparison import ComparisonView
from napari_sam.plugin.training.plot import KINDS, TrainingPlot
from napari_sam.requests.base import Progress
from napari_sam.training.request import dataset_size_message

if TYPE_CHECKING:
    from threading import Event

    import napari

    from napari_sam.checkpoints.families import Family
    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.panels.controls import ControlTable
    from napari_sam.plugin.session import SamSession
    from napari_sam.training.options import TrainingProgress
    from napari_sam.training.request import TrainingResult

# Objects of larger labels are counted when the training starts.
_MAX_COUNTED_PIXELS = 2**25
_RECOUNT_DELAY_MS = 300
_PROGRESS_STEPS = 1000
_IDLE = "Part of the image is held out for validation."
_SINGLE_SLICES = " It learns from single slices, not from the thick one that is shown."
_ADAPTS_EVERYTHING = " Everything learns to find these objects, too."

_CONTROLS: ControlTable = {
    "model": partial(Label, label="Model", value=""),
    "minutes": partial(
        FloatSpinBox,
        label="Minutes",
        min=0.1,
        max=24 * 60,
        step=1,
        value=10.0,
        tooltip="Training time, after the images were encoded. Training ends earlier "
        "when the model stops improving",
    ),
    "all_labelled": control_spec(
        CheckBox,
        "All objects are labelled",
        "What has no label is background: 'Everything' learns to leave it out. "
        "Otherwise it learns only from the labels and what is next to them",
    ),
    "progress": partial(ProgressBar, label="", min=0, max=1, value=0),
}
_TRAIN = ButtonSpec("Train", "Train the model on the objects of the labels layer")
_STOP = ButtonSpec("Stop, keep the best", "End now with the best model so far")
_USE = ButtonSpec("Use the result", "Choose the trained model to segment with")


def everything_text(f1: tuple[float, float] | None) -> str:
    """Return a sentence on the F1 score of Everything; empty when there is none."""
    if f1 is None:
        return ""
    before, now = f1
    return f" Everything, F1 of their objects: {before:.2f} before, {now:.2f} now."


class TrainingPanel(Container[Any]):
    """Trains a model on an image layer and its labels, on the session's worker.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer with the layers.
    session : SamSession
        Its model is trained.
    runner : RequestRunner
        Runs the training.
    """

    def __init__(
        self, viewer: napari.Viewer, session: SamSession, runner: RequestRunner
    ) -> None:
        super().__init__(labels=True)
        self._session, self._runner, self._viewer = session, runner, viewer
        self._stop: Event | None = None
        self._result: tuple[TrainingResult, Family] | None = None
        self._watched: Labels | None = None
        self._closed = False
        self._make_controls(viewer)
        self._arrange()
        self._recount = QSignalDebouncer(parent=self.native)
        self._recount.setTimeout(_RECOUNT_DELAY_MS)
        self._recount.triggered.connect(self._count_objects)
        for choice in (self.image, self.labels_layer):
            choice.changed.connect(self.refresh)
        session.model_changed.connect(self.refresh)
        self.native.destroyed.connect(self.close_panel)
        self.refresh()

    def _make_controls(self, viewer: napari.Viewer) -> None:
        controls = make_controls(_CONTROLS)
        self.model, self.minutes = controls["model"], controls["minutes"]
        self.all_labelled = controls["all_labelled"]
        self.progress = controls["progress"]
        self.image = LayerComboBox(
            viewer, Image, "Image", lambda: "(none)", "The image to train on"
        )
        self.labels_layer = LayerComboBox(
            viewer, Labels, "Labels", lambda: "(none)", "The objects to learn"
        )
        self.object_count, self.status = wrapped_label(), wrapped_label(self._idle)
        self.train = _TRAIN.make(self._train)
        self.stop = _STOP.make(self._stop_training)
        self.use = _USE.make(self._use_result)
        self.plot, self.comparison = TrainingPlot(), ComparisonView()

    def _arrange(self) -> None:
        self.extend(
            [
                self.model,
                self.image.combo,
                self.labels_layer.combo,
                self.object_count,
                self.minutes,
                self.all_labelled,
                button_row(self.train, self.stop),
                self.progress,
                self.status,
            ]
        )
        for part in (self.plot, self.comparison, self.use.native):
            self.native.layout().addWidget(part)
        self.native.layout().addStretch()

    def refresh(self) -> None:
        """Show the model, count the objects, and enable the buttons."""
        self.model.value = self._session.model_choice.name
        if self.status.value.startswith(_IDLE):
            self.status.value = self._idle
        self._watch(self.labels_layer.layer)
        self._count_objects()
        self.all_labelled.visible = self._has_head
        self._enable_buttons()

    @property
    def _idle(self) -> str:
        """What training does with the chosen model."""
        image = self.image.layer
        is_thick = image is not None and self._session.settings.view.thick_slice_text(
            image
        )
        return (
            _IDLE
            + _ADAPTS_EVERYTHING * self._has_head
            + _SINGLE_SLICES * bool(is_thick)
        )

    @property
    def _has_head(self) -> bool:
        support = self._session.model_choice.prompt_support
        return support is not None and support.instance_head

    def close_panel(self, _: Any = None) -> None:
        """Cancel the training without a result, and disconnect from the viewer."""
        if self._closed:
            return
        self._closed = True
        if self._stop is not None:
            self._runner.cancel(discard=True)
        self._session.model_changed.disconnect(self.refresh)
        self._recount.cancel()
        self._recount.flush(restart_timer=False)
        self._watch(None)
        for choice in (self.image, self.labels_layer):
            choice.disconnect_viewer()
        disconnect_choices(self._viewer, self.reset_choices)

    # -- actions ---------------------------------------------------------------

    def _train(self) -> None:
        if self._runner.busy_with_request:
            raise ValueError(BUSY)
        labels, image = self.labels_layer.layer, self.image.layer
        if labels is None or image is None:
            raise ValueError("Choose an image and the labels that lie on it.")
        request = self._session.build_training_request(
            labels, image, self.minutes.value, self.all_labelled.value
        )
        self._result = None
        self.plot.clear()
        self.comparison.show_comparison(None)
        self.status.value, self.status.tooltip = "Starting ...", ""
        self._stop = self._runner.train(
            request,
            on_progress=self._show_progress,
            on_result=self._show_result,
            on_end=self._on_end,
        )
        self._enable_buttons()

    def _stop_training(self) -> None:
        if self._stop is not None:
            self._stop.set()
        self.status.value = STOPPING

    def _use_result(self) -> None:
        if self._result is None or self._result[0].path is None:
            raise ValueError("There is no trained model yet: press 'Train'.")
        trained, family = self._result
        self._session.use_model(str(trained.path), family)
        self.status.value = "The trained model is now the one to segment with."

    # -- display ---------------------------------------------------------------

    def _show_progress(self, progress: Progress | TrainingProgress) -> None:
        if self._closed:
            return
        self.progress.max = max(progress.total, 1)
        self.progress.value = min(progress.done, progress.total)
        if isinstance(progress, Progress):
            self.status.value = f"{progress.what} ..."
            return
        self.plot.append(progress)
        if progress.phase in ("train", "everything"):
            # It ends by time: the number of steps is not known.
            self.progress.max = _PROGRESS_STEPS
            self.progress.value = round(_PROGRESS_STEPS * progress.fraction)
        if self._stop is None or not self._stop.is_set():
            self.status.value = training_text(progress)

    def _show_result(self, trained: TrainingResult, family: Family) -> None:
        if self._closed:
            return
        self.comparison.show_comparison(trained.comparison)
        if trained.path is None:
            self.status.value = (
                f"No improvement in {trained.steps} steps: the model stays as it is. "
                "Label more objects, or train longer."
            )
            return
        self._result = trained, family
        gains = "; ".join(
            f"{KINDS[kind][1]} {trained.start[kind]:.2f} before, {iou:.2f} now"
            for kind, iou in trained.best.items()
        )
        worse = ""
        if trained.comparison is not None:
            before, after = trained.comparison.ious.mean(0)
            if after < before:
                worse = " But one click is worse than before, as shown below."
        self.status.value = (
            f"Done, {trained.steps} steps. Overlap (IoU) on the held-out images: "
            f"{gains}.{worse}{everything_text(trained.everything)} "
            "The tooltip of this text gives the model file."
        )
        self.status.tooltip = str(trained.path)

    def _on_end(self) -> None:
        self._stop = None
        if self._closed:
            return
        self.progress.value = 0
        if self.status.value.endswith("..."):
            self.status.value = self._idle
        self._enable_buttons()

    def _watch(self, labels: Labels | None) -> None:
        """Count the objects again whenever labels are painted."""
        for layer, change in ((self._watched, "disconnect"), (labels, "connect")):
            if layer is not None:
                for event in (layer.events.labels_update, layer.events.data):
                    getattr(event, change)(self._on_painted)
        self._watched = labels

    def _on_painted(self, _: Any = None) -> None:
        self._recount.throttle()

    def _count_objects(self) -> None:
        labels = self.labels_layer.layer
        if labels is None:
            self.object_count.value = "Choose the labels to train on."
        elif np.prod(spatial_shape(labels)) > _MAX_COUNTED_PIXELS:
            self.object_count.value = (
                "Large labels: objects are counted when you train."
            )
        else:
            values = np.unique(np.asarray(pyramid_levels(labels)[0]))
            self.object_count.value = dataset_size_message(int((values > 0).sum()))

    def _enable_buttons(self) -> None:
        training = self._stop is not None
        chosen = None not in (self.image.layer, self.labels_layer.layer)
        self.train.enabled = chosen and not training
        self.stop.enabled = training
        self.use.enabled = self._result is not None and not training
