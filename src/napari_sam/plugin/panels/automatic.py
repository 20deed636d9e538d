"""Panel for automatic segmentation: the search and its thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, FloatSlider, SpinBox
from psygnal import Signal

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions, search_method_text
from napari_sam.checkpoints.prompt_support import PromptSupport
from napari_sam.plugin.panels.controls import (
    button_row,
    labelled_row,
    make_controls,
    wrapped_label,
)

if TYPE_CHECKING:
    from napari_sam.plugin.panels.controls import ControlTable
    from napari_sam.plugin.session import SamSession

_THRESHOLDS, _LINKING = Thresholds(), Linking()
_FRACTION = {"min": 0, "max": 1, "step": 0.01}
_SLICES = {"max": 1000}
_PIXELS = {"min": 0, "max": 10**9, "value": 0}
_CONTROLS: ControlTable = {
    "crops": (
        SpinBox,
        {
            "label": "Crops",
            "min": 0,
            "max": 2,
            "tooltip": "For small objects: 1 also searches 4 enlarged parts of the "
            "image, 2 another 16. The search takes as many times longer",
        },
    ),
    "in_stack": (
        CheckBox,
        {
            "text": "In all slices",
            "tooltip": "Segment every slice and link the objects across slices. "
            "Cancel keeps the slices that are done",
        },
    ),
    "quality": (
        FloatSlider,
        {
            **_FRACTION,
            "label": "Quality",
            "value": _THRESHOLDS.quality_thresh,
            "tooltip": "Quality threshold (predicted IoU x stability). Lower it to "
            "show more objects, with more mistakes among them",
        },
    ),
    "pred_iou": (
        FloatSlider,
        {
            **_FRACTION,
            "label": "Pred. IoU",
            "value": _THRESHOLDS.pred_iou_thresh,
            "tooltip": "Minimum predicted IoU: how well the model thinks that a mask "
            "fits its object",
        },
    ),
    "stability": (
        FloatSlider,
        {
            **_FRACTION,
            "label": "Stability",
            "value": _THRESHOLDS.stability_score_thresh,
            "tooltip": "Minimum stability score: how sharp the outline of a mask is",
        },
    ),
    "min_size": (
        SpinBox,
        {
            **_PIXELS,
            "label": "Min. size",
            "tooltip": "Hide objects with fewer pixels (0 = off)",
        },
    ),
    "max_size": (
        SpinBox,
        {
            **_PIXELS,
            "label": "Max. size",
            "tooltip": "Hide objects with more pixels (0 = off)",
        },
    ),
    "min_slices": (
        SpinBox,
        {
            **_SLICES,
            "label": "Min. slices",
            "min": 1,
            "value": _LINKING.min_slices,
            "tooltip": "Hide objects on fewer slices",
        },
    ),
    "gap": (
        SpinBox,
        {
            **_SLICES,
            "label": "Max. gap",
            "min": 0,
            "value": _LINKING.gap,
            "tooltip": "Interpolate over at most this many missing slices",
        },
    ),
}
_SEARCH_CONTROLS = {"crops", "in_stack"}


class AutomaticPanel(Container[Any]):
    """Controls of automatic segmentation.

    The search applies to the next run; thresholds apply to the preview at once.

    Parameters
    ----------
    session : SamSession
        The session whose `search`, `thresholds` and `linking` are set.
    """

    options_changed = Signal()

    def __init__(self, session: SamSession) -> None:
        super().__init__(labels=True)
        self.margins = (0, 0, 0, 0)
        self._session = session
        self.controls = controls = make_controls(_CONTROLS)
        self.method = wrapped_label()
        self.linking = labelled_row(controls["min_slices"], controls["gap"])
        self.linking.visible = False
        self.extend(
            [
                self.method,
                button_row(labelled_row(controls["crops"]), controls["in_stack"]),
                self.linking,
                *(controls[name] for name in ("quality", "pred_iou", "stability")),
                labelled_row(controls["min_size"], controls["max_size"]),
            ]
        )
        controls["crops"].changed.connect(self._set_search)
        controls["in_stack"].changed.connect(self._set_in_stack)
        for name, control in controls.items():
            if name not in _SEARCH_CONTROLS:
                control.changed.connect(self._set_thresholds)

    def show_method(self, prompts: frozenset[str] | None) -> None:
        """Show how a model that answers these prompts finds objects, if known."""
        method = "the prompts that the model was trained on"
        if prompts is not None:
            method = search_method_text(PromptSupport(prompts))
        self.method.value = f"Objects are found by {method}."

    def _set_search(self, levels: int) -> None:
        self._session.search = SearchOptions(crop_n_layers=levels)

    def _set_in_stack(self, in_stack: bool) -> None:
        self._session.everything_in_stack = self.linking.visible = in_stack

    def _set_thresholds(self) -> None:
        values = {name: control.value for name, control in self.controls.items()}
        min_size, max_size = values["min_size"], values["max_size"]
        self._session.thresholds = Thresholds(
            values["pred_iou"],
            values["stability"],
            values["quality"],
            min_size=min_size,
            # A maximum below the minimum is still being typed.
            max_size=max(max_size, min_size) if max_size else None,
        )
        self._session.linking = Linking(values["gap"], values["min_slices"])
        self.options_changed.emit()
