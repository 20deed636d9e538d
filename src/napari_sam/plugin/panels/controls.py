"""Building blocks of the panels: buttons, controls from a table, rows, labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, Label, PushButton
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_sam.plugin.notifications import notify_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from magicgui.widgets.bases import Widget

    ControlTable = Mapping[str, Callable[..., Widget]]

# Characters of the entries of a combo box that are always visible.
_ENTRY_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ButtonSpec:
    """Texts of a button.

    Parameters
    ----------
    text : str
        Text on the button.
    tooltip : str
        Explanation while the button is enabled.
    key : str, optional
        Default key of the viewer that presses the button.
    """

    text: str
    tooltip: str
    key: str = ""

    def make(self, action: Callable[[], Any]) -> PushButton:
        """Make the button. Errors of its action become notifications."""
        button = PushButton(text=self.text_with(self.key), tooltip=self.tooltip)
        button.changed.connect(notify_errors(action))
        return button

    def text_with(self, key: str) -> str:
        """Return the text on the button, with a key."""
        return f"{self.text} ({key})" if key else self.text


def control_spec(
    kind: type[Widget], text: str, tooltip: str = "", **options: Any
) -> Callable[..., Widget]:
    """Describe a control: its widget type, text or label, tooltip and options."""
    key = "text" if kind is CheckBox else "label"
    options |= {key: text, "tooltip": tooltip}
    return partial(kind, **options)


def make_controls(table: ControlTable) -> dict[str, Any]:
    """Make the widgets of a table {name: control_spec(...)}."""
    controls = {name: make(name=name) for name, make in table.items()}
    for control in controls.values():
        # magicgui explains a slider, but not the number beside it.
        control.native.setToolTip(control.tooltip)
    return controls


def show_values(controls: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Show values in controls, without telling of a change."""
    for name, value in values.items():
        with controls[name].changed.blocked():
            controls[name].value = value


def button_row(*widgets: Widget) -> Container[Any]:
    """Put widgets side by side, without labels."""
    row = Container(widgets=list(widgets), layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def form(*widgets: Widget) -> Container[Any]:
    """Put controls under each other, each after its label."""
    rows = Container(widgets=list(widgets), labels=True)
    rows.margins = (0, 0, 0, 0)
    return rows


def column(*widgets: Widget) -> Container[Any]:
    """Put widgets under each other, without labels."""
    rows = Container(widgets=list(widgets), labels=False)
    rows.margins = (0, 0, 0, 0)
    return rows


def keep_narrow(combo: ComboBox) -> None:
    """Keep a long entry from widening the panel, which would shrink the canvas."""
    native = combo.native
    native.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    native.setMinimumContentsLength(_ENTRY_LENGTH)


def labelled_row(*widgets: Widget) -> Container[Any]:
    """Put widgets side by side, each after its label."""
    return button_row(*(part for w in widgets for part in (Label(value=w.label), w)))


def wrapped_label(value: str = "") -> Label:
    """Make a text that wraps at the width of the panel, and does not widen it."""
    label = Label(value=value)
    label.native.setWordWrap(True)
    label.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
