"""Dock widget *Job progress*: stages, failures and time left of a job in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import Container, FileEdit, Label, ProgressBar, PushButton
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem

from napari_sam.plugin.background.dock_life import DockLife
from napari_sam.plugin.jobs.texts import stage_row, status_text
from napari_sam.plugin.notifications import error_text, notify_errors
from napari_sam.plugin.panels.choices.layer_combobox import disconnect_choices
from napari_sam.plugin.series.worker import FileWorker
from napari_sam.scale_out.jobs.watching import JobWatch

if TYPE_CHECKING:
    import napari

    from napari_sam.scale_out.jobs.watching import JobView

_LOOK_MS = 1000
FIRST_STEP = "Choose the folder of a job, and press 'Open'."
_COLUMNS = ("Stage", "Done", "Failed")


class JobWidget(Container[Any]):
    """Watch a job that runs anywhere, stop it, and show its labels.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Passed by napari.

    Attributes
    ----------
    view : JobView or None
        How far the open job is.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._viewer = napari_viewer
        self.folder = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY,
            label="Job",
            tooltip="Folder of the job",
        )
        self.open = PushButton(text="Open", tooltip="Show how far the job is")
        self.status = Label(value=FIRST_STEP)
        self.bar = ProgressBar(value=0, max=1, visible=False, label="Stage")
        self.stop = PushButton(
            text="Stop the job",
            tooltip="Ask all processes that work on it to stop after their tasks",
            enabled=False,
        )
        self.show_labels = PushButton(
            text="Show the labels",
            tooltip="Open the labels of the complete job",
            enabled=False,
        )
        super().__init__(
            widgets=[
                self.folder,
                self.open,
                self.status,
                self.bar,
                self.stop,
                self.show_labels,
            ]
        )
        self.table = QTableWidget(0, len(_COLUMNS), self.native)
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.native.layout().addWidget(self.table)
        self.view: JobView | None = None
        self._watch: JobWatch | None = None
        self._worker = FileWorker(self._show_failure, self.native)
        self._timer = QTimer(self.native)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.open.changed.connect(notify_errors(self._open_chosen))
        self.stop.changed.connect(notify_errors(self._stop))
        self.show_labels.changed.connect(notify_errors(self._show_labels))
        self._dock_life = DockLife(self.native)
        self._dock_life.closed.connect(self._on_dock_closed)
        self.native.destroyed.connect(self.close_job)

    def open_job(self, folder: Path) -> None:
        """Show a job, and follow it until it is complete.

        Parameters
        ----------
        folder : Path
            Its folder.
        """
        self._timer.stop()
        self.status.value = "Reading the job ..."
        self._worker.submit(lambda: JobWatch(folder), self._on_opened)

    def close_job(self, _: Any = None) -> None:
        """Follow the job no more; it goes on."""
        self._watch = None
        disconnect_choices(self._viewer, self.reset_choices)
        self._worker.close()

    def _open_chosen(self) -> None:
        chosen = str(self.folder.line_edit.value).strip()
        if chosen in ("", "."):
            raise ValueError("No folder is chosen: choose that of a job.")
        self.open_job(Path(chosen).expanduser())

    def _on_opened(self, watch: JobWatch) -> None:
        self._watch = watch
        self._timer.start()
        self._look()

    def _look(self) -> None:
        if self._watch is not None and not self._worker.busy:
            self._worker.submit(self._watch.look, self._on_view)

    def _on_view(self, view: JobView) -> None:
        self.view, current = view, view.current
        self.status.value = status_text(view)
        self.bar.visible = current is not None and current.total is not None
        if current is not None and current.total is not None:
            self.bar.max = max(current.total, 1)
            self.bar.value = min(current.done, current.total)
        self.table.setRowCount(len(view.stages))
        for row, stage in enumerate(view.stages):
            for column, text in enumerate(stage_row(stage)):
                self.table.setItem(row, column, QTableWidgetItem(text))
        self.table.resizeColumnsToContents()
        self.stop.enabled = bool(view.workers)
        self.show_labels.enabled = view.is_complete
        if view.is_complete:
            self._timer.stop()

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.job.stop()
            self.status.value = "Stopping after the tasks that run ..."

    def _show_labels(self) -> None:
        if self._watch is not None:
            self._worker.submit(self._watch.job.result, self._on_result)

    def _on_result(self, result: Any) -> None:
        assert self._watch is not None
        labels = getattr(result, "labels", result)  # of a propagation
        if not hasattr(labels, "shape"):
            self.status.value = "The labels of a series are beside its images."
            return
        job = self._watch.job
        self._viewer.add_labels(labels, name=job.path.name, **job.placement)

    def _show_failure(self, error: Exception) -> None:
        self._timer.stop()
        self.status.value = error_text(error)

    def _on_dock_closed(self) -> None:
        self._timer.stop()
        self.close_job()
        self.native.deleteLater()
