"""A panel that trains the chosen model on labels of the viewer."""

from __future__ import annotations

import re
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, FloatSpinBox, Label, ProgressBar, PushButton
from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QSizePolicy

from napari_sam.checkpoints.download import cache_folder
from napari_sam.plugin.background.worker import Worker
from napari_sam.plugin.layers.transforms import pyramid_levels, spatial_shape
from napari_sam.plugin.notifications import notify_errors
from napari_sam.plugin.panels.controls import button_row
from napari_sam.plugin.panels.layer_combobox import LayerComboBox
from napari_sam.plugin.training.comparison import ComparisonView
from napari_sam.plugin.training.plot import KINDS, TrainingPlot
from napari_sam.requests.base import Progress, download_progress
from napari_sam.training.request import TrainingRequest, dataset_size_message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import napari

    from napari_sam.checkpoints.families import Family
    from napari_sam.plugin.background.worker import Report
    from napari_sam.plugin.state.model_choice import ModelChoice
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.options import TrainingProgress
    from napari_sam.training.request import TrainingResult

_MINUTES = 10.0
# Larger labels are counted when the training begins.
_COUNTED_AT_ONCE = 2**25
# Parts of the bar, and milliseconds after the last stroke.
_FINE, _REST_MS = 1000, 300
_PHASES = {
    "encode": "Looking at the image",
    "validate": "Measuring on what was held back",
    "train": "Learning",
}
_IDLE = "Part of the image is held back, to see what is gained."


