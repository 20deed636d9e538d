"""Combo box of the propagation axis, shown only for images with a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox

from napari_sam.plugin.layers.transforms import spatial_shape

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession


class AxisComboBox:
    """A combo box of the axes that objects can be propagated along.

    Parameters
    ----------
    session : SamSession
        The session whose `axis` is set.
    """

    def __init__(self, session: SamSession) -> None:
        self._session = session
        self.choices: list[tuple[str, int]] = []
        """The (text, axis) of each entry."""
        self.combo = ComboBox(
            label="Axis",
            choices=lambda _: self.choices,
            tooltip="'Whole stack' follows the objects along this axis",
        )
        self.combo.changed.connect(self._set_axis)
        self.refresh()

    def refresh(self) -> None:
        """Offer the current axes. The last axis is the default."""
        axes = self._session.propagation_axes
        self.combo.visible = len(axes) > 1
        choices = [(self._name(axis), axis) for axis in axes]
        if choices == self.choices:
            return
        self.choices = choices
        if self._session.axis not in axes:
            self._session.axis = None
        with self.combo.changed.blocked():
            self.combo.reset_choices()
            if axes:
                chosen = self._session.axis
                self.combo.value = max(axes) if chosen is None else chosen

    def _set_axis(self, axis: int) -> None:
        self._session.axis = axis

    def _name(self, axis: int) -> str:
        """Return the label of an axis and its number of slices."""
        image = self._session.image_layer
        assert image is not None
        label = str(image.axis_labels[axis])
        if label.startswith("axis "):  # napari's default, counted from the end
            label = f"axis {axis}"
        return f"{label} ({spatial_shape(image)[axis]} slices)"
