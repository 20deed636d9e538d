"""Panel for accepted objects and their clean-up: clean up, measure, train."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, FloatSpinBox, SpinBox
from psygnal import Signal

from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.panels.controls import (
    control_spec,
    make_controls,
    show_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets import PushButton

    from napari_sam.plugin.panels.controls import ControlTable
    from napari_sam.plugin.session import SamSession

# One control for each field of `CleanUp`.
_CLEANUP: ControlTable = {
    "keep_prompted": control_spec(
        CheckBox,
        "Keep only the part with a prompt",
        "Remove disconnected parts without a prompt (for a label: keep the largest)",
    ),
    "fill_holes": control_spec(
        CheckBox,
        "Fill holes",
        "Fill the holes of each object, slice by slice. Other objects in a hole stay",
    ),
    "smooth": control_spec(
        FloatSpinBox,
        "Smoothing",
        "Smooth outlines from slice to slice. Larger is smoother; 0 switches it off "
        "(sigma of a Gaussian, in slices)",
        max=20,
        step=0.5,
    ),
    "min_size": control_spec(
        SpinBox,
        "Smallest part",
        "Remove parts with fewer pixels (in a stack: voxels; 0 = off)",
        max=10**9,
    ),
}


class PostprocessingPanel(Container[Any]):
    """Controls for the clean-up of new objects, and buttons for existing labels.

    Parameters
    ----------
    session : SamSession
        The session whose `cleanup` is set.
    buttons : sequence of PushButton
        The buttons for existing labels.
    """

    options_changed = Signal()

    def __init__(self, session: SamSession, buttons: Sequence[PushButton]) -> None:
        controls = make_controls(_CLEANUP)
        super().__init__(widgets=[*controls.values(), *buttons], labels=True)
        self.margins = (0, 0, 0, 0)
        self._session, self._controls = session, controls
        show_values(controls, asdict(session.cleanup))
        for control in controls.values():
            control.changed.connect(self._set_cleanup)

    def _set_cleanup(self) -> None:
        values = {name: control.value for name, control in self._controls.items()}
        self._session.cleanup = CleanUp(**values)
        self.options_changed.emit()