class TrainingPanel(Container[Any]):
    """Trains a model on an image layer and its labels, away from the GUI thread.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are offered.
    choice : ModelChoice
        The model to start from, chosen where objects are segmented.
    use : callable
        Takes the file and the family of a trained model that is to be used.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        choice: ModelChoice,
        use: Callable[[Path, Family], None],
    ) -> None:
        super().__init__(labels=True)
        self._choice, self._use = choice, use
        self._halt, self._closed = Event(), False
        self._finished: tuple[TrainingResult, Family] | None = None
        self._make_controls(viewer)
        self._arrange()
        self._worker = Worker(self.native)
        self._connect()
        self._refresh()

    def _make_controls(self, viewer: napari.Viewer) -> None:
        self.image = LayerComboBox(viewer, Image, "Image", lambda: "(none)")
        self.labels_layer = LayerComboBox(viewer, Labels, "Labels", lambda: "(none)")
        self.minutes = FloatSpinBox(
            label="Minutes",
            min=0.1,
            max=24 * 60,
            step=1,
            value=_MINUTES,
            tooltip="Of training, after the image was looked at; it ends earlier when "
            "nothing more is gained",
        )
        self.model = Label(label="Model", value="")
        self.enough, self.status = Label(value=""), Label(value=_IDLE)
        self.train = PushButton(text="Train")
        self.stop = PushButton(
            text="Stop, keep the best", tooltip="End now, with the best up to now"
        )
        self.use = PushButton(
            text="Use the result", tooltip="Choose it as the model to segment with"
        )
        self.progress = ProgressBar(label="", min=0, max=1, value=0)
        self.curve, self.comparison = TrainingPlot(), ComparisonView()

    def _arrange(self) -> None:
        for text in (self.enough, self.status):
            text.native.setWordWrap(True)
            text.native.setSizePolicy(
                QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
            )
        self.extend(
            [
                self.model,
                self.image.combo,
                self.labels_layer.combo,
                self.enough,
                self.minutes,
                button_row(self.train, self.stop),
                self.progress,
                self.status,
            ]
        )
        for part in (self.curve, self.comparison, self.use.native):
            self.native.layout().addWidget(part)
        self.native.layout().addStretch()

    def _connect(self) -> None:
        self._watched: Labels | None = None
        self._rest = QTimer(self.native)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._count)
        for layers in (self.image, self.labels_layer):
            layers.changed.connect(self._refresh)
        for button, action in (
            (self.train, self._train),
            (self.stop, self._stop),
            (self.use, self._use_result),
        ):
            button.changed.connect(notify_errors(action))
        self.native.destroyed.connect(self.close_panel)

    def close_panel(self, _: Any = None) -> None:
        """Stop silently and let go of the viewer; once."""
        if self._closed:
            return
        self._closed = True
        self._worker.close()
        self._watch(None)
        for layers in (self.image, self.labels_layer):
            layers.disconnect_viewer()

    # -- work ------------------------------------------------------------------

    def _train(self) -> None:
        request, load = self._request(), self._choice.loader()
        loaded, halt = self._choice.loaded, Event()

        def job(report: Report) -> Generator[Any, None, tuple[TrainingResult, Family]]:
            predictor: Predictor | None = loaded
            if predictor is None:
                yield Progress("Loading the model", 0, 0)
                predictor = load(
                    lambda done, total: report(download_progress(done, total))
                )
            trained = yield from request.run(predictor, halt.is_set)
            return trained, predictor.family

        self._halt, self._finished = halt, None
        self.curve.clear()
        self.comparison.show_comparison(None)
        self._worker.submit(
            job,
            on_progress=self._show,
            on_result=self._take,
            on_error=lambda error: show_error(str(error)),
            on_end=self._end,
        )
        self.status.value, self.status.tooltip = "Beginning ...", ""
        self._enable()

    def _request(self) -> TrainingRequest:
        """What is to be trained, with the labels as they are now.

        Raises
        ------
        ValueError
            When no image or no labels are chosen, or they do not belong together.
        """
        image, labels = self.image.layer, self.labels_layer.layer
        if image is None or labels is None:
            raise ValueError("Choose an image and the labels that lie on it.")
        if spatial_shape(image) != spatial_shape(labels):
            raise ValueError(
                f"The labels {labels.name!r} have shape {spatial_shape(labels)}, the "
                f"image {image.name!r} {spatial_shape(image)}: choose labels that were "
                "drawn on this image."
            )
        limits = None if image.rgb else tuple(image.contrast_limits)
        # The user may go on painting meanwhile.
        drawn = np.array(pyramid_levels(labels)[0])
        return TrainingRequest(
            pyramid_levels(image)[0],
            drawn,
            labels.name,
            limits,
            self.minutes.value,
            _new_file(labels.name),
        )

    def _stop(self) -> None:
        self._halt.set()
        self.status.value = "Stopping after this step ..."

    def _use_result(self) -> None:
        assert self._finished is not None
        trained, family = self._finished
        assert trained.path is not None
        self._use(trained.path, family)
        self.status.value = "The result is the model to segment with now."

    # -- showing ---------------------------------------------------------------

    def _show(self, progress: TrainingProgress | Progress) -> None:
        self.progress.max = max(progress.total, 1)
        self.progress.value = min(progress.done, progress.total)
        if isinstance(progress, Progress):
            self.status.value = f"{progress.what} ..."
            return
        self.curve.take(progress)
        if progress.phase == "train":
            # The steps have no known end: the clock has one.
            self.progress.max = _FINE
            self.progress.value = round(_FINE * progress.fraction)
        left = ""
        if progress.seconds_left is not None:
            left = f", at most {_told_time(progress.seconds_left)} left"
        if not self._halt.is_set():
            self.status.value = f"{_PHASES[progress.phase]}{left} ..."

    def _take(self, finished: tuple[TrainingResult, Family]) -> None:
        trained, _ = self._finished = finished
        self.comparison.show_comparison(trained.comparison)
        if trained.path is None:
            self._finished = None
            self.status.value = (
                f"Nothing was gained in {trained.steps} steps: the model stays as it "
                "is. More labels, or more minutes, may help."
            )
            return
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
            f"Done, {trained.steps} steps. Overlap on what was held back: {gains}."
            f"{worse} It is kept in a file; point here to see which."
        )
        self.status.tooltip = str(trained.path)

    def _end(self) -> None:
        self.progress.value = 0
        if self.status.value.endswith("..."):
            self.status.value = _IDLE
        self._enable()

    def _refresh(self, _: Any = None) -> None:
        self.model.value = self._choice.name
        self._watch(self.labels_layer.layer)
        self._count()
        self._enable()

    def _watch(self, labels: Labels | None) -> None:
        """Count again whenever the labels are painted on."""
        for layer, change in ((self._watched, "disconnect"), (labels, "connect")):
            if layer is not None:
                for event in (layer.events.labels_update, layer.events.data):
                    getattr(event, change)(self._count_soon)
        self._watched = labels

    def _count_soon(self, _: Any = None) -> None:
        self._rest.start()  # again with every stroke

    def _count(self) -> None:
        labels = self.labels_layer.layer
        if labels is None:
            self.enough.value = "Choose the labels to learn from."
        elif np.prod(spatial_shape(labels)) > _COUNTED_AT_ONCE:
            self.enough.value = "Large labels: they are counted when you train."
        else:
            numbers = np.unique(np.asarray(pyramid_levels(labels)[0]))
            self.enough.value = dataset_size_message(int((numbers > 0).sum()))

    def _enable(self) -> None:
        busy = self._worker.busy
        chosen = None not in (self.image.layer, self.labels_layer.layer)
        self.train.enabled = chosen and not busy
        self.stop.enabled = busy
        self.use.enabled = self._finished is not None and not busy


def _new_file(name: str) -> Path:
    """A file of its own in the cache folder, named for labels and time."""
    plain = re.sub(r"[^\w-]+", "_", name).strip("_") or "labels"
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return cache_folder() / "trained" / f"{plain}_{now}.safetensors"


def _told_time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
