"""Controls for what is done with objects afterwards: clean-up, measuring, training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, FloatSpinBox, PushButton, SpinBox
from psygnal import Signal

from napari_sam.masks.cleanup import CleanUp

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession


class PostprocessingPanel(Container[Any]):
    """What is done with every object that waits; and the same for a label.

    Parameters
    ----------
    session : SamSession
        Is told the clean-up.
    """

    chosen = Signal()

    def __init__(self, session: SamSession) -> None:
        super().__init__(labels=True)
        self.margins = (0, 0, 0, 0)
        self._session = session
        self.keep_prompted = CheckBox(
            text="Keep only the part with a prompt",
            tooltip="Loose parts go. Of a label: all but the largest part",
        )
        self.fill_holes = CheckBox(
            text="Fill holes", tooltip="On every slice; other objects in them stay"
        )
        self.smooth = FloatSpinBox(
            label="Smooth",
            min=0,
            max=20,
            step=0.5,
            value=0,
            tooltip="Outlines of a stack, across so many slices; 0 leaves them",
        )
        self.min_size = SpinBox(
            label="Smallest",
            min=0,
            max=10**9,
            value=0,
            tooltip="Parts of fewer pixels (of a stack: voxels) go; 0 keeps all",
        )
        self.clean_label = PushButton(
            text="Clean up the selected label",
            tooltip="The same for an object that is in the labels layer already; "
            "undo: Ctrl+Z on the labels layer",
        )
        self.measure = PushButton(
            text="Measure objects ...",
            tooltip="Size, slices and lowest score of every label; to be saved as CSV",
        )
        self.train = PushButton(
            text="Train on these labels ...",
            tooltip="Teach the model your objects, from the labels there are; it takes "
            "minutes, and the result is kept beside the model",
        )
        choices = self.keep_prompted, self.fill_holes, self.smooth, self.min_size
        self.extend([*choices, self.clean_label, self.measure, self.train])
        for control in choices:
            control.changed.connect(self._choose)

    def _choose(self, _: Any = None) -> None:
        self._session.cleanup = CleanUp(
            self.keep_prompted.value,
            self.fill_holes.value,
            self.smooth.value,
            self.min_size.value,
        )
        self.chosen.emit()
