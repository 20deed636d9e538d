"""Dock widget *Image series*: connects its controls with a series."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog
from superqt.utils import QSignalDebouncer

from napari_sam.plugin.background.dock_life import DockLife, docked_widgets
from napari_sam.plugin.notifications import error_text, notify_errors
from napari_sam.plugin.panels.choices.layer_combobox import disconnect_choices
from napari_sam.plugin.panels.key_bindings import KeyBindings
from napari_sam.plugin.panels.preferred.keys import PreferredKeys
from napari_sam.plugin.preferences import Preferences
from napari_sam.plugin.series.annotation import Annotation
from napari_sam.plugin.series.class_actions import ClassActions
from napari_sam.plugin.series.controls.output_panel import TITLES
from napari_sam.plugin.series.controls.panel import BUTTONS, KEYED, SeriesPanel
from napari_sam.plugin.series.controls.status_text import opened_text, problems_text
from napari_sam.plugin.series.controls.table_model import ALL, counts_text
from napari_sam.plugin.series.encode_ahead import EncodeAhead
from napari_sam.plugin.series.worker import FileWorker
from napari_sam.plugin.widget import SamWidget
from napari_sam.series.opening import open_series
from napari_sam.series.storage.listing import PROJECT_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_sam.plugin.connected_panel import ConnectedPanel
    from napari_sam.series.image_series import ImageSeries
    from napari_sam.series.storage.state import Status

_FILTER_MS = 150
FIRST_STEP = "Choose the folder of the images, and press 'Open'."
OPEN_FIRST = "No series is open: choose the folder of the images, and press 'Open'."


class SeriesWidget(Container[Any]):
    """Go through a folder of images, and keep labels of each.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Passed by napari.

    Attributes
    ----------
    panel : SeriesPanel
        The controls.
    annotation : Annotation or None
        The open series and image.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._viewer = napari_viewer
        # Two would write the same files.
        for other in docked_widgets(napari_viewer, SeriesWidget):
            other.close_series()
            napari_viewer.window.remove_dock_widget(other.native)
        self.panel = SeriesPanel(self._actions())
        super().__init__(widgets=[self.panel], labels=False)
        self.annotation: Annotation | None = None
        self._classes: ClassActions | None = None
        self._encoding: EncodeAhead | None = None
        self._is_closed, self._failed = False, ""
        self._worker = FileWorker(self._show_failure, self.native)
        defaults = {name: BUTTONS[name].key for name in KEYED}
        self._preferred = PreferredKeys(
            Preferences(), napari_viewer, defaults, self.native
        )
        self._preferred.changed.connect(self._on_keys_changed)
        actions = {name: partial(self.press, name) for name in KEYED}
        self._keys = KeyBindings(napari_viewer, actions, self._preferred)
        self._filter = QSignalDebouncer(parent=self.native)
        self._filter.setTimeout(_FILTER_MS)
        self._filter.triggered.connect(self._show_list)
        self._connect_panel()
        self._dock_life = DockLife(self.native)
        self._dock_life.closed.connect(self._on_dock_closed)
        self._dock_life.visible_changed.connect(self._on_dock_shown)
        self.native.destroyed.connect(self.close_series)
        self._show_keys()
        self._enable_buttons()
        self.panel.status.value = FIRST_STEP

    def _actions(self) -> dict[str, Callable[[], Any]]:
        return {
            "open": self._open_chosen,
            "previous_image": lambda: self._go(-1),
            "next_image": lambda: self._go(1),
            "done_next": lambda: self._mark("done", go_on=True),
            "needs_review": lambda: self._mark("needs review"),
            "skip": lambda: self._mark("skipped", go_on=True),
        }

    def _connect_panel(self) -> None:
        panel = self.panel
        panel.which.changed.connect(self._filter.throttle)
        panel.search.changed.connect(self._filter.throttle)
        panel.view.doubleClicked.connect(self._on_double_click)
        panel.note.native.editingFinished.connect(self._save_note)
        panel.results.table.changed.connect(notify_errors(self._save_table))
        panel.results.export.changed.connect(notify_errors(self._export))

    def press(self, name: str) -> str:
        """Press a button if it is enabled; return the reason if it is not."""
        reason = "" if self.annotation or name == "open" else OPEN_FIRST
        if not reason:
            self.panel.buttons[name].changed.emit(True)
        else:
            show_info(reason)
        return reason

    # -- the series --------------------------------------------------------------------

    def _open_chosen(self) -> None:
        chosen, output = (
            str(edit.line_edit.value).strip()
            for edit in (self.panel.images, self.panel.output)
        )
        if chosen in ("", "."):
            raise ValueError("No folder of images is chosen: choose one.")
        images = Path(chosen).expanduser()
        self.open_series(images, None if output in ("", ".") else Path(output))

    def open_series(self, images: Path, output: Path | None = None) -> None:
        """Open a series, and its first unfinished image.

        Parameters
        ----------
        images : Path
            Folder of images, or of a series.
        output : Path, optional
            Folder for labels; beside the images when None.
        """
        if output is None and not (images / PROJECT_FILE).is_file():
            output = images.with_name(f"{images.name}-labels")
        self.panel.status.value = "Reading the list of images ..."

        def read() -> ImageSeries:
            series = open_series(images, output)
            _ = series.counts  # reads all states
            return series

        self._worker.submit(read, self._on_series)

    def _on_series(self, series: ImageSeries) -> None:
        self._end_annotation()
        panel = self.panel
        self.annotation = Annotation(
            self._viewer, series, self._panel, self._worker, self.native
        )
        self.annotation.shown.connect(self._on_shown)
        self.annotation.changed.connect(self._on_changed)
        self.annotation.failed.connect(self._on_failed)
        self._encoding = EncodeAhead(
            self.annotation.ahead, self.annotation.layers, self._panel, self.annotation
        )
        self._classes = ClassActions(panel.classes, self.annotation)
        self._show_list()
        panel.sections["folders"].collapse()
        self._enable_buttons()
        if self.annotation.go_to_first():
            panel.status.value = "All images are done. Double-click one to see it."

    def close_series(self, _: Any = None) -> None:
        """Save and close the image, and let go of the viewer."""
        if self._is_closed:
            return
        self._is_closed = True
        self._end_annotation()
        self._keys.close()
        self._preferred.close()
        self._filter.cancel()
        disconnect_choices(self._viewer, self.reset_choices)
        self._worker.close()

    def _end_annotation(self) -> None:
        if self._classes is not None:
            self._classes.close()
        if self._encoding is not None:
            self._encoding.close()
        if self.annotation is not None:
            self.annotation.close()
            self.annotation.deleteLater()
        self.annotation = self._classes = self._encoding = None

    def _on_dock_closed(self) -> None:
        self.close_series()
        self.native.deleteLater()

    def _on_dock_shown(self, shown: bool) -> None:
        if shown:
            self._keys.open()
        else:
            self._keys.close()

    # -- images ------------------------------------------------------------------------

    def _go(self, step: int) -> None:
        self._save_note()
        problem = self._require().go(step)
        self.panel.status.value = problem or "Opening ..."

    def _mark(self, status: Status, *, go_on: bool = False) -> None:
        annotation = self._require()
        annotation.set_status(status, self.panel.note.value)
        if go_on:
            problem = annotation.go(1, unfinished=True)
            self.panel.status.value = problem and f"{problem} Look at the list."

    def _save_note(self) -> None:
        annotation = self.annotation
        opened = None if annotation is None else annotation.opened
        if annotation is None or opened is None or opened.read_only:
            return
        note = self.panel.note.value
        if note != opened.item.state.note:
            annotation.set_status(opened.item.status, note)

    def _on_double_click(self, index: Any) -> None:
        if self.annotation is not None:
            self._save_note()
            self.annotation.open(self.panel.model.name_at(index.row()))

    def _require(self) -> Annotation:
        if self.annotation is None:
            raise ValueError(OPEN_FIRST)
        return self.annotation

    # -- results of the whole series ---------------------------------------------------

    def _save_table(self) -> None:
        series = self._require().series
        path, _ = QFileDialog.getSaveFileName(
            self.native, "Save table", "objects.csv", "CSV (*.csv)"
        )
        if path:
            self._write("The table", path, partial(series.write_table, path))

    def _export(self) -> None:
        series, results = self._require().series, self.panel.results
        kind = TITLES[results.format.value]
        status = None if results.status.value == ALL else results.status.value
        if kind == "coco":
            path, _ = QFileDialog.getSaveFileName(
                self.native, "Export labels", "coco.json", "COCO (*.json)"
            )
        else:
            path = QFileDialog.getExistingDirectory(
                self.native, "Export labels into a folder"
            )
        if path:
            work = partial(series.export, path, kind, status=status)
            self._write("The labels", path, work)

    def _write(self, what: str, path: str, work: Callable[[], dict[str, str]]) -> None:
        """Save the open image, then write something of the whole series."""
        self._require().save()
        self.panel.status.value = f"Writing {path} ..."

        def tell(problems: dict[str, str]) -> None:
            text = f"{what} were written to {path}."
            if what == "The table":
                text = f"The table was written to {path}."
            self.panel.status.value = text + problems_text(problems)

        self._worker.submit(work, tell)

    # -- display -----------------------------------------------------------------------

    def _panel(self) -> ConnectedPanel | None:
        """Return the open panel of Segment Anything."""
        found = docked_widgets(self._viewer, SamWidget)
        return found[0].opened if found else None

    def _show_list(self) -> None:
        if self.annotation is None:
            return
        panel, series = self.panel, self.annotation.series
        panel.model.show(series, panel.search.value, panel.which.value)
        panel.counts.value = counts_text(series)
        self._select_row()

    def _select_row(self) -> None:
        row = self.panel.model.row_of(self.panel.model.current)
        if row is not None:
            self.panel.view.selectRow(row)
            self.panel.view.scrollTo(self.panel.model.index(row, 0))

    def _on_shown(self) -> None:
        annotation = self.annotation
        if annotation is None or self._classes is None:
            return
        opened = annotation.opened
        self._classes.follow(annotation.layers.labels)
        if opened is None:
            return
        self.panel.model.set_current(opened.item.name)
        self.panel.note.value = opened.item.state.note
        text = opened_text(opened, self._panel() is not None)
        self.panel.status.value, self._failed = self._failed or text, ""
        self._select_row()

    def _on_changed(self, name: str) -> None:
        if self.annotation is not None:
            self.panel.model.update_image(name)
            self.panel.counts.value = counts_text(self.annotation.series)

    def _on_failed(self, name: str, problem: str) -> None:
        self.panel.model.note_problem(name, problem)
        self._failed = f"{name} cannot be opened. {problem}"
        self.panel.status.value = self._failed

    def _show_failure(self, error: Exception) -> None:
        self.panel.status.value = error_text(error)
        notify_errors(partial(_raise, error))()

    def _on_keys_changed(self) -> None:
        self._keys.bind_anew()
        self._show_keys()

    def _show_keys(self) -> None:
        for name in KEYED:
            text = BUTTONS[name].text_with(self._preferred[name])
            self.panel.buttons[name].text = text

    def _enable_buttons(self) -> None:
        for name, button in self.panel.buttons.items():
            is_possible = name == "open" or self.annotation is not None
            button.enabled = is_possible
            button.tooltip = BUTTONS[name].tooltip if is_possible else OPEN_FIRST
        for section in (self.panel.classes, self.panel.results):
            section.enabled = self.annotation is not None


def _raise(error: Exception) -> None:
    raise error
