"""Controls of the dock *Image series*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, Container, FileEdit, LineEdit, PushButton
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableView

from napari_sam.plugin.panels.controls import (
    ButtonSpec,
    button_row,
    column,
    form,
    labelled_row,
    wrapped_label,
)
from napari_sam.plugin.panels.layout.font_fit import FontFit
from napari_sam.plugin.panels.layout.scroll_area import VerticalScrollArea
from napari_sam.plugin.panels.layout.section import Section
from napari_sam.plugin.series.controls.class_panel import ClassPanel
from napari_sam.plugin.series.controls.output_panel import OutputPanel
from napari_sam.plugin.series.controls.table_model import (
    COLUMNS,
    FILTERS,
    MARKS,
    NAME,
    ImageTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from magicgui.widgets.bases import Widget

_GAP = 4
_STATUS_LINES = 3
_LEAST_ROWS = 5

BUTTONS = {
    "open": ButtonSpec(
        "Open",
        "Open the folder with its sub-folders. It stays as it is: labels are written "
        "into the other folder",
    ),
    "previous_image": ButtonSpec(
        "Previous", "Save, and open the image before. Undo ends with an image", ","
    ),
    "next_image": ButtonSpec(
        "Next", "Save, and open the next image. Undo ends with an image", "."
    ),
    "done_next": ButtonSpec(
        "Done and next",
        "Save, mark the image as done, and open the next unfinished one",
        "Shift+W",
    ),
    "needs_review": ButtonSpec(
        "Needs review", "Mark the image for somebody who looks at it again"
    ),
    "skip": ButtonSpec("Skip", "Mark the image as skipped, and open the next one"),
}
KEYED = tuple(name for name, spec in BUTTONS.items() if spec.key)


class SeriesPanel(Container[Any]):
    """All controls of the dock, in the order of their use.

    Parameters
    ----------
    actions : mapping
        {button: action}, one for each entry of `BUTTONS`.

    Attributes
    ----------
    buttons : dict
        {name: button} of `BUTTONS`.
    images, output : FileEdit
        The folders.
    which, search : ComboBox, LineEdit
        The filter.
    model, view : ImageTable, QTableView
        The list of images.
    note : LineEdit
        Note on the open image.
    classes, results : ClassPanel, OutputPanel
        Further sections.
    """

    def __init__(self, actions: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.buttons: dict[str, PushButton] = {
            name: spec.make(actions[name]) for name, spec in BUTTONS.items()
        }
        self.images = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY,
            label="Images",
            tooltip="Folder of images, with its sub-folders",
        )
        self.output = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY,
            label="Labels",
            tooltip="Folder that labels are written into; it is made if it is not "
            "there. Empty: beside the folder of images, or the same for a folder that "
            "has a series.json",
        )
        for folder in (self.images, self.output):
            folder.choose_btn.text = "Choose ..."
        self.which = ComboBox(
            choices=FILTERS, label="Show", tooltip="Which images are listed"
        )
        self.search = LineEdit(label="Find", tooltip="Text in the name or the note")
        self.note = LineEdit(label="Note", tooltip="What to remember about this image")
        self.counts, self.status = wrapped_label(), wrapped_label()
        self.model = ImageTable(self.native)
        self.view = _table_view(self.model)
        self.classes, self.results = ClassPanel(), OutputPanel()
        self._contents: list[Widget] = []
        self.sections = self._make_sections()
        self._arrange()
        self.native.setSizePolicy(
            QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding
        )
        self._font_fit = FontFit(self.native, self.status.native, _STATUS_LINES)

    def _make_sections(self) -> dict[str, Section]:
        folders = column(form(self.images, self.output), self.buttons["open"])
        return {
            "folders": self._section(
                "Folder", "Which images, and where their labels are kept", folders
            ),
            "classes": self._section(
                "Classes",
                "Names and colours for the kinds of objects",
                self.classes,
                folded=True,
            ),
            "results": self._section(
                "Measure and export",
                "A table of all objects, and labels for other programs",
                self.results,
                folded=True,
            ),
        }

    def _section(
        self, title: str, tooltip: str, content: Widget, folded: bool = False
    ) -> Section:
        self._contents.append(content)
        return Section(title, content.native, tooltip, folded)

    def _arrange(self) -> None:
        sections, listing = column(), labelled_row(self.which, self.search)
        self._contents += [sections, listing]
        sections.margins = (0, 0, _GAP, 0)
        inside = sections.native.layout()
        inside.addWidget(self.sections["folders"])
        inside.addWidget(listing.native)
        inside.addWidget(self.view, 1)
        inside.addWidget(self.sections["classes"])
        inside.addWidget(self.sections["results"])
        buttons = self.buttons
        self.extend(
            [
                self.counts,
                form(self.note),
                self.status,
                button_row(buttons["previous_image"], buttons["next_image"]),
                buttons["done_next"],
                button_row(buttons["needs_review"], buttons["skip"]),
            ]
        )
        self.native.layout().insertWidget(0, VerticalScrollArea(sections.native), 1)


def _table_view(model: ImageTable) -> QTableView:
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setToolTip("Double-click an image to open it")
    view.setWordWrap(False)
    rows, columns = view.verticalHeader(), view.horizontalHeader()
    assert rows is not None
    assert columns is not None
    rows.setVisible(False)
    columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
    metrics = view.fontMetrics()
    for index, widest in ((0, max(MARKS.values(), key=len)), (2, COLUMNS[2])):
        columns.resizeSection(index, metrics.horizontalAdvance(f"{widest}MM"))
    height = rows.defaultSectionSize() * (_LEAST_ROWS + 2)
    view.setMinimumHeight(height)
    view.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
    return view
