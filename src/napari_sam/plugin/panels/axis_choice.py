"""Which axis objects are followed along, asked only where there are several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox

from napari_sam.plugin.layers.transforms import spatial_shape

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession


class AxisComboBox:
    """A combo box of the axes that have a slider and are no channels.

    Parameters
    ----------
    session : SamSession
        Is told the axis.
    """

    def __init__(self, session: SamSession) -> None:
        self._session = session
        self._offered: list[tuple[str, int]] = []
        self.combo = ComboBox(
            label="AxisComboBox",
            choices=self._choices,
            tooltip="'Segment stack' follows the objects along this axis",
        )
        self.combo.changed.connect(self._choose)
        self.refresh()

    def refresh(self) -> None:
        """Offer the axes of this moment; the last one, until another is chosen."""
        axes = self._session.propagation_axes
        self.combo.visible = len(axes) > 1
        offered = [(self._name(axis), axis) for axis in axes]
        if offered == self._offered:
            return
        self._offered = offered
        if self._session.axis not in axes:
            self._session.axis = None
        with self.combo.changed.blocked():
            self.combo.reset_choices()
            if axes:
                chosen = self._session.axis
                self.combo.value = max(axes) if chosen is None else chosen

    def _choose(self, axis: int) -> None:
        self._session.axis = axis

    def _choices(self, _: Any = None) -> list[tuple[str, int]]:
        return self._offered

    def _name(self, axis: int) -> str:
        """The axis' own name, where it was given one, and how long it is."""
        image = self._session.image_layer
        assert image is not None
        label = str(image.axis_labels[axis])
        if label.startswith("axis "):  # napari's own
            label = f"axis {axis}"
        return f"{label} ({spatial_shape(image)[axis]} slices)"
