"""Widgets on a viewer without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel

from napari_sam.plugin.widget import SamWidget
from tests.helpers.sessions import press

if TYPE_CHECKING:
    import numpy as np

    from napari_sam.prediction.predictor import Predictor


def open_widget(image: np.ndarray, model: Predictor, live: bool = False) -> SamWidget:
    """Open the widget on slice 4 of an image, with new prompt layers."""
    viewer = ViewerModel()
    viewer.add_image(image, name="balls", contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    widget = SamWidget(viewer)
    widget.panel.live.value = live
    widget.session.model = model
    press(widget.panel.new_prompts)
    return widget


def type_key(widget: SamWidget, key: str, layer: Any = None) -> None:
    """What napari does when a key is pressed that the active layer does not want.

    Or what it does with a key of a layer.
    """
    owner = widget.session.viewer if layer is None else layer
    found = [action for bound, action in owner.keymap.items() if str(bound) == key]
    assert len(found) == 1
    found[0](owner)
