"""Widgets on a viewer without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
