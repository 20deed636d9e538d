"""Dialog that asks for the new number of a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_LARGEST = 2**31 - 1


def ask_new_number(parent: QWidget, label: int) -> int | None:
    """Ask for the new number of a label; None when it is cancelled."""
    number, accepted = QInputDialog.getInt(
        parent, "Renumber label", f"New number of label {label}:", label, 1, _LARGEST
    )
    return int(number) if accepted else None
