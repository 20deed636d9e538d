"""Controls for the classes of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit, PushButton
from psygnal import Signal

from napari_sam.plugin.panels.controls import (
    button_row,
    form,
    keep_narrow,
    wrapped_label,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "(none)"


class ClassPanel(Container[Any]):
    """Add, rename, merge and colour classes; choose that of new and selected objects.

    Attributes
    ----------
    of_new, of_selected : ComboBox
        Class of new objects, and of the selected label.
    named : LineEdit
        Name for a class that is added, or renamed.
    add, rename, merge, undo : PushButton
        The actions.
    colored : CheckBox
        Whether objects have the colour of their class.
    chosen_changed : Signal
        Emitted with the class of the selected object that the user chose.
    """

    chosen_changed = Signal(str)

    def __init__(self) -> None:
        self.of_new = ComboBox(
            choices=(NONE,),
            label="New objects",
            tooltip="Class that accepted and painted objects get",
        )
        self.of_selected = ComboBox(
            choices=(NONE,),
            label="Selected label",
            tooltip="Class of the selected label of the labels layer. napari's "
            "Features table shows and edits the classes of all labels",
        )
        self.named = LineEdit(label="Name", tooltip="Name of a class, to add or rename")
        self.add = PushButton(text="Add", tooltip="Add a class of this name")
        self.rename = PushButton(
            text="Rename",
            tooltip="Give the class of new objects this name, in all images. If there "
            "is a class of this name, both become one",
        )
        self.undo = PushButton(
            text="Undo", tooltip="Take back the last change of the name of a class"
        )
        self.undo.enabled = False
        self.colored = CheckBox(
            text="Colour objects by class",
            tooltip="Show labels in the colours of their classes",
        )
        self.legend = wrapped_label()
        for combo in (self.of_new, self.of_selected):
            keep_narrow(combo)
        super().__init__(
            widgets=[
                form(self.of_new, self.of_selected, self.named),
                button_row(self.add, self.rename, self.undo),
                self.colored,
                self.legend,
            ],
            labels=False,
        )
        self.margins = (0, 0, 0, 0)
        self.of_selected.changed.connect(self._tell)

    def show_classes(self, classes: Mapping[str, str]) -> None:
        """Show the classes of a series, {name: colour}."""
        for combo in (self.of_new, self.of_selected):
            before = combo.value
            with combo.changed.blocked():
                combo.choices = (NONE, *classes)
                combo.value = before if before in classes else NONE
        self.of_new.changed.emit(self.of_new.value)
        self.legend.value = "<br>".join(
            f'<span style="color:{color}">■</span> {_escaped(name)}'
            for name, color in classes.items()
        )

    def show_selected(self, name: str) -> None:
        """Show the class of the selected label."""
        with self.of_selected.changed.blocked():
            choices = self.of_selected.choices
            if name and name not in choices:
                self.of_selected.choices = (*choices, name)
            self.of_selected.value = name or NONE

    def _tell(self, value: str | None) -> None:
        self.chosen_changed.emit("" if value in (None, NONE) else value)


def _escaped(name: str) -> str:
    return name.replace("&", "&amp;").replace("<", "&lt;")
